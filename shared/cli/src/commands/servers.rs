//! `triphammer servers`: add, list, show, check, confirm.

use super::{begun, when, when_exactly};
use crate::args::{ServerAdd, Servers};
use crate::ending::{Ending, Fault};
use crate::follow::{Followed, Until};
use crate::invocation::Invocation;
use crate::output::plain;
use crate::style::{red, yellow};
use crate::table::{Cell, Table};
use crate::times::size;
use crate::{host_key, plan, resolve};
use contract::{HostKeyConfirm, ServerCreate, ServerView};
use domain::{ServerFacts, ServerStatus};
use std::path::Path;

/// See the module.
pub async fn perform(invocation: &Invocation, command: Servers) -> Result<Ending, Fault> {
    match command {
        Servers::Add(asked) => add(invocation, asked).await,
        Servers::List => list(invocation).await,
        Servers::Show { server } => {
            let server = resolve::server(&invocation.client, &server).await?;
            show(invocation, &server)?;
            Ok(Ending::Done)
        }
        Servers::Check { server } => check(invocation, &server).await,
        Servers::Confirm {
            server,
            fingerprint,
        } => confirm(invocation, &server, fingerprint).await,
    }
}

async fn add(invocation: &Invocation, asked: ServerAdd) -> Result<Ending, Fault> {
    let asks = asked.host_key.is_none();
    if asks {
        host_key::can_be_answered(invocation)?;
    }
    let new = ServerCreate {
        name: asked.name,
        host: asked.host,
        port: asked.port,
        user: asked.user,
        private_key: private_key(&asked.key_file)?,
        host_key: asked.host_key,
    };
    if invocation.dry_run {
        let would = invocation.client.server_create_plan(&new).await?;
        return plan::show(invocation, &would);
    }
    let created = invocation.client.server_create(&new).await?;
    let output = &invocation.output;
    match (output.json, invocation.follow) {
        (true, true) => output.record(&created)?,
        (true, false) => output.document(&created)?,
        (false, _) => {}
    }
    let followed = Followed {
        asks,
        until: if invocation.follow {
            Until::End
        } else {
            Until::HostKeyPinned
        },
        ..Followed::to_the_end(created.deployment.id)
    };
    begun(invocation, &created.deployment, followed).await
}

/// An OpenSSH key without a passphrase begins so: its magic, then the cipher "none".
const OPENSSH_UNENCRYPTED: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU";

/// The file's text, when it can be a private key that the installation may use.
fn private_key(path: &Path) -> Result<String, Fault> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Fault::said(format!("{shown} cannot be read: {error}")))?;
    let mut lines = text.trim().lines();
    let first = lines.next().unwrap_or_default();
    if first.starts_with("ssh-") || first.starts_with("ecdsa-") {
        return Err(Fault::said(format!(
            "{shown} is a public key; the private one is needed, usually the file without .pub"
        )));
    }
    if !first.starts_with("-----BEGIN ") || !first.contains("PRIVATE KEY") {
        return Err(Fault::said(format!("{shown} is no private key")));
    }
    let locked = match first.contains("OPENSSH") {
        true => !lines
            .next()
            .unwrap_or_default()
            .starts_with(OPENSSH_UNENCRYPTED),
        false => text.contains("ENCRYPTED"),
    };
    if locked {
        return Err(Fault::said(format!(
            "{shown} is locked with a passphrase, which the installation cannot type; \
             make a key for it alone: ssh-keygen -t ed25519 -N '' -f triphammer_key"
        )));
    }
    Ok(text)
}

async fn list(invocation: &Invocation) -> Result<Ending, Fault> {
    let page = invocation.client.servers().await?;
    if invocation.output.json {
        invocation.output.document(&page)?;
        return Ok(Ending::Done);
    }
    if page.items.is_empty() {
        invocation
            .output
            .note("no servers yet; add one: triphammer servers add --help");
    }
    let mut table = Table::with(&["NAME", "HOST", "STATUS", "READY FOR", "CREATED", "ID"]);
    for server in &page.items {
        table.row([
            Cell::from(&server.name),
            address(server).into(),
            status(server).into(),
            ready_for(server.facts.as_ref()).into(),
            when(server.created_at),
            server.id.to_string().into(),
        ]);
    }
    invocation.output.table(&table)?;
    Ok(Ending::Done)
}

fn address(server: &ServerView) -> String {
    match server.port {
        22 => server.host.clone(),
        port if server.host.contains(':') => format!("[{}]:{port}", server.host),
        port => format!("{}:{port}", server.host),
    }
}

fn status(server: &ServerView) -> &'static str {
    match server.status {
        ServerStatus::Registering
            if server.host_key.is_none() && server.host_key_seen.is_some() =>
        {
            "waits for a yes to its host key"
        }
        status => status.into(),
    }
}

fn ready_for(facts: Option<&ServerFacts>) -> String {
    let Some(facts) = facts else {
        return "-".to_string();
    };
    let ready: Vec<_> = facts
        .missing
        .iter()
        .filter(|(_, missing)| missing.is_empty())
        .map(|(what, _)| what.as_str())
        .collect();
    if ready.is_empty() {
        "nothing yet".to_string()
    } else {
        ready.join(", ")
    }
}

