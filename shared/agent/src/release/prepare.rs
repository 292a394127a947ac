//! A release as it is asked for, judged, pinned, planned, and kept.
//!
//! Promise: nothing runs yet, and what is refused leaves nothing.

use crate::fault::{Result, already_exists, refused};
use crate::host::Work;
use crate::release::compose;
use crate::release::container::{DEPLOYMENT, ENVIRONMENT, has_health_check};
use crate::release::engine;
use crate::release::folder::{Environment, Ports, Release};
use crate::release::images;
use crate::release::mask::Mask;
use crate::release::plan::{self, Files};
use crate::release::ports;
use protocol::AgentError;
use protocol::release::{EnvironmentName, ReleasePlan, ReleasePrepare, Update, VolumesCreated};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// See [`protocol::Call::ReleasePrepare`].
pub fn prepare(work: &Work, asked: &ReleasePrepare) -> Result<ReleasePlan> {
    let environment = Environment::of(work.paths, &asked.environment)?;
    let release = environment.release(&work.lease.deployment_id)?;
    if release.was_asked(asked)? {
        return release.plan();
    }
    let resolved = compose::resolve(asked)?;
    plan::check(asked, &resolved.model)?;
    let pinned = pin(asked, &resolved.model)?;
    let decisions = plan::decide(&resolved.model, &asked.routes);
    let before = environment.replaced_by(release.deployment())?;
    let before = before.map(|before| Ok::<_, AgentError>((before.files()?, before.ports()?)));
    let before = before.transpose()?;
    let mut plan = plan::plan(
        &resolved.model,
        environment.name(),
        &asked.images,
        &pinned.images,
        &decisions,
        &existing_volumes()?,
    );
    release.make()?;
    let kept = before
        .as_ref()
        .map_or_else(Ports::new, |(files, ports)| kept(files, ports, &decisions));
    let wanted = plan::wanted_ports(asked, &resolved.model);
    let ports = ports::choose(work.paths, &release, &wanted, &kept)?;
    let in_place_before = before.map_or(Value::Null, |(files, _)| files.in_place);
    let files = plan::files(
        &resolved.model,
        &pinned,
        &release,
        &decisions,
        &ports,
        &in_place_before,
    );
    plan.variables = resolved.variables;
    plan.notes = resolved.notes;
    plan.notes.extend(files.notes.iter().cloned());
    plan.notes
        .extend(restarts(&files, &in_place_before, &release));
    for service in plan.services.iter_mut().filter(|one| !one.has_health_check) {
        service.has_health_check = has_health_check(&service.image)?.unwrap_or(false);
    }
    release.keep(asked, &pinned, &files, &plan)?;
    Ok(plan)
}

/// The same with an exact image for each service.
fn pin(asked: &ReleasePrepare, model: &Value) -> Result<ReleasePrepare> {
    let mut known: BTreeMap<&str, String> = BTreeMap::new();
    let mut pinned = asked.clone();
    for (name, service) in plan::services_of(model) {
        let in_file = service.get("image").and_then(Value::as_str);
        let Some(image) = asked.images.get(name).map(String::as_str).or(in_file) else {
            continue;
        };
        let exact = if asked.built.iter().any(|built| built == name) {
            image.to_string()
        } else if let Some(exact) = known.get(image) {
            exact.clone()
        } else {
            let exact = images::pin(image, &asked.registries)?;
            known.insert(image, exact.clone());
            exact
        };
        pinned.images.insert(name.to_string(), exact);
    }
    Ok(pinned)
}

/// Services that are updated in place, now as before, keep their ports: the routes to them need no change.
fn kept(before: &Files, ports: &Ports, now: &plan::Decisions) -> Ports {
    let in_place = |decisions: &plan::Decisions, name: &str| {
        decisions
            .get(name)
            .is_some_and(|one| one.update == Update::InPlace)
    };
    let kept = ports
        .iter()
        .filter(|(name, _)| in_place(&before.decisions, name) && in_place(now, name));
    kept.map(|(name, ports)| (name.clone(), ports.clone()))
        .collect()
}

