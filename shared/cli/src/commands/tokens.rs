//! `triphammer tokens`: create, list, revoke.

use super::when;
use crate::args::Tokens;
use crate::ending::{Ending, Fault};
use crate::invocation::Invocation;
use crate::output::plain;
use crate::style::{bold, yellow};
use crate::table::{Cell, Table};
use crate::{plan, resolve};
use contract::{TokenCreate, TokenView};
use domain::Scope;
use serde_json::json;

/// See the module.
pub async fn perform(invocation: &Invocation, command: Tokens) -> Result<Ending, Fault> {
    match command {
        Tokens::Create { name, role, scopes } => {
            let new = TokenCreate { name, role, scopes };
            create(invocation, new).await
        }
        Tokens::List => list(invocation).await,
        Tokens::Revoke { token } => revoke(invocation, &token).await,
    }
}

fn scopes(scopes: &[Scope]) -> String {
    let words: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
    words.join(", ")
}

async fn create(invocation: &Invocation, new: TokenCreate) -> Result<Ending, Fault> {
    let output = &invocation.output;
    if invocation.dry_run {
        let role: &'static str = new.role.into();
        let words = format!(
            "create the token {} as {role}, with {}",
            plain(&new.name),
            scopes(&new.scopes)
        );
        return plan::say(invocation, "create_token", &new, &words);
    }
    let created = invocation.client.token_create(&new).await?;
    if output.json {
        output.document(&created)?;
        return Ok(Ending::Done);
    }
    let mut table = facts(&created.token);
    table.fact(
        "secret",
        Cell::both(bold(plain(&created.secret)), &created.secret),
    );
    output.table(&table)?;
    output.note(yellow(
        "The secret is shown once; only a hash of it is kept: write it down now.",
    ));
    Ok(Ending::Done)
}

fn facts(token: &TokenView) -> Table {
    let role: &'static str = token.role.into();
    let mut table = Table::facts();
    table.fact("name", &token.name);
    table.fact("id", token.id.to_string());
    table.fact("role", role);
    table.fact("scopes", scopes(&token.scopes));
    table
}

async fn list(invocation: &Invocation) -> Result<Ending, Fault> {
    let page = invocation.client.tokens().await?;
    if invocation.output.json {
        invocation.output.document(&page)?;
        return Ok(Ending::Done);
    }
    let mut table = Table::with(&["NAME", "ROLE", "CREATED", "ID", "SCOPES"]);
    for token in &page.items {
        let role: &'static str = token.role.into();
        table.row([
            Cell::from(&token.name),
            role.into(),
            when(token.created_at),
            token.id.to_string().into(),
            scopes(&token.scopes).into(),
        ]);
    }
    invocation.output.table(&table)?;
    Ok(Ending::Done)
}

async fn revoke(invocation: &Invocation, token: &str) -> Result<Ending, Fault> {
    let token = resolve::token(&invocation.client, token).await?;
    let named = format!("{} ({})", plain(&token.name), token.id);
    if invocation.dry_run {
        return plan::say(
            invocation,
            "revoke_token",
            &token,
            &format!("revoke the token {named}"),
        );
    }
    let question =
        format!("Revoke the token {named}? What uses it stops working at once, for good.");
    if !invocation.sure(&question).await? {
        return Err(Fault::said("not revoked"));
    }
    invocation.client.token_revoke(token.id).await?;
    if invocation.output.json {
        invocation.output.document(&json!({ "revoked": token }))?;
    } else {
        invocation.output.line(format!("revoked {named}"))?;
    }
    Ok(Ending::Done)
}
