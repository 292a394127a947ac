//! Backup configurations and restore points through the API, on records in this process.
//!
//! The rule held: what is stored is due and keeps something; what is refused says why, and changed nothing.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use domain::{BackupId, DeploymentId, RestorePointStatus, Role, Scope, TeamId, TokenId};
use kit::Cloud;
use records::{AuditEntry, TokenRecord};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use testkit::Bench;
use tower::ServiceExt;

struct Api {
    cloud: Cloud,
    router: Router,
    team: TeamId,
    site: String,
    token: String,
}

const SCOPES: [Scope; 5] = [
    Scope::BackupRead,
    Scope::BackupRun,
    Scope::SiteWrite,
    Scope::DeployStart,
    Scope::AuditRead,
];

impl Api {
    /// With a site that is active; it is 22:13 on 14 November 2023.
    async fn new() -> Self {
        let bench = Bench::new(&pipelines::find("create_site").expect("a pipeline")).await;
        let created = bench.create(json!({"domain": "shop.example.com"})).await;
        bench.run(created, "run").await;
        let site = bench.snapshot(created).await.deployment.target.id;
        let mut api = Self {
            router: api::router(bench.cloud.clone()),
            cloud: bench.cloud,
            team: bench.team,
            site,
            token: String::new(),
        };
        api.token = api.token(api.team, &SCOPES).await;
        api
    }

    async fn token(&self, team: TeamId, scopes: &[Scope]) -> String {
        let (time, random) = self.cloud.id_parts();
        let id = TokenId::from_parts(time, random);
        let secret = format!("th_{id}");
        let hash = hex::encode(Sha256::digest(&secret));
        let now = self.cloud.clock.now();
        let token = TokenRecord::new(id, team, "ci", Role::Owner, scopes.to_vec(), hash, now);
        let audit = json!({"id": id, "at": domain::rfc3339(now), "from": "", "action": "token.create",
            "actor": {"kind": "system", "id": "test", "name": "Tess", "role": "owner"}, "target": id, "detail": ""});
        let audit: AuditEntry = serde_json::from_value(audit).expect("an entry");
        let made = self.cloud.records.token_create(&token, &audit).await;
        made.expect("stored");
        secret
    }

    async fn send(&self, method: Method, path: &str, token: &str, body: Value) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("/v1/sites/{}{path}", self.site))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .expect("a request");
        let answer = self.router.clone().oneshot(request).await;
        let answer = answer.expect("an answer");
        let status = answer.status().as_u16();
        let bytes = to_bytes(answer.into_body(), usize::MAX).await;
        let bytes = bytes.expect("a body");
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.send(Method::GET, path, &self.token, Value::Null).await
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(Method::POST, path, &self.token, body).await
    }

    async fn patch(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(Method::PATCH, path, &self.token, body).await
    }

    async fn created(&self, body: Value) -> Value {
        let (status, created) = self.post(PATH, body).await;
        assert_eq!(status, 201, "{created:#}");
        created
    }

    /// A backup with files, of a configuration or of none.
    async fn backup(&self, number: u64, configuration: Option<&Value>, parent: Option<u64>) {
        let id = |number| BackupId::from_parts(number, 0);
        let sealed = |size: u64| json!({"size_bytes": size, "sha256": "00"});
        let backup = json!({"schema": 1, "id": id(number), "team_id": self.team, "site_id": self.site,
            "scope": "site", "reason": "schedule", "prefix": format!("backups/{number}"),
            "deployment_id": DeploymentId::from_parts(number, 0), "parent": parent.map(id),
            "database": {"object": sealed(1000), "dump_bytes": 9, "tables": 1, "server": "x"},
            "files": {"object": sealed(10 * number), "manifest": sealed(1), "entries": 1, "tree_bytes": 1,
                "changed": 1, "deleted": 0},
            "size_bytes": 1000 + 10 * number + 1, "restore_point": "available",
            "configuration_id": configuration.map(|of| of["id"].clone()),
            "created_at": format!("2023-11-{number:02}T03:00:00.000Z")});
        let backup = serde_json::from_value(backup).expect("a backup");
        let put = self.cloud.records.backup_put(&backup).await;
        assert_eq!(put.expect("stored"), records::Put::Stored);
    }
}

