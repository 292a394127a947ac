//! An environment's values: their names, changes of them, and one in clear for those who may read secrets.
//!
//! Promise: a value is in no answer but the one that was asked for by its name and audited; a change is a new version.

use crate::auth::Caller;
use crate::body::{Asked, Body, Fields, Id, NoQuery};
use crate::problem::ApiError;
use axum::Json;
use axum::extract::{Path, State};
use contract::{MASK, ValueClear, ValueName, ValuesChange, ValuesReplace, ValuesView};
use domain::release::{VALUES_LIMIT_BYTES, ValuesVersion};
use domain::{Environment, EnvironmentId, SCHEMA, Scope, SecretId, StepError, names};
use kit::Cloud;
use records::RecordsError;
use std::collections::{BTreeMap, BTreeSet};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::{Zeroize, Zeroizing};

/// How often a change that met another one is made again.
const ATTEMPTS: u32 = 8;

/// See the module.
pub fn routes() -> OpenApiRouter<Cloud> {
    OpenApiRouter::new()
        .routes(routes!(value_list, values_replace, values_change))
        .routes(routes!(value_show))
}

/// All values of a version in clear: wiped when they are let go.
#[derive(Default)]
struct Clear(BTreeMap<String, String>);

impl Drop for Clear {
    fn drop(&mut self) {
        self.0.values_mut().for_each(Zeroize::zeroize);
    }
}

async fn opened(
    cloud: &Cloud,
    environment: &Environment,
    version: Option<&ValuesVersion>,
) -> Result<Clear, ApiError> {
    let Some(version) = version else {
        return Ok(Clear::default());
    };
    let now = cloud.clock.now().timestamp();
    let text = cloud
        .secrets
        .open(environment.team_id, version.secret, now)
        .await?;
    let values = serde_json::from_slice(&text).map_err(|_| {
        // The parser's own words would repeat what it read.
        StepError::broken("a version of values is not what was sealed")
    })?;
    Ok(Clear(values))
}

fn view(id: EnvironmentId, version: Option<ValuesVersion>) -> ValuesView {
    let Some(version) = version else {
        return ValuesView {
            environment_id: id,
            version: 0,
            values: Vec::new(),
            set_by: None,
            set_at: None,
        };
    };
    let values = version.names.into_iter().map(|(name, version)| ValueName {
        name,
        masked: MASK.to_string(),
        version,
    });
    ValuesView {
        environment_id: id,
        version: version.version,
        values: values.collect(),
        set_by: Some(version.set_by),
        set_at: Some(version.created_at),
    }
}

/// The names of an environment's values, each with the version that set it. Never the values.
#[utoipa::path(get, path = "/v1/environments/{id}/values", tag = "values", params(("id" = EnvironmentId, Path)),
    responses((status = 200, body = ValuesView)))]
async fn value_list(
    State(cloud): State<Cloud>,
    caller: Caller,
    Id(id): Id<EnvironmentId>,
) -> Result<Json<ValuesView>, ApiError> {
    caller.need(Scope::EnvRead)?;
    let environment = cloud.records.environment(caller.team, id).await?;
    let version = cloud
        .records
        .values_version(caller.team, id, environment.values_version)
        .await?;
    Ok(Json(view(id, version)))
}

/// One value in clear. It is written down who read it.
#[utoipa::path(get, path = "/v1/environments/{id}/values/{name}", tag = "values", params(("id" = EnvironmentId, Path), ("name" = String, Path, pattern = "^[A-Za-z_][A-Za-z0-9_]{0,127}$")),
    responses((status = 200, body = ValueClear)))]