/// What people should know of services that are away for a moment.
fn restarts(files: &Files, before: &Value, release: &Release) -> Vec<String> {
    let names = plan::names_in(&files.in_place);
    let changed = names.into_iter().filter(|name| {
        let (old, new) = (
            &before["services"][name.as_str()],
            &files.in_place["services"][name.as_str()],
        );
        !old.is_null() && new["labels"][DEPLOYMENT] == release.deployment()
    });
    changed
        .map(|name| format!("{name} restarts: it changed, and is replaced in place"))
        .collect()
}

fn existing_volumes() -> Result<BTreeSet<String>> {
    let names = engine::output(["volume", "ls", "--quiet"])?;
    Ok(names.lines().map(str::to_string).collect())
}

/// See [`protocol::Call::ReleaseDiscard`].
pub fn discard(work: &mut Work, asked: &EnvironmentName) -> Result<()> {
    let environment = Environment::of(work.paths, &asked.environment)?;
    let release = environment.release(&work.lease.deployment_id)?;
    let state = environment.state()?;
    let deployment = Some(release.deployment());
    if state.live.as_deref() == deployment || state.before.as_deref() == deployment {
        work.note("the release is live: what is kept of it stays");
        return Ok(());
    }
    lapse(&environment, &release)?;
    if release.remove()? {
        work.did("what was kept of the release is gone");
    }
    Ok(())
}

/// Remember a release's images before its folder goes, for the next pruning.
pub fn lapse(environment: &Environment, release: &Release) -> Result<()> {
    if !release.is_prepared() {
        return Ok(());
    }
    let mut lapsed = environment.lapsed()?;
    let before = lapsed.len();
    lapsed.extend(
        release
            .plan()?
            .services
            .into_iter()
            .map(|service| service.image),
    );
    if lapsed.len() == before {
        return Ok(());
    }
    environment.set_lapsed(&lapsed)
}

/// See [`protocol::Call::VolumesCreate`].
pub fn volumes(work: &Work, asked: &EnvironmentName) -> Result<VolumesCreated> {
    let environment = Environment::of(work.paths, &asked.environment)?;
    let release = environment.release(&work.lease.deployment_id)?;
    let outlives = release.files()?.outlives;
    for (name, entry) in &outlives.networks {
        make("network", name, entry, &release)?;
    }
    let mut reply = VolumesCreated {
        created: Vec::new(),
        kept: Vec::new(),
    };
    for (name, entry) in &outlives.volumes {
        let is_new = make("volume", name, entry, &release)?;
        let list = if is_new {
            &mut reply.created
        } else {
            &mut reply.kept
        };
        list.push(name.clone());
    }
    Ok(reply)
}

/// Make it unless it is there and ours; says whether it was made. What is somebody else's must be there.
fn make(kind: &str, name: &str, entry: &Value, release: &Release) -> Result<bool> {
    let owner = owner(kind, name)?;
    match owner {
        Some(_) if entry.is_null() => return Ok(false),
        Some(owner) if owner == release.environment() => return Ok(false),
        Some(_) => return Err(anothers(kind, name)),
        None if entry.is_null() => {
            return Err(refused(
                "external_missing",
                format!(
                    "The {kind} {name} is external, and this server has none of that name. Create it: docker {kind} create {name}"
                ),
            ));
        }
        None => {}
    }
    let mut words = vec![kind.to_string(), "create".to_string()];
    words.push(format!("--label={ENVIRONMENT}={}", release.environment()));
    words.push(format!("--label={DEPLOYMENT}={}", release.deployment()));
    words.extend(options(kind, entry));
    words.extend(["--".to_string(), name.to_string()]);
    let seen = engine::ask(words.iter().map(String::as_str))?;
    if seen.ok {
        return Ok(true);
    }
    // What it quotes may be an option, and that a value.
    let mask = Mask::of(&release.asked()?.values);
    Err(engine::unlogged(&seen.errors, &mask))
}

/// It stands there, and is not the environment's: it is used only when the file says so.
fn anothers(kind: &str, name: &str) -> AgentError {
    let mut fault = already_exists(&format!("The {kind} {name}"));
    fault.message.push_str(
        " To use it as it is, write `external: true` beside its name in the Compose file.",
    );
    fault
}

