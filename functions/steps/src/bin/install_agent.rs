//! Put the agent on a server, and a key that may call nothing else; undo takes both away.
//!
//! The binary is part of this function's package. It goes over the bootstrap account, is compared by SHA-256 and installs itself.
//! Safe to repeat: the same key and binary again, a newer binary instead of an older one.

use domain::{Server, StepError};
use kit::step::Nothing;
use kit::{At, Cloud, Done, Step};
use pipelines::steps::server;
use protocol::{Call, Changed, Install, PROTOCOL_VERSION, Uninstall, VersionReply};
use sha2::{Digest, Sha256};
use sites::ssh::{Answer, Login, Session};
use sites::{Hosts, keys};
use std::time::Duration;
use steps::{ServerNeeds, told};

struct InstallAgent {
    hosts: Hosts,
}

/// Room for a slow link: 4 MB in half a minute.
const UPLOAD_WITHIN: Duration = Duration::from_secs(30);
/// It copies one file and writes four small ones.
const INSTALL_WITHIN: Duration = Duration::from_secs(15);
/// Where the binary lies in the function's package.
const AGENT_FILE: &str = "triphammer-agent";

impl InstallAgent {
    fn cloud(&self) -> &Cloud {
        self.hosts.cloud()
    }

    /// The key pair is made once; its private half is stored before its public half is named.
    async fn agent_public_key(&self, at: &At, server: &Server) -> Result<String, StepError> {
        if let Some(public) = &server.agent_public_key {
            return Ok(public.clone());
        }
        let (private, public) = keys::generate(&rand::random())?;
        self.cloud()
            .secrets
            .seal(
                at.team,
                server.agent_key,
                &format!("agent key of {}", server.name),
                private.as_bytes(),
                None,
            )
            .await?;
        let named = self
            .cloud()
            .records
            .server_update(at.team, server.id, |server| {
                server.agent_public_key = Some(public.clone())
            })
            .await?;
        Ok(named.agent_public_key.unwrap_or(public))
    }

    async fn bootstrap(&self, at: &At, server: &Server) -> Result<Session, StepError> {
        let now = self.cloud().clock.now().timestamp();
        let clear = self
            .cloud()
            .secrets
            .open(at.team, server.bootstrap_key, now)
            .await
            .map_err(|error| match error.code.as_str() {
                "not_found" => StepError::refused(
                    "bootstrap_key_expired",
                    "The key for the installation is no longer kept; register the server again.",
                ),
                _ => error,
            })?;
        let key = keys::read_private(std::str::from_utf8(&clear).map_err(StepError::broken)?)?;
        let pinned = server
            .host_key
            .clone()
            .ok_or_else(|| StepError::broken("no host key is pinned"))?;
        Session::open(
            Login {
                host: &server.host,
                port: server.port,
                user: &server.bootstrap_user,
                key,
            },
            &pinned,
        )
        .await
    }

    fn sudo(server: &Server) -> &'static str {
        if server.bootstrap_user == "root" {
            ""
        } else {
            "sudo -n "
        }
    }
}

fn refused_by_server(server: &Server, answer: &Answer, what: &str) -> StepError {
    let hint = if server.bootstrap_user == "root" {
        ""
    } else {
        "; the account must be allowed to `sudo` without a password"
    };
    StepError::refused(
        "bootstrap_failed",
        format!(
            "{what} on {} as {} did not work{hint}.",
            server.host, server.bootstrap_user
        ),
    )
    .caused_by(format!("exit {:?}: {}", answer.code, answer.complaint))
}

/// Where this function's package was unpacked.
#[allow(clippy::disallowed_methods, reason = "set by Lambda itself")]
fn package_folder() -> std::path::PathBuf {
    std::env::var_os("LAMBDA_TASK_ROOT").map_or_else(|| ".".into(), Into::into)
}