async fn value_show(
    State(cloud): State<Cloud>,
    caller: Caller,
    Path((id, name)): Path<(String, String)>,
) -> Result<Json<ValueClear>, ApiError> {
    caller.need(Scope::EnvRead)?;
    caller.need(Scope::SecretsRead)?;
    let id: EnvironmentId = id.parse().map_err(|_| ApiError::not_found("environment"))?;
    let environment = cloud.records.environment(caller.team, id).await?;
    let version = cloud
        .records
        .values_version(caller.team, id, environment.values_version)
        .await?;
    let set_by = version
        .as_ref()
        .and_then(|version| version.names.get(&name));
    let set_by = *set_by.ok_or_else(|| ApiError::not_found("value"))?;
    let audit = caller.audit(
        &cloud,
        "value.read",
        id,
        format!("{name} of {}", environment.name),
    );
    cloud.records.audit_write(caller.team, &audit).await?;
    let clear = opened(&cloud, &environment, version.as_ref()).await?;
    let value = clear.0.get(&name).cloned();
    Ok(Json(ValueClear {
        name,
        value: value.ok_or_else(|| ApiError::not_found("value"))?,
        version: set_by,
    }))
}

/// What is asked of the values there are.
struct Change {
    set: Clear,
    unset: BTreeSet<String>,
    /// What is not set anew goes.
    all: bool,
}

impl Change {
    fn checked(&self) -> Result<(), ApiError> {
        let mut fields = Fields::default();
        for (name, value) in &self.set.0 {
            fields.check("set", names::value_name(name));
            if value.contains('\0') {
                fields.refuse("set", "a value is text, without a zero byte");
            }
            if self.unset.contains(name) {
                fields.refuse("unset", "names what is set as well");
            }
        }
        for name in &self.unset {
            fields.check("unset", names::value_name(name));
        }
        fields.end()
    }

    /// The values as they are to be, and the version that set each.
    fn over(
        &self,
        before: &Clear,
        known: &BTreeMap<String, u64>,
        next: u64,
    ) -> (Clear, BTreeMap<String, u64>) {
        let stays = |name: &str| !self.all && !self.unset.contains(name);
        let mut after = Clear::default();
        let mut by = BTreeMap::new();
        for (name, value) in before.0.iter().filter(|(name, _)| stays(name)) {
            after.0.insert(name.clone(), value.clone());
        }
        for (name, value) in &self.set.0 {
            after.0.insert(name.clone(), value.clone());
        }
        for (name, value) in &after.0 {
            let same = before.0.get(name) == Some(value);
            let version = known.get(name).copied().filter(|_| same).unwrap_or(next);
            by.insert(name.clone(), version);
        }
        (after, by)
    }

    /// For people: names alone.
    fn words(&self, of: &str) -> String {
        let names = |names: Vec<&str>| match names.len() {
            0 => "nothing".to_string(),
            1..=5 => names.join(", "),
            number => format!("{number} names"),
        };
        let set = names(self.set.0.keys().map(String::as_str).collect());
        let unset = names(self.unset.iter().map(String::as_str).collect());
        let all = if self.all { ", all others gone" } else { "" };
        format!("{of}: set {set}, unset {unset}{all}")
    }
}

async fn changed(
    cloud: &Cloud,
    caller: &Caller,
    id: EnvironmentId,
    change: Change,
) -> Result<Json<ValuesView>, ApiError> {
    let team = caller.team;
    cloud.records.environment(team, id).await?;
    change.checked()?;
    for _ in 0..ATTEMPTS {
        let environment = cloud.records.environment(team, id).await?;
        let read = environment.values_version;
        let version = cloud.records.values_version(team, id, read).await?;
        let before = opened(cloud, &environment, version.as_ref()).await?;
        let known = version.as_ref().map(|version| version.names.clone());
        let known = known.unwrap_or_default();
        let (after, names) = change.over(&before, &known, read + 1);
        if names == known {
            return Ok(Json(view(id, version)));
        }
        let text = serde_json::to_vec(&after.0).map_err(StepError::broken)?;
        let text = Zeroizing::new(text);
        if text.len() > VALUES_LIMIT_BYTES {
            let limit = VALUES_LIMIT_BYTES / 1024;
            return Err(ApiError::unprocessable(
                "values_too_large",
                format!(
                    "An environment's names and values may weigh {limit} KB together, written as JSON."
                ),
            ));
        }
        let (time, random) = cloud.id_parts();
        let secret = SecretId::from_parts(time, random);
        let purpose = format!("values {} of {}", read + 1, environment.host_name);
        let sealed = cloud
            .secrets
            .sealed_values(team, secret, &purpose, &text)
            .await?;
        let new = ValuesVersion {
            schema: SCHEMA,
            version: read + 1,
            names,
            secret,
            set_by: caller.name.clone(),
            created_at: cloud.clock.now(),
        };
        let words = change.words(&environment.name);
        let audit = caller.audit(cloud, "values.change", id, words);
        let put = cloud.records.values_put((team, id), &new, &sealed, &audit);
        if put.await? {
            return Ok(Json(view(id, Some(new))));
        }
    }
    Err(RecordsError::Contended.into())
}