/// The environment that a network or volume says it is of, or nothing; none when it is not there.
fn owner(kind: &str, name: &str) -> Result<Option<String>> {
    let seen = engine::ask([kind, "inspect", "--format", "{{json .Labels}}", "--", name])?;
    if seen.ok {
        let labels: Value = serde_json::from_str(seen.output.trim()).unwrap_or_default();
        return Ok(Some(
            labels[ENVIRONMENT].as_str().unwrap_or_default().to_string(),
        ));
    }
    let missing = seen.errors.to_ascii_lowercase();
    if missing.contains("no such") || missing.contains("not found") {
        return Ok(None);
    }
    Err(engine::unlogged(&seen.errors, &Mask::default()))
}

/// What the file says of it, as arguments of the engine.
fn options(kind: &str, entry: &Value) -> Vec<String> {
    let text = |value: &Value| match value {
        // The model is written for Compose, which takes `$$` for a `$`.
        Value::String(text) => text.replace("$$", "$"),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let mut words = Vec::new();
    if let Some(driver) = entry["driver"].as_str() {
        words.push(format!("--driver={driver}"));
    }
    let options = entry["driver_opts"].as_object().into_iter().flatten();
    words.extend(options.map(|(name, value)| format!("--opt={name}={}", text(value))));
    let labels = entry["labels"].as_object().into_iter().flatten();
    words.extend(
        labels
            .filter(|(name, _)| ![ENVIRONMENT, DEPLOYMENT].contains(&name.as_str()))
            .map(|(name, value)| format!("--label={name}={}", text(value))),
    );
    if kind == "network" {
        let flags = [
            ("internal", "--internal"),
            ("attachable", "--attachable"),
            ("enable_ipv6", "--ipv6"),
        ];
        words.extend(
            flags
                .iter()
                .filter(|(name, _)| entry[*name] == true)
                .map(|(_, flag)| flag.to_string()),
        );
        let pools = entry["ipam"]["config"].as_array().into_iter().flatten();
        for pool in pools {
            let named = [
                ("subnet", "--subnet"),
                ("gateway", "--gateway"),
                ("ip_range", "--ip-range"),
            ];
            words.extend(
                named
                    .iter()
                    .filter_map(|(name, flag)| Some(format!("{flag}={}", pool[*name].as_str()?))),
            );
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_file_says_of_a_network_or_volume_reaches_the_engine() {
        let network = json!({"driver": "bridge", "internal": true, "labels": {"a": "b", "triphammer.environment": "other"},
            "ipam": {"config": [{"subnet": "10.9.0.0/24", "gateway": "10.9.0.1"}]}});
        assert_eq!(
            options("network", &network),
            [
                "--driver=bridge",
                "--label=a=b",
                "--internal",
                "--subnet=10.9.0.0/24",
                "--gateway=10.9.0.1"
            ]
        );
        let volume = json!({"driver": "local", "driver_opts": {"type": "tmpfs", "size": 5, "o": "password=a$$b"}, "internal": true});
        assert_eq!(
            options("volume", &volume),
            [
                "--driver=local",
                "--opt=type=tmpfs",
                "--opt=size=5",
                "--opt=o=password=a$b"
            ]
        );
    }

    #[test]
    fn who_meets_a_volume_of_somebody_elses_is_told_how_to_use_it() {
        let fault = anothers("volume", "old_data");
        assert_eq!(fault.code, "already_exists");
        assert!(fault.message.contains("The volume old_data"));
        assert!(fault.message.contains("`external: true`"));
    }

    #[test]
    fn a_service_keeps_its_port_only_while_it_is_updated_in_place() {
        let decided = |update| plan::Decision {
            update,
            because: String::new(),
            once: false,
            needs: BTreeMap::new(),
        };
        let decisions = |web, api| {
            plan::Decisions::from([
                ("web".to_string(), decided(web)),
                ("api".to_string(), decided(api)),
            ])
        };
        let before = Files {
            in_place: Value::Null,
            beside: Value::Null,
            decisions: decisions(Update::InPlace, Update::Beside),
            outlives: plan::Outlives::default(),
            notes: Vec::new(),
        };
        let at = |port| BTreeMap::from([(80, vec![port])]);
        let ports = Ports::from([
            ("web".to_string(), at(20_001)),
            ("api".to_string(), at(20_002)),
        ]);
        let now = decisions(Update::InPlace, Update::InPlace);
        assert_eq!(
            kept(&before, &ports, &now),
            Ports::from([("web".to_string(), at(20_001))])
        );
        assert!(kept(&before, &ports, &decisions(Update::Beside, Update::Beside)).is_empty());
    }
}