const PATH: &str = "/backup-configurations";

fn of(configuration: &Value) -> String {
    format!("{PATH}/{}", configuration["id"].as_str().expect("an id"))
}

#[tokio::test]
async fn a_configuration_is_made_shown_changed_and_deleted() {
    let api = Api::new().await;
    let created = api
        .created(
            json!({"name": "nightly", "schedule": "0 3 * * *", "time_zone": "Europe/Berlin",
            "retention": {"keep_last": 7}}),
        )
        .await;
    assert_eq!(
        (
            &created["scope"],
            &created["full_every"],
            &created["enabled"],
            &created["next_due_at"]
        ),
        (
            &json!("site"),
            &json!(7),
            &json!(true),
            &json!("2023-11-15T02:00:00Z")
        )
    );
    let (_, shown) = api.get(&of(&created)).await;
    assert_eq!(shown, created);
    let (status, changed) = api
        .patch(&of(&created), json!({"enabled": false, "retention": null}))
        .await;
    assert_eq!(status, 200, "{changed:#}");
    assert_eq!(
        (
            &changed["next_due_at"],
            &changed["retention"],
            &changed["schedule"]
        ),
        (&Value::Null, &Value::Null, &json!("0 3 * * *"))
    );
    let (_, again) = api
        .patch(
            &of(&created),
            json!({"enabled": true, "schedule": "@hourly", "name": "hourly", "full_every": 3.0}),
        )
        .await;
    assert_eq!(
        (&again["next_due_at"], &again["name"], &again["full_every"]),
        (&json!("2023-11-14T23:00:00Z"), &json!("hourly"), &json!(3))
    );
    let (status, _) = api
        .send(Method::DELETE, &of(&created), &api.token, Value::Null)
        .await;
    assert_eq!(status, 204);
    assert_eq!(api.get(&of(&created)).await.0, 404);
    let (_, list) = api.get(PATH).await;
    assert_eq!(list["items"], json!([]));
    let trail = api.cloud.records.audit_page(api.team, None, 10).await;
    let entries = trail.expect("a page").items;
    let mut told: Vec<_> = entries
        .iter()
        .filter(|entry| entry.action.starts_with("backup_configuration."))
        .map(|entry| (entry.action.as_str(), entry.detail.as_str()))
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            ("backup_configuration.create", "nightly of shop"),
            ("backup_configuration.delete", "hourly of shop"),
            ("backup_configuration.update", "nightly of shop"),
            ("backup_configuration.update", "nightly of shop"),
        ]
    );
}

