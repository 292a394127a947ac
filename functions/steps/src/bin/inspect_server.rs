//! Ask the agent what the server has, and say what it lacks for which pipelines.
//!
//! Changes nothing on the server.

use domain::{ServerFacts, StepError};
use kit::step::Nothing;
use kit::{At, Done, Step};
use pipelines::steps::server;
use protocol::{Call, Facts, VersionReply};
use sites::Hosts;
use steps::ServerNeeds;

struct InspectServer {
    hosts: Hosts,
}

impl Step for InspectServer {
    const NAME: &'static str = server::INSPECT_SERVER.name;
    type Needs = ServerNeeds;
    type Gives = Nothing;

    async fn run(&self, at: &At, needs: ServerNeeds) -> Result<Done<Nothing>, StepError> {
        let cloud = self.hosts.cloud();
        let host = self.hosts.connect(at, needs.server_id).await?;
        let version: VersionReply = host.call(Call::Version).await?;
        let asked_at = cloud.clock.now();
        let facts: Facts = host.call(Call::Facts).await?;
        let facts = ServerFacts {
            os: facts.os,
            architecture: facts.architecture,
            php: facts.php,
            database: facts.database,
            web_server: facts.web_server,
            docker: facts.docker,
            disk_free_bytes: facts.disk_free_bytes,
            disk_total_bytes: facts.disk_total_bytes,
            cpus: facts.cpus,
            memory_bytes: facts.memory_bytes,
            clock_skew_seconds: facts.clock_seconds - asked_at.timestamp(),
            missing: facts.missing,
            checked_at: asked_at,
        };
        let output = summary(&facts);
        cloud
            .records
            .server_update(at.team, needs.server_id, |server| {
                server.facts = Some(facts.clone());
                server.agent_version = Some(version.version.clone());
            })
            .await?;
        Ok(Done::With(Nothing {}, output))
    }
}

/// Beyond this, signatures and expiry times begin to fail.
const SKEW_SECONDS: i64 = 60;

fn summary(facts: &ServerFacts) -> String {
    let has: Vec<&str> = [
        facts.web_server.as_deref(),
        facts.database.as_deref(),
        facts.docker.as_deref(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut lines = vec![format!(
        "{}; PHP {}; {}",
        facts.os,
        if facts.php.is_empty() {
            "none".to_string()
        } else {
            facts.php.join(", ")
        },
        has.join(", ")
    )];
    for (purpose, missing) in &facts.missing {
        lines.push(if missing.is_empty() {
            format!("ready for {purpose}")
        } else {
            format!("not ready for {purpose}: {}", missing.join(", "))
        });
    }
    if facts.clock_skew_seconds.abs() > SKEW_SECONDS {
        lines.push(format!(
            "its clock is {} seconds off",
            facts.clock_skew_seconds
        ));
    }
    lines.join("; ")
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| InspectServer {
        hosts: Hosts::new(cloud),
    })
    .await
}
