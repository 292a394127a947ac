//! `triphammer services`: create, list, show, update, delete.

use super::projects::deleted;
use super::source::source;
use super::{when, when_exactly};
use crate::args::{ServiceCreate, ServiceUpdate, Services, SettingsArgs};
use crate::ending::{Ending, Fault};
use crate::invocation::Invocation;
use crate::output::plain;
use crate::table::{Cell, Table};
use crate::times::size;
use crate::{ask, plan, resolve};
use contract::{ProjectView, RegistryAsked, ServiceView, SourceView};
use domain::ProjectId;
use domain::release::{AutoDeploy, Gate, Limits};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// See the module.
pub async fn perform(invocation: &Invocation, command: Services) -> Result<Ending, Fault> {
    match command {
        Services::Create(asked) => create(invocation, *asked).await,
        Services::List { project } => list(invocation, project.as_deref()).await,
        Services::Show { service } => {
            let service = resolve::service(&invocation.client, &service).await?;
            shown(invocation, &service)
        }
        Services::Update(asked) => update(invocation, *asked).await,
        Services::Delete { service } => delete(invocation, &service).await,
    }
}

/// A text file.
pub fn text(path: &Path) -> Result<String, Fault> {
    std::fs::read_to_string(path)
        .map_err(|error| Fault::said(format!("{} cannot be read: {error}", path.display())))
}

/// A secret, never from an argument: other programs of the machine see those. A dry run needs none.
pub async fn secret(
    invocation: &Invocation,
    what: &str,
    variable: &str,
    stdin: bool,
    or: Option<&str>,
) -> Result<String, Fault> {
    if invocation.dry_run {
        return Ok("not-read".to_string());
    }
    if let Some(set) = std::env::var_os(variable).filter(|set| !set.is_empty()) {
        return set
            .into_string()
            .map_err(|_| Fault::said(format!("{variable} is not text")));
    }
    let read = if stdin {
        std::io::read_to_string(std::io::stdin())?
    } else if invocation.output.can_ask() {
        ask::secret(what).await?
    } else {
        let or = or.map_or(String::new(), |flag| format!(", or say {flag}"));
        return Err(Fault::said(format!(
            "the {what} is needed: set {variable}{or}"
        )));
    };
    let read = read.trim_end_matches(['\n', '\r']).to_string();
    if read.is_empty() {
        return Err(Fault::said(format!("the {what} is empty")));
    }
    Ok(read)
}

/// What was given of the settings; the rest is absent.
#[derive(Default)]
struct Given {
    gates: Option<BTreeMap<String, Gate>>,
    limits: Option<Limits>,
    registries: Option<Vec<RegistryAsked>>,
    auto_deploy: Option<AutoDeploy>,
}

async fn settings(
    invocation: &Invocation,
    asked: &SettingsArgs,
    before: Option<&ServiceView>,
) -> Result<Given, Fault> {
    let mut given = Given::default();
    if !asked.gates.is_empty() {
        let gates = asked.gates.iter().cloned().map(|(service, mut gate)| {
            gate.within_seconds = asked.gate_within.unwrap_or(gate.within_seconds);
            (service, gate)
        });
        // Those of other services stay.
        let mut all = before.map_or(BTreeMap::new(), |before| before.gates.clone());
        all.extend(gates);
        given.gates = Some(all);
    }
    if asked.cpus.is_some() || asked.memory.is_some() {
        let mut limits = before.map_or_else(Limits::default, |before| before.limits.clone());
        if let Some(cpus) = asked.cpus {
            limits.milli_cpus = Some((cpus * 1000.0).round().max(0.0) as u32);
        }
        if let Some(memory) = asked.memory {
            limits.memory_bytes = Some(memory.saturating_mul(1024 * 1024));
        }
        given.limits = Some(limits);
    }
    if let Some(login) = &asked.registry {
        let (username, registry) = login
            .rsplit_once('@')
            .ok_or_else(|| Fault::said("--registry: write USER@REGISTRY"))?;
        let password = secret(
            invocation,
            &format!("password of {} at {}", plain(username), plain(registry)),
            "TRIPHAMMER_REGISTRY_PASSWORD",
            asked.registry_password_stdin,
            Some("--registry-password-stdin"),
        )
        .await?;
        // The others stay, with what is stored of them.
        let others = before.map(|before| before.registries.as_slice());
        let mut all: Vec<_> = others
            .unwrap_or_default()
            .iter()
            .filter(|other| other.registry != registry)
            .map(|other| RegistryAsked {
                registry: other.registry.clone(),
                username: other.username.clone(),
                password: None,
            })
            .collect();
        all.push(RegistryAsked {
            registry: registry.to_string(),
            username: username.to_string(),
            password: Some(password),
        });
        given.registries = Some(all);
    }
    given.auto_deploy = asked.auto_deploy.clone().map(|branch| AutoDeploy {
        branch,
        watch_paths: asked.watch_paths.clone(),
    });
    Ok(given)
}

async fn create(invocation: &Invocation, asked: ServiceCreate) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let Some((project, name)) = asked.service.split_once('/') else {
        return Err(Fault::said(format!(
            "{:?} is no service's name: write PROJECT/NAME",
            asked.service
        )));
    };
    let project: ProjectView = resolve::project(client, project).await?;
    let Some(source) = source(invocation, &asked.source, None).await? else {
        return Err(Fault::said(
            "say where it comes from: --image, --compose, --repo or --archive",
        ));
    };
    let given = settings(invocation, &asked.settings, None).await?;
    let new = contract::ServiceCreate {
        name: name.to_string(),
        source,
        gates: given.gates.unwrap_or_default(),
        limits: given.limits.unwrap_or_default(),
        replicas: asked.settings.replicas.unwrap_or(1),
        allow: asked.settings.allow,
        registries: given.registries.unwrap_or_default(),
        auto_deploy: given.auto_deploy,
    };
    if invocation.dry_run {
        let words = format!(
            "create the service {}/{}",
            plain(&project.name),
            plain(name)
        );
        return plan::say(invocation, "create_service", &project, &words);
    }
    let created = client.service_create(project.id, &new).await?;
    shown(invocation, &created)
}

