//! The whole system on this machine: build, start, deploy, and a profile for the command line.
//!
//! Promise: safe to repeat; a second run changes nothing that is as it should be, and takes seconds.

use crate::build::{self, local, say};
use crate::ministack::{MiniStack, Options, SERVERS_ADDRESS};
use crate::stack::{self, Outputs};
use crate::{package, setup};
use anyhow::{Context, Result};
use domain::{Actor, ActorKind, Role, Scope, TeamId, TokenId};
use records::{AuditEntry, Records, TokenRecord};
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use strum::VariantArray;

/// Where the local stack listens, unless another port is asked for.
pub const PORT: u16 = 4566;
/// Sites of the demo and the tests take WordPress from the server's own package: no internet is needed.
const WORDPRESS_SOURCE: &str = "directory:/usr/share/wordpress";

/// Where the lab's servers and what listens beside them live; notices may go there, and nowhere else that is not public.
const LAB_RANGE: &str = "10.77.0.0/16,127.0.0.0/8";

/// A running system.
pub struct Up {
    /// The local AWS.
    pub endpoint: String,
    /// The API.
    pub api_url: String,
    /// The first team's owner token.
    pub token: String,
    /// The stack's outputs.
    pub outputs: Outputs,
    /// The command line's configuration.
    pub cli_config: PathBuf,
}

/// Where a system keeps its state.
pub fn state(name: &str) -> PathBuf {
    local().join("stacks").join(name)
}

/// Build, start, deploy.
pub async fn up(name: &str, port: u16) -> Result<Up> {
    with_faults(name, port, false).await
}

/// The same, and with `faults` a test may let things go wrong.
pub async fn with_faults(name: &str, port: u16, faults: bool) -> Result<Up> {
    setup::ensure_tools()?;
    build::all()?;
    let packages = package::all(&build::functions())?;
    let state = state(name);
    fs::create_dir_all(&state)?;
    let stack = MiniStack::start(&Options {
        state_dir: state.clone(),
        port,
        auth: true,
        faults,
    })?;
    let parameters = parameters(&stack.endpoint);
    let outputs = stack::deploy(&stack.endpoint, &packages, &parameters).await?;
    let api_url = api_url(&stack.endpoint, &outputs)?;
    let token = owner_token(&stack.endpoint, &outputs, &state).await?;
    let cli_config = state.join("cli.toml");
    write_private(
        &cli_config,
        &format!("[profiles.default]\napi_url = \"{api_url}\"\ntoken = \"{token}\"\n"),
    )?;
    Ok(Up {
        endpoint: stack.endpoint,
        api_url,
        token,
        outputs,
        cli_config,
    })
}

/// The template's parameters behind the emulator.
pub fn parameters(endpoint: &str) -> Vec<(&'static str, String)> {
    let servers = endpoint.replacen("127.0.0.1", SERVERS_ADDRESS, 1);
    vec![
        ("LiveUrl", live_url(endpoint)),
        (
            "CallbackUrl",
            format!("{servers}/_aws/execute-api/0000cafe/$default"),
        ),
        ("ArchivesUrl", servers),
        ("WordPressSource", WORDPRESS_SOURCE.to_string()),
        ("SiteDomain", "{ip}.sslip.io".to_string()),
        ("WithAlarms", "false".to_string()),
        ("OutboundAllowed", LAB_RANGE.to_string()),
    ]
}

/// The id that the template asks the emulator for, so that the address is known before the stack is there.
fn live_url(endpoint: &str) -> String {
    format!(
        "{}/_aws/execute-api/0000feed/live",
        endpoint.replacen("http", "ws", 1)
    )
}

/// Under its path on the emulator; the host form of the output needs a resolver that knows it.
fn api_url(endpoint: &str, outputs: &Outputs) -> Result<String> {
    let output = outputs
        .get("ApiId")
        .context("the stack has no output ApiId")?;
    Ok(format!("{endpoint}/_aws/execute-api/{output}/$default"))
}

/// The records of a stack, as the functions see them.
pub async fn records(endpoint: &str, outputs: &Outputs) -> Result<Records> {
    let config = stack::config(endpoint).await;
    let table = outputs
        .get("TableName")
        .context("the stack has no output TableName")?;
    let secrets = outputs
        .get("SecretsTableName")
        .context("the stack has no output SecretsTableName")?;
    Ok(Records::new(
        aws_sdk_dynamodb::Client::new(&config),
        table,
        secrets,
    ))
}

/// Where this program's own entries in the audit trail come from.
pub const FROM: &str = "this machine";

/// As the audit trail names this program.
pub fn actor() -> Actor {
    Actor {
        kind: ActorKind::System,
        id: "xtask".to_string(),
        name: "cargo xtask".to_string(),
        role: "owner".to_string(),
    }
}

/// A new token with every scope, for a new team or a known one.
pub async fn token_create(
    records: &Records,
    team: TeamId,
    name: &str,
    role: Role,
) -> Result<String> {
    let secret = format!("th_{}", hex::encode(rand::random::<[u8; 24]>()));
    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
    let id = TokenId::from_parts(
        now.timestamp_millis().unsigned_abs(),
        rand::random::<u128>() >> 48,
    );
    let scopes = Scope::VARIANTS
        .iter()
        .copied()
        .filter(|scope| role.holds(*scope))
        .collect();
    let token = TokenRecord::new(
        id,
        team,
        name,
        role,
        scopes,
        hex::encode(Sha256::digest(&secret)),
        now,
    );
    let audit = AuditEntry {
        id: id.to_string(),
        at: now,
        actor: actor(),
        from: FROM.to_string(),
        action: "token.create".to_string(),
        target: id.to_string(),
        detail: name.to_string(),
    };
    records.token_create(&token, &audit).await?;
    Ok(secret)
}

/// An owner's token of a new team.
pub async fn token_create_owner(records: &Records) -> Result<String> {
    token_create(records, new_team(), "owner", Role::Owner).await
}

/// A new team's id.
pub fn new_team() -> TeamId {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    TeamId::from_parts(
        u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        rand::random::<u128>() >> 48,
    )
}

/// The token of the run before, when the table still knows it.
async fn owner_token(endpoint: &str, outputs: &Outputs, state: &Path) -> Result<String> {
    let records = records(endpoint, outputs).await?;
    let file = state.join("owner.token");
    if let Ok(token) = fs::read_to_string(&file)
        && records
            .token_by_hash(&hex::encode(Sha256::digest(&token)))
            .await?
            .is_some()
    {
        return Ok(token);
    }
    say("making a team and its owner's token");
    let token = token_create_owner(&records).await?;
    write_private(&file, &token)?;
    Ok(token)
}

/// Write a file that only its owner may read.
fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(())
}
