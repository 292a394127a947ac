//! Connect, see the server's host key, and pin it after a yes.
//!
//! With a fingerprint given beforehand it is compared at once; otherwise the key is shown and a person's yes is waited for.
//! Nothing is logged in to, so there is nothing to undo.

use domain::StepError;
use kit::step::Nothing;
use kit::{At, Cloud, Done, Step};
use pipelines::inputs::RegisterServer;
use pipelines::steps::server;
use std::time::Duration;
use steps::ServerNeeds;

struct PinHostKey {
    cloud: Cloud,
}

/// One call waits this long, then the machine calls again: a Lambda is not paid for a person's lunch.
const WAIT: Duration = Duration::from_secs(45);
/// How often the record is asked for the yes.
const ASK_EVERY: Duration = Duration::from_secs(1);

impl Step for PinHostKey {
    const NAME: &'static str = server::PIN_HOST_KEY.name;
    type Needs = ServerNeeds;
    type Gives = Nothing;

    async fn run(&self, at: &At, needs: ServerNeeds) -> Result<Done<Nothing>, StepError> {
        let input: RegisterServer = at.input()?;
        at.say(format!("Connecting to {}", input.host)).await;
        let seen = sites::ssh::see_host_key(&input.host, input.port).await?;
        let records = &self.cloud.records;
        if let Some(expected) = input.host_key {
            if expected != seen.key.fingerprint {
                return Err(StepError::refused(
                    "host_key_mismatch",
                    format!(
                        "{} shows the host key {}, not {expected}.",
                        input.host, seen.key.fingerprint
                    ),
                ));
            }
            records
                .server_update(at.team, needs.server_id, |server| {
                    server.host_key = Some(seen.key.clone());
                    server.ip = Some(seen.ip.to_string());
                })
                .await?;
        } else {
            records
                .server_update(at.team, needs.server_id, |server| {
                    server.host_key_seen = Some(seen.key.clone());
                    server.ip = Some(seen.ip.to_string());
                })
                .await?;
        }
        let until = self.cloud.clock.now() + WAIT;
        while self.cloud.clock.now() < until {
            let server = records.server(at.team, needs.server_id).await?;
            if let Some(pinned) = server.host_key {
                if pinned.fingerprint != seen.key.fingerprint {
                    return Err(StepError::refused(
                        "host_key_changed",
                        format!(
                            "{} shows the host key {} now, but {} was said yes to.",
                            input.host, seen.key.fingerprint, pinned.fingerprint
                        ),
                    ));
                }
                return Ok(Done::With(
                    Nothing {},
                    format!("pinned {} {}", pinned.algorithm, pinned.fingerprint),
                ));
            }
            at.check_cancelled().await?;
            at.say(format!(
                "Waiting for a yes to the host key {}",
                seen.key.fingerprint
            ))
            .await;
            tokio::time::sleep(ASK_EVERY).await;
        }
        Err(StepError::busy(
            "host_key_unconfirmed",
            format!(
                "Nobody has said yes to the host key {} yet.",
                seen.key.fingerprint
            ),
        ))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| PinHostKey {
        cloud: cloud.clone(),
    })
    .await
}