fn show(invocation: &Invocation, server: &ServerView) -> Result<(), Fault> {
    let output = &invocation.output;
    if output.json {
        return output.document(server);
    }
    let mut table = Table::facts();
    table.fact("name", &server.name);
    table.fact("id", server.id.to_string());
    table.fact("host", address(server));
    table.fact("status", status(server));
    let key = |key: &domain::HostKey| format!("{} {}", key.algorithm, key.fingerprint);
    table.fact_if("host key", server.host_key.as_ref().map(key));
    table.fact_if(
        "host key, not confirmed",
        server.host_key_seen.as_ref().map(key),
    );
    table.fact_if("agent", server.agent_version.as_ref());
    table.fact("created", when_exactly(server.created_at));
    if let Some(facts) = &server.facts {
        observed(&mut table, facts);
    }
    output.table(&table)?;
    if status(server) == "waits for a yes to its host key" {
        output.note(yellow(format!(
            "say yes or no: triphammer servers confirm {}",
            plain(&server.name)
        )));
    }
    Ok(())
}

fn observed(table: &mut Table, facts: &ServerFacts) {
    table.fact("system", format!("{}, {}", facts.os, facts.architecture));
    table.fact(
        "memory",
        format!("{}, {} CPUs", size(facts.memory_bytes), facts.cpus),
    );
    table.fact(
        "disk",
        format!(
            "{} free of {}",
            size(facts.disk_free_bytes),
            size(facts.disk_total_bytes)
        ),
    );
    let php = facts.php.join(", ");
    table.fact("PHP", if php.is_empty() { "none" } else { php.as_str() });
    table.fact("database", facts.database.as_deref().unwrap_or("none"));
    table.fact("web server", facts.web_server.as_deref().unwrap_or("none"));
    table.fact("docker", facts.docker.as_deref().unwrap_or("none"));
    for (what, missing) in &facts.missing {
        let name = format!("ready for {what}");
        if missing.is_empty() {
            table.fact(&name, "yes");
        } else {
            let missing = plain(&format!("no: {}", missing.join("; ")));
            table.fact(&name, Cell::both(red(&missing), &missing));
        }
    }
    table.fact("checked", when_exactly(facts.checked_at));
}

async fn check(invocation: &Invocation, server: &str) -> Result<Ending, Fault> {
    let id = resolve::server_id(&invocation.client, server).await?;
    if invocation.dry_run {
        let would = invocation.client.server_check_plan(id).await?;
        return plan::show(invocation, &would);
    }
    let created = invocation.client.server_check(id).await?;
    let output = &invocation.output;
    match (output.json, invocation.follow) {
        (true, true) => output.record(&created)?,
        (true, false) => output.document(&created)?,
        (false, _) => {}
    }
    let followed = Followed::to_the_end(created.deployment.id);
    let ending = begun(invocation, &created.deployment, followed).await?;
    if invocation.follow && !output.json && ending == Ending::Done {
        output.line("")?;
        show(invocation, &invocation.client.server(id).await?)?;
    }
    Ok(ending)
}

async fn confirm(
    invocation: &Invocation,
    server: &str,
    fingerprint: Option<String>,
) -> Result<Ending, Fault> {
    let server = resolve::server(&invocation.client, server).await?;
    let output = &invocation.output;
    if invocation.dry_run {
        let seen = fingerprint.or_else(|| {
            server
                .host_key_seen
                .as_ref()
                .map(|seen| seen.fingerprint.clone())
        });
        let words = format!(
            "pin the host key {} of {}",
            plain(seen.as_deref().unwrap_or("that will be seen")),
            plain(&server.name)
        );
        return plan::say(invocation, "confirm_host_key", &server, &words);
    }
    match (&fingerprint, &server.host_key, &server.host_key_seen) {
        (Some(fingerprint), ..) => {
            let yes = HostKeyConfirm {
                fingerprint: fingerprint.clone(),
            };
            invocation.client.server_confirm(server.id, &yes).await?;
        }
        (None, Some(_), _) => {}
        (None, None, Some(seen)) => {
            host_key::can_be_answered(invocation)?;
            if !host_key::confirm(invocation, &server, seen).await? {
                return Err(Fault::said(
                    "not confirmed; the registration goes on waiting. Cancel it if the key is wrong: triphammer deployments list",
                ));
            }
        }
        (None, None, None) => {
            return Err(Fault::said(format!(
                "no host key of {} was seen yet; look again when it was reached: triphammer servers show {}",
                plain(&server.name),
                plain(&server.name)
            )));
        }
    }
    let server = invocation.client.server(server.id).await?;
    if output.json {
        output.document(&server)?;
    } else {
        let pinned = server.host_key.map_or(String::new(), |key| {
            format!(" {} {}", plain(&key.algorithm), plain(&key.fingerprint))
        });
        output.line(format!("{}: pinned{pinned}", plain(&server.name)))?;
    }
    Ok(Ending::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        std::fs::write(&path, text).expect("a file");
        private_key(&path)
            .err()
            .map_or("usable".to_string(), |fault| fault.to_string())
    }

    #[test]
    fn a_key_that_cannot_be_used_is_refused_before_it_leaves_this_machine() {
        let openssh = |body: &str| {
            format!(
                "-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n"
            )
        };
        assert_eq!(
            judged(&openssh("b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ")),
            "usable"
        );
        assert!(judged(&openssh("b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHI")).contains("passphrase"));
        assert!(judged("-----BEGIN ENCRYPTED PRIVATE KEY-----\nx\n").contains("passphrase"));
        assert!(judged("ssh-ed25519 AAAA me").contains("is a public key"));
        assert!(judged("hello").contains("is no private key"));
    }
}