#[tokio::test]
async fn bad_input_is_a_field_error_with_the_reason_and_changes_nothing() {
    let api = Api::new().await;
    let good = json!({"name": "nightly", "schedule": "@daily"});
    let created = api.created(good.clone()).await;
    for (field, value, why) in [
        ("name", json!("No Name"), "must be 2 to 30"),
        ("schedule", json!("30 3 * * *"), "its first field must be 0"),
        ("schedule", json!("every day"), "five fields"),
        ("schedule", json!("0 0 31 2 *"), "never comes"),
        ("time_zone", json!("Mars/Olympus"), "is not a time zone"),
        ("full_every", json!(0), "must be 1 to 14"),
        ("full_every", json!(15), "must be 1 to 14"),
        ("exclude", json!(["/etc"]), "no path below the web root"),
        ("retention", json!({"keep_last": 0}), "keeps nothing"),
        ("retention", json!({}), "keeps nothing"),
        ("retention", json!({"keep_daily": 5000}), "1000 at most"),
    ] {
        let mut bad = json!({"name": "other", "schedule": "@daily"});
        bad[field] = value.clone();
        let change = json!({field: value});
        for (status, problem) in [
            api.post(PATH, bad).await,
            api.patch(&of(&created), change).await,
        ] {
            assert_eq!((status, &problem["code"]), (422, &json!("invalid_fields")));
            let error = &problem["errors"][0];
            let message = error["message"].as_str().expect("words");
            assert!(
                error["field"] == field && message.contains(why),
                "{field}: {problem:#}"
            );
        }
    }
    let (status, problem) = api.post(PATH, good).await;
    assert_eq!((status, &problem["code"]), (409, &json!("taken")));
    let (_, shown) = api.get(&of(&created)).await;
    assert_eq!(shown, created);
    for number in 1..10 {
        api.created(json!({"name": format!("more-{number}"), "schedule": "@daily"}))
            .await;
    }
    for dry_run in ["", "?dry_run=true"] {
        let one_more = json!({"name": "one-more", "schedule": "@daily"});
        let (status, problem) = api.post(&format!("{PATH}{dry_run}"), one_more).await;
        assert_eq!((status, &problem["code"]), (409, &json!("limit_reached")));
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|said| said.contains("A site has at most 10"))
        );
    }
}

#[tokio::test]
async fn what_is_another_teams_or_sites_is_not_there() {
    let api = Api::new().await;
    let created = api
        .created(json!({"name": "nightly", "schedule": "@daily"}))
        .await;
    let other = api.token(TeamId::from_parts(9, 9), &SCOPES).await;
    let retention = format!("{}/retention", of(&created));
    for (method, path) in [
        (Method::GET, PATH),
        (Method::POST, PATH),
        (Method::GET, &of(&created)),
        (Method::PATCH, &of(&created)),
        (Method::DELETE, &of(&created)),
        (Method::GET, &retention),
        (Method::GET, "/restore-points"),
    ] {
        let body = json!({"name": "stolen", "schedule": "@daily"});
        let (status, _) = api.send(method.clone(), path, &other, body).await;
        assert_eq!(status, 404, "{method} {path}");
    }
    let unknown = format!("{PATH}/01JD2Z6E9W8Q4S5T6V7X8Y9ZAB");
    for path in [unknown.as_str(), "/backup-configurations/x"] {
        assert_eq!(api.get(path).await.0, 404);
    }
    let reader = api.token(api.team, &[Scope::BackupRead]).await;
    let body = json!({"name": "mine", "schedule": "@daily"});
    assert_eq!(api.send(Method::POST, PATH, &reader, body).await.0, 403);
}

#[tokio::test]
async fn a_dry_run_shows_when_it_would_be_due_and_what_would_go_and_stores_nothing() {
    let api = Api::new().await;
    let (status, plan) = api
        .post(
            &format!("{PATH}?dry_run=true"),
            json!({"name": "nightly", "schedule": "@daily"}),
        )
        .await;
    assert_eq!(status, 200, "{plan:#}");
    assert_eq!(
        plan["next_due"],
        json!([
            "2023-11-15T00:00:00Z",
            "2023-11-16T00:00:00Z",
            "2023-11-17T00:00:00Z"
        ])
    );
    assert_eq!(api.get(PATH).await.1["items"], json!([]));
    let created = api
        .created(json!({"name": "nightly", "schedule": "@daily"}))
        .await;
    api.backup(1, Some(&created), None).await;
    api.backup(2, Some(&created), Some(1)).await;
    api.backup(3, Some(&created), None).await;
    api.backup(4, None, None).await;
    let (_, plan) = api
        .patch(
            &format!("{}?dry_run=true", of(&created)),
            json!({"retention": {"keep_last": 1}}),
        )
        .await;
    let stays = |plan: &Value| -> Vec<bool> {
        let backups = plan["backups"].as_array().expect("a list");
        backups.iter().map(|one| one["keep"] == true).collect()
    };
    assert_eq!(stays(&plan["retention"]), [true, false, false]);
    assert_eq!(plan["retention"]["expires_bytes"], 1021 + 1011);
    let (_, now) = api.get(&format!("{}/retention", of(&created))).await;
    assert_eq!(stays(&now), [true, true, true], "nothing was changed");
    assert_eq!(now["backups"][0]["reasons"], json!(["all are kept"]));
    let (_, shown) = api.get(&of(&created)).await;
    assert_eq!(
        shown["last_backup"]["id"],
        BackupId::from_parts(3, 0).to_string()
    );
}