/// Set and unset values: a new version, which the next deploy takes. What comes to the same makes none.
#[utoipa::path(patch, path = "/v1/environments/{id}/values", tag = "values", params(("id" = EnvironmentId, Path)), request_body = Option<ValuesChange>,
    responses((status = 200, body = ValuesView)))]
async fn values_change(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(_): Asked<NoQuery>,
    Id(id): Id<EnvironmentId>,
    body: Body<ValuesChange>,
) -> Result<Json<ValuesView>, ApiError> {
    caller.need(Scope::EnvWrite)?;
    let change = Change {
        set: Clear(body.value.set),
        unset: body.value.unset.into_iter().collect(),
        all: false,
    };
    changed(&cloud, &caller, id, change).await
}

/// All values anew: what is not among them is taken away.
#[utoipa::path(put, path = "/v1/environments/{id}/values", tag = "values", params(("id" = EnvironmentId, Path)), request_body = ValuesReplace,
    responses((status = 200, body = ValuesView)))]
async fn values_replace(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(_): Asked<NoQuery>,
    Id(id): Id<EnvironmentId>,
    body: Body<ValuesReplace>,
) -> Result<Json<ValuesView>, ApiError> {
    caller.need(Scope::EnvWrite)?;
    let change = Change {
        set: Clear(body.value.set),
        unset: BTreeSet::new(),
        all: true,
    };
    changed(&cloud, &caller, id, change).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clear(pairs: &[(&str, &str)]) -> Clear {
        let pairs = pairs.iter().map(|(a, b)| (a.to_string(), b.to_string()));
        Clear(pairs.collect())
    }

    fn set(pairs: &[(&str, &str)]) -> Change {
        Change {
            set: clear(pairs),
            unset: BTreeSet::new(),
            all: false,
        }
    }

    #[test]
    fn a_value_keeps_the_version_that_set_it_until_it_differs() {
        let before = clear(&[("A", "1"), ("B", "2")]);
        let known = BTreeMap::from([("A".to_string(), 1), ("B".to_string(), 2)]);
        let (_, names) = set(&[("A", "1"), ("B", "3"), ("C", "4")]).over(&before, &known, 5);
        let names: Vec<_> = names.into_values().collect();
        assert_eq!(names, [1, 5, 5]);
    }

    #[test]
    fn what_is_replaced_goes_and_what_is_unset_goes() {
        let before = clear(&[("A", "1"), ("B", "2")]);
        let known = BTreeMap::from([("A".to_string(), 1), ("B".to_string(), 1)]);
        let mut change = set(&[("A", "1")]);
        change.all = true;
        assert_eq!(change.over(&before, &known, 2).1.len(), 1);
        let mut change = set(&[]);
        change.unset.insert("A".to_string());
        let (after, names) = change.over(&before, &known, 2);
        assert!(!after.0.contains_key("A") && names.contains_key("B"));
        assert!(!change.words("production").contains('2'));
    }
}