impl Step for InstallAgent {
    const NAME: &'static str = server::INSTALL_AGENT.name;
    type Needs = ServerNeeds;
    type Gives = Nothing;

    async fn run(&self, at: &At, needs: ServerNeeds) -> Result<Done<Nothing>, StepError> {
        let server = self
            .cloud()
            .records
            .server(at.team, needs.server_id)
            .await?;
        let binary = tokio::fs::read(package_folder().join(AGENT_FILE))
            .await
            .map_err(StepError::broken)?;
        let sha256 = hex::encode(Sha256::digest(&binary));
        // In this order: a named key says that we were in, and so that there may be something to take back.
        let session = self.bootstrap(at, &server).await?;
        let public_key = self.agent_public_key(at, &server).await?;
        at.say("Sending the agent").await;
        // Both commands are fixed but for the deployment's id, which is 26 letters and digits.
        let file = format!("/tmp/triphammer-agent.{}", at.deployment_id);
        let sent = session
            .exec(
                &format!("umask 077 && cat > {file} && chmod 700 {file}"),
                &binary,
                UPLOAD_WITHIN,
            )
            .await?;
        if sent.code != Some(0) {
            return Err(refused_by_server(&server, &sent, "Writing to /tmp"));
        }
        at.say("Installing the agent").await;
        let install = Install {
            version: PROTOCOL_VERSION,
            sha256: sha256.clone(),
            public_key,
            server_id: server.id.to_string(),
            deployment_id: at.deployment_id.to_string(),
        };
        let sudo = Self::sudo(&server);
        let input = serde_json::to_vec(&install).map_err(StepError::broken)?;
        let installed = session
            .exec(
                &format!("{sudo}{file} install; status=$?; rm -f {file}; exit $status"),
                &input,
                INSTALL_WITHIN,
            )
            .await?;
        if installed.output.is_empty() {
            return Err(refused_by_server(
                &server,
                &installed,
                "Installing the agent",
            ));
        }
        let _version: VersionReply =
            sites::agent::reply(&installed.output, installed.code, &installed.complaint)?;
        // The proof is a call over the new key, as every later step makes it.
        let version: VersionReply = self
            .hosts
            .connect(at, needs.server_id)
            .await?
            .call(Call::Version)
            .await?;
        if version.sha256 != sha256 {
            return Err(StepError::refused(
                "agent_differs",
                format!("The agent on {} is not the one that was sent.", server.host),
            ));
        }
        self.cloud()
            .records
            .server_update(at.team, needs.server_id, |server| {
                server.agent_version = Some(version.version.clone())
            })
            .await?;
        Ok(Done::With(
            Nothing {},
            format!("agent {} is installed", version.version),
        ))
    }

    async fn undo(&self, at: &At, needs: ServerNeeds) -> Result<String, StepError> {
        let server = self
            .cloud()
            .records
            .server(at.team, needs.server_id)
            .await?;
        if server.agent_public_key.is_none() {
            return Ok("nothing had been sent to the server".to_string());
        }
        let session = self.bootstrap(at, &server).await?;
        let input = serde_json::to_vec(&Uninstall {
            version: PROTOCOL_VERSION,
            server_id: server.id.to_string(),
            deployment_id: at.deployment_id.to_string(),
        })
        .map_err(StepError::broken)?;
        let sudo = Self::sudo(&server);
        let agent = protocol::AGENT_PATH;
        let answer = session.exec(&format!("rm -f /tmp/triphammer-agent.{}; if [ -x {agent} ]; then {sudo}{agent} uninstall; fi", at.deployment_id), &input, INSTALL_WITHIN).await?;
        if answer.code == Some(0) && answer.output.is_empty() {
            return Ok("there was no agent".to_string());
        }
        let done: Changed = sites::agent::reply(&answer.output, answer.code, &answer.complaint)?;
        Ok(told(&done.notes, "there was nothing to remove"))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| InstallAgent {
        hosts: Hosts::new(cloud),
    })
    .await
}