#[tokio::test]
async fn a_restore_point_says_what_it_takes_and_a_pruned_one_why_it_is_none() {
    let api = Api::new().await;
    let created = api
        .created(json!({"name": "nightly", "schedule": "@daily"}))
        .await;
    api.backup(1, Some(&created), None).await;
    api.backup(2, Some(&created), Some(1)).await;
    api.backup(3, None, None).await;
    let site = api.site.parse().expect("an id");
    let gone = BackupId::from_parts(3, 0);
    let expired = api.cloud.records.backup_expire(api.team, site, gone).await;
    assert!(expired.expect("an answer"));
    let (_, page) = api.get("/restore-points").await;
    let points = page["items"].as_array().expect("a list");
    assert_eq!(
        (&points[0]["status"], &points[0]["not_restorable"]),
        (&json!("expired"), &json!("it was pruned"))
    );
    let ids: Vec<_> = [1, 2].map(|number| BackupId::from_parts(number, 0)).into();
    assert_eq!(points[1]["chain"], json!(ids));
    assert_eq!(
        points[1]["download_bytes"],
        1000 + (10 + 1) + (20 + 1),
        "its own dump, and the files of both"
    );
    assert_eq!(points[1]["not_restorable"], Value::Null);
    let restore = format!("/backups/{gone}/restore");
    let restorer = api
        .token(api.team, &[Scope::BackupRestore, Scope::DeployStart])
        .await;
    let (status, problem) = api.send(Method::POST, &restore, &restorer, json!({})).await;
    assert_eq!(
        (status, &problem["code"]),
        (409, &json!("restore_point_expired"))
    );
}

#[tokio::test]
async fn a_backup_by_hand_counts_for_a_configuration_and_nothing_is_deleted_meanwhile() {
    let api = Api::new().await;
    let created = api
        .created(json!({"name": "nightly", "schedule": "@daily", "exclude": ["wp-content/cache"]}))
        .await;
    api.backup(1, Some(&created), None).await;
    api.backup(2, None, None).await;
    let by = json!({"configuration_id": created["id"]});
    let mut both = by.clone();
    both["scope"] = json!("files");
    let (status, problem) = api.post("/backups", both).await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (422, &json!("scope"))
    );
    let (status, begun) = api.post("/backups", by).await;
    assert_eq!(status, 201, "{begun:#}");
    let id = begun["deployment"]["id"].as_str().expect("an id");
    let id: DeploymentId = id.parse().expect("an id");
    let snapshot = api.cloud.records.deployment_snapshot(api.team, id).await;
    let plan = snapshot.expect("a deployment").input["backup"].clone();
    assert_eq!(plan["configuration_id"], created["id"]);
    assert_eq!(plan["exclude"], json!(["wp-content/cache"]));
    assert_eq!(
        plan["parent"]["id"],
        BackupId::from_parts(1, 0).to_string(),
        "its own chain"
    );
    let old = BackupId::from_parts(2, 0);
    let path = format!("/backups/{old}");
    let (status, problem) = api
        .send(Method::DELETE, &path, &api.token, Value::Null)
        .await;
    assert_eq!((status, &problem["code"]), (409, &json!("target_busy")));
    assert_eq!(problem["held_by"]["deployment_id"], json!(id.to_string()));
    let site = api.site.parse().expect("an id");
    let stored = api.cloud.records.backup(api.team, site, old).await;
    assert_eq!(
        stored.expect("there").restore_point,
        RestorePointStatus::Available
    );
}