async fn update(invocation: &Invocation, asked: ServiceUpdate) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let found = resolve::service(client, &asked.service).await?;
    let source = source(invocation, &asked.source, Some(&found.source)).await?;
    let given = settings(invocation, &asked.settings, Some(&found)).await?;
    let auto_deploy = match (asked.no_auto_deploy, given.auto_deploy) {
        (true, _) => Some(None),
        (false, Some(auto)) => Some(Some(auto)),
        (false, None) => None,
    };
    let mut allow = found.allow.clone();
    let new = asked.settings.allow.iter();
    allow.extend(new.filter(|one| !found.allow.contains(one)));
    let change = contract::ServiceUpdate {
        revision: Some(found.revision),
        source,
        gates: match asked.no_gates {
            true => Some(BTreeMap::new()),
            false => given.gates,
        },
        limits: given.limits,
        replicas: asked.settings.replicas,
        allow: match asked.no_allow {
            true => Some(Vec::new()),
            false => (allow.len() > found.allow.len()).then_some(allow),
        },
        registries: given.registries,
        auto_deploy,
    };
    if invocation.dry_run {
        let words = format!("change the service {}", plain(&found.name));
        return plan::say(invocation, "update_service", &found, &words);
    }
    let changed = client.service_update(found.id, &change).await?;
    shown(invocation, &changed)
}

/// Where it comes from, in a few words.
fn from(source: &SourceView) -> String {
    match source {
        SourceView::Compose { file, .. } => {
            format!("a Compose file of {} lines", file.lines().count())
        }
        SourceView::Image { image } => image.clone(),
        SourceView::Repository { url, reference, .. } => format!("{url} {reference}"),
        SourceView::Archive { .. } => "an uploaded archive".to_string(),
    }
}

fn shown(invocation: &Invocation, service: &ServiceView) -> Result<Ending, Fault> {
    let output = &invocation.output;
    if output.json {
        output.document(service)?;
        return Ok(Ending::Done);
    }
    let mut table = Table::facts();
    table.fact("name", &service.name);
    table.fact("id", service.id.to_string());
    table.fact("kind", service.source.kind());
    table.fact("from", from(&service.source));
    if let SourceView::Repository { access, build, .. } = &service.source {
        table.fact("opened by", access.as_deref().unwrap_or("nothing"));
        table.fact("Dockerfile", &build.dockerfile);
        table.fact("context", &build.context);
    }
    for (name, gate) in &service.gates {
        let page = gate.http.as_ref().map_or("-", |http| http.path.as_str());
        let words = format!("{page} within {} s", gate.within_seconds);
        table.fact(&format!("gate of {}", plain(name)), words);
    }
    table.fact("replicas", service.replicas.to_string());
    table.fact_if("memory", service.limits.memory_bytes.map(size));
    let cpus = service.limits.milli_cpus;
    table.fact_if(
        "processors",
        cpus.map(|cpus| (f64::from(cpus) / 1000.0).to_string()),
    );
    let allowed = service.allow.iter().copied().map(<&'static str>::from);
    let allowed: Vec<_> = allowed.collect();
    table.fact_if("allowed", (!allowed.is_empty()).then(|| allowed.join(", ")));
    for login in &service.registries {
        table.fact(
            "registry",
            format!("{} as {}", login.registry, login.username),
        );
    }
    let auto = service.auto_deploy.as_ref();
    table.fact_if("deploys pushes to", auto.map(|auto| auto.branch.clone()));
    table.fact("created", when_exactly(service.created_at));
    output.table(&table)?;
    Ok(Ending::Done)
}

async fn list(invocation: &Invocation, project: Option<&str>) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let of = match project {
        Some(project) => Some(resolve::project(client, project).await?.id),
        None => None,
    };
    let page = client.services(of).await?;
    let output = &invocation.output;
    if output.json {
        output.document(&page)?;
        return Ok(Ending::Done);
    }
    if page.items.is_empty() {
        output.note("no services yet; create one: triphammer services create --help");
    }
    let projects = client.projects().await?.items;
    let names: BTreeMap<ProjectId, &String> =
        projects.iter().map(|one| (one.id, &one.name)).collect();
    let mut table = Table::with(&["NAME", "KIND", "FROM", "CREATED", "ID"]);
    for service in &page.items {
        let project = names
            .get(&service.project_id)
            .map_or("?", |name| name.as_str());
        table.row([
            Cell::from(format!("{project}/{}", service.name)),
            service.source.kind().into(),
            from(&service.source).into(),
            when(service.created_at),
            service.id.to_string().into(),
        ]);
    }
    output.table(&table)?;
    Ok(Ending::Done)
}

async fn delete(invocation: &Invocation, service: &str) -> Result<Ending, Fault> {
    let service = resolve::service(&invocation.client, service).await?;
    let named = format!("the service {}", plain(&service.name));
    if invocation.dry_run {
        let words = format!("delete {named}");
        return plan::say(invocation, "delete_service", &service, &words);
    }
    if !invocation.sure(&format!("Delete {named}?")).await? {
        return Err(Fault::said("not deleted"));
    }
    invocation.client.service_delete(service.id).await?;
    deleted(invocation, json!({ "deleted": service }), &named)
}
