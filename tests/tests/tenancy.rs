//! What belongs to a team, asked for by another one: every route of the description, and every live topic.
//!
//! The rule held: another team's id is the id of nothing. A route that is added is tested by being described; one whose
//! path or body names a thing that `Owned` does not have yet fails until it does.

use e2e::containers::{Containers, VALUE};
use e2e::routes::{Route, routes};
use e2e::{Answer, Live, Stack, settled};
use reqwest::Method;
use serde_json::{Value, json};
use std::cell::Cell;

/// What the owner's team has: one of everything that a route may name.
struct Owned {
    stack: Stack,
    /// Every route under a path that begins so is asked for this id; `{backup_id}`: every route that names one.
    ids: Vec<(&'static str, String)>,
    /// Bodies that name the owner's things, of the routes that take one.
    bodies: Vec<(&'static str, Value)>,
}

/// The id in an answer, under one member of it.
fn id_of(answer: &Answer, member: &str) -> String {
    assert_eq!(answer.status, 201, "{:#}", answer.body);
    let id = answer.body[member]["id"].as_str().expect("an id");
    id.to_string()
}

impl Owned {
    async fn ready() -> Self {
        let stack = Stack::from_env();
        let server = stack.registered().await;
        let name = format!("of-team-{}", std::process::id());
        let known = stack.get("/v1/sites").await.body;
        let known = known["items"].as_array().into_iter().flatten();
        // One site serves all tests of this run: it takes the most time.
        let site = match known.clone().find(|site| site["name"] == name.as_str()) {
            Some(site) => site["id"].as_str().expect("an id").to_string(),
            None => {
                let ended = stack.create_site(stack.site_create(&server, &name)).await;
                settled(&ended, "completed").expect("completed");
                ended["target"]["id"].as_str().expect("an id").to_string()
            }
        };
        let backup = backup_of(&stack, &site).await;
        let configuration = configuration_of(&stack, &site).await;
        let deployments = stack
            .get(&format!("/v1/deployments?target=site:{site}"))
            .await;
        let deployments = deployments.body["items"]
            .as_array()
            .expect("a list")
            .clone();
        let of_create = |deployment: &&Value| deployment["type"] == "create_site";
        let deployment = deployments.iter().find(of_create).expect("it was created");
        let deployment = deployment["id"].as_str().expect("an id");
        let token = mint(&stack, &["server:read"]).await.0;
        let endpoint = json!({"url": "https://hooks.example.com/deployments"});
        let endpoint = stack.post("/v1/webhook-endpoints", endpoint).await;
        let site_create = stack.site_create(&server, "taken-over");
        let containers = Containers::ready(&stack, &stack.token, &server, &name, "a-value").await;
        let mut owned = Self {
            ids: vec![
                ("/v1/deployments/", deployment.to_string()),
                ("/v1/servers/", server),
                ("/v1/sites/", site),
                ("/v1/tokens/", token),
                ("/v1/webhook-endpoints/", id_of(&endpoint, "endpoint")),
                ("{backup_id}", backup),
                ("{configuration_id}", configuration),
                ("{step}", "provision_database".to_string()),
                ("{name}", VALUE.to_string()),
            ],
            bodies: vec![("POST /v1/sites", site_create)],
            stack,
        };
        owned.ids.extend(containers.ids);
        owned.bodies.extend(containers.bodies);
        owned
    }

    /// Remove what a team may only have a few of.
    async fn leave(self) {
        for kind in ["/v1/webhook-endpoints/", "/v1/tokens/"] {
            let path = format!("{kind}{}", self.id(kind));
            let removed = self
                .stack
                .send(Method::DELETE, &path, &self.stack.token, &[], None)
                .await;
            assert_eq!(removed.status, 204, "{path}: {:#}", removed.body);
        }
    }

    /// The owner's thing that a path is about.
    fn id(&self, path: &str) -> &str {
        let found = self.ids.iter().find(|(prefix, _)| path.starts_with(prefix));
        let (_, id) = found.unwrap_or_else(|| {
            panic!("{path} names a thing that this test has none of: add one to `Owned`")
        });
        id
    }

    /// The route's path, with the owner's ids in it.
    fn path(&self, route: &Route) -> String {
        let mut path = route.path.clone();
        for parameter in route.parameters() {
            let name = format!("{{{parameter}}}");
            let id = if parameter == "id" {
                self.id(&route.path)
            } else {
                self.id(&name)
            };
            path = path.replace(&name, id);
        }
        path
    }

    /// A body that the route takes, and whether it names one of the owner's things.
    fn body(&self, route: &Route) -> (Option<String>, bool) {
        let names_something = Cell::new(false);
        let body = route.body(&|_| {
            names_something.set(true);
            "01JD2Z6E9W8Q4S5T6V7X8Y9ZAB".to_string()
        });
        if !names_something.get() {
            return (body, false);
        }
        let name = route.name();
        let known = self.bodies.iter().find(|(route, _)| *route == name);
        let (_, body) = known.unwrap_or_else(|| {
            panic!("the body of {name} names a thing by its id: add one to `Owned` that names the owner's")
        });
        (Some(body.to_string()), true)
    }

    async fn ask(&self, route: &Route, token: &str) -> Answer {
        let (path, (body, _)) = (self.path(route), self.body(route));
        self.stack
            .send(route.method.clone(), &path, token, &[], body)
            .await
    }

    /// Everything that the owner is shown.
    async fn shown(&self) -> Vec<(String, Value)> {
        let mut shown = Vec::new();
        for route in routes() {
            // A token or endpoint has no page of its own, so its list is where it is seen.
            if route.is_kept() {
                let answer = self.ask(&route, &self.stack.token).await;
                assert_eq!(answer.status, 200, "{}: {:#}", route.name(), answer.body);
                shown.push((route.name(), answer.body));
            }
        }
        shown
    }

    fn names_none_of_them(&self, answer: &Answer, asked: &str) {
        let text = answer.body.to_string();
        for (_, id) in &self.ids {
            assert!(
                !text.contains(id.as_str()),
                "{asked} shows {id}: {:#}",
                answer.body
            );
        }
    }
}

/// A backup of the site: it is made once.
async fn backup_of(stack: &Stack, site: &str) -> String {
    let path = format!("/v1/sites/{site}/backups");
    let known = stack.get(&path).await.body["items"][0]["id"].clone();
    if let Some(id) = known.as_str() {
        return id.to_string();
    }
    let made = stack.post(&path, json!({"scope": "database"})).await;
    let id = id_of(&made, "deployment");
    settled(&stack.ended(&id).await, "completed").expect("backed up");
    let listed = stack.get(&path).await.body;
    listed["items"][0]["id"]
        .as_str()
        .expect("an id")
        .to_string()
}

/// A backup configuration of the site that is never due: it is made once.
async fn configuration_of(stack: &Stack, site: &str) -> String {
    let path = format!("/v1/sites/{site}/backup-configurations");
    let known = stack.get(&path).await.body["items"][0]["id"].clone();
    if let Some(id) = known.as_str() {
        return id.to_string();
    }
    let body = json!({"name": "owned", "schedule": "@monthly", "enabled": false});
    let made = stack.post(&path, body).await;
    assert_eq!(made.status, 201, "{:#}", made.body);
    made.body["id"].as_str().expect("an id").to_string()
}

/// A token of the owner's team with these scopes: its id and its secret.
async fn mint(stack: &Stack, scopes: &[&str]) -> (String, String) {
    let body = json!({"name": "tenancy", "role": "owner", "scopes": scopes});
    let made = stack.post("/v1/tokens", body).await;
    let secret = made.body["secret"].as_str().unwrap_or_default().to_string();
    (id_of(&made, "token"), secret)
}

async fn revoke(stack: &Stack, id: &str) {
    let revoked = stack
        .send(
            Method::DELETE,
            &format!("/v1/tokens/{id}"),
            &stack.token,
            &[],
            None,
        )
        .await;
    assert_eq!(revoked.status, 204, "{:#}", revoked.body);
}

fn refused(answer: &Answer, route: &Route, status: u16, code: &str) {
    assert_eq!(
        (answer.status, answer.code()),
        (status, code),
        "{}: {:#}",
        route.name(),
        answer.body
    );
}

#[tokio::test]
async fn another_teams_id_is_a_404_on_every_route_and_changes_nothing() {
    let owned = Owned::ready().await;
    let other = owned.stack.other_team_token().await.expect("a token");
    let before = owned.shown().await;
    let mut asked = 0;
    for route in routes() {
        if route.parameters().is_empty() && !owned.body(&route).1 {
            continue;
        }
        asked += 1;
        let answer = owned.ask(&route, &other).await;
        refused(&answer, &route, 404, "not_found");
    }
    assert!(asked > 10, "{asked} routes name things");
    assert_eq!(
        owned.shown().await,
        before,
        "the owner's things are as before"
    );
    owned.leave().await;
}

#[tokio::test]
async fn methods_that_a_route_does_not_have_are_refused_for_everybody() {
    let owned = Owned::ready().await;
    let routes = routes();
    let before = owned.shown().await;
    for route in &routes {
        for method in [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ] {
            if routes
                .iter()
                .any(|other| other.path == route.path && other.method == method)
            {
                continue;
            }
            let route = route.with(method);
            let path = owned.path(&route);
            let answer = owned
                .stack
                .send(route.method.clone(), &path, &owned.stack.token, &[], None)
                .await;
            refused(&answer, &route, 405, "method_not_allowed");
        }
    }
    assert_eq!(owned.shown().await, before);
    owned.leave().await;
}

#[tokio::test]
async fn lists_of_another_team_name_nothing_of_the_owners_however_they_are_asked() {
    let owned = Owned::ready().await;
    let other = owned.stack.other_team_token().await.expect("a token");
    let lists = routes()
        .into_iter()
        .filter(|route| route.method == Method::GET && route.parameters().is_empty())
        .filter(|route| !route.needs_query);
    let mut lists_seen = 0;
    for route in lists {
        let get = async |query: &str| {
            let path = format!("{}{query}", route.path);
            let answer = owned
                .stack
                .send(Method::GET, &path, &other, &[], None)
                .await;
            (path, answer)
        };
        let (path, answer) = get("").await;
        assert_eq!(answer.status, 200, "{path}: {:#}", answer.body);
        owned.names_none_of_them(&answer, &path);
        lists_seen += 1;
        for parameter in &route.query {
            for (prefix, id) in &owned.ids {
                let kind = prefix.trim_start_matches("/v1/").trim_end_matches("s/");
                for value in [id.clone(), format!("{kind}:{id}")] {
                    let (path, answer) = get(&format!("?{parameter}={value}")).await;
                    assert!(answer.status < 500, "{path}: {:#}", answer.body);
                    let items = answer.body["items"].as_array().map_or(0, Vec::len);
                    assert_eq!(items, 0, "{path}: {:#}", answer.body);
                    owned.names_none_of_them(&answer, &path);
                }
            }
        }
    }
    assert!(lists_seen > 5, "{lists_seen} lists");
    // The same lists do name them to their owner: they would be seen above.
    let shown = json!(owned.shown().await).to_string();
    for (prefix, id) in &owned.ids {
        assert!(shown.contains(id.as_str()), "{prefix}{id}");
    }
    owned.leave().await;
}

#[tokio::test]
async fn without_a_token_every_route_is_a_401_and_without_the_scope_a_403() {
    let owned = Owned::ready().await;
    let before = owned.shown().await;
    let (reader, secret) = mint(&owned.stack, &["audit:read"]).await;
    // A token made meanwhile is listed, and its making is in the trail.
    let without_the_reader = async || {
        let mut shown = owned.shown().await;
        shown.retain(|(route, _)| route != "GET /v1/tokens" && route != "GET /v1/audit");
        shown
    };
    for route in routes().into_iter().filter(|route| route.needs_token) {
        for token in ["", "th_0000000000000000"] {
            let answer = owned.ask(&route, token).await;
            refused(&answer, &route, 401, "unauthorized");
        }
        let answer = owned.ask(&route, &secret).await;
        match route.name().as_str() {
            "GET /v1/audit" => assert_eq!(answer.status, 200, "{:#}", answer.body),
            _ => refused(&answer, &route, 403, "forbidden"),
        }
    }
    let mut before = before;
    before.retain(|(route, _)| route != "GET /v1/tokens" && route != "GET /v1/audit");
    assert_eq!(without_the_reader().await, before);
    revoke(&owned.stack, &reader).await;
    owned.leave().await;
}

#[tokio::test]
async fn a_topic_of_another_team_is_refused_and_its_own_stays_silent() {
    let owned = Owned::ready().await;
    let stack = &owned.stack;
    let other = stack.other_team_token().await.expect("a token");
    let (mut ours, mut theirs) = (stack.live(&stack.token).await, stack.live(&other).await);
    let topic = format!("deployment:{}", owned.id("/v1/deployments/"));
    assert_eq!(ours.subscribe(&topic).await["event"], "subscribed");
    let refused = theirs.subscribe(&topic).await;
    assert_eq!(
        (&refused["event"], &refused["code"], &refused["topic"]),
        (&json!("refused"), &json!("not_found"), &json!(topic)),
        "{refused:#}"
    );
    let unknown = theirs
        .subscribe("deployment:01JD2Z6E9W8Q4S5T6V7X8Y9ZAB")
        .await;
    assert_eq!(
        (&unknown["code"], &unknown["message"]),
        (&refused["code"], &refused["message"]),
        "what is not there looks the same"
    );
    for live in [&mut ours, &mut theirs] {
        assert_eq!(live.subscribe("team").await["event"], "subscribed");
    }
    let server = owned.id("/v1/servers/");
    let check = stack
        .post(&format!("/v1/servers/{server}/check"), json!({}))
        .await;
    let id = id_of(&check, "deployment");
    loop {
        let event = ours.heard().await.expect("the owner's connection is open");
        let deployment = &event["deployment"];
        if deployment["id"] == id.as_str() && deployment["settlement"] == "settled" {
            break;
        }
    }
    // They are told in one go with the owner's, so what they were told is here before this answer.
    assert_eq!(theirs.heard_so_far().await, Vec::<Value>::new());
    owned.leave().await;
}

#[tokio::test]
async fn a_ticket_opens_one_connection_and_only_while_its_token_is_there() {
    let stack = Stack::from_env();
    let url = stack.live_ticket(&stack.token).await;
    let mut first = Live::open(&url).await.expect("a new ticket");
    assert_eq!(Live::open(&url).await.err(), Some(403), "used twice");
    assert_eq!(first.heard_so_far().await, Vec::<Value>::new());
    let (address, _) = url.split_once('?').expect("a ticket");
    for query in ["", "?ticket=", "?ticket=lt_0", "?token=x"] {
        let refused = Live::open(&format!("{address}{query}")).await.err();
        assert_eq!(refused, Some(403), "{query}");
    }
    let (id, secret) = mint(&stack, &["deploy:read"]).await;
    let url = stack.live_ticket(&secret).await;
    revoke(&stack, &id).await;
    assert_eq!(
        Live::open(&url).await.err(),
        Some(403),
        "of a revoked token"
    );
}

#[tokio::test]
async fn a_revoked_tokens_open_connection_is_closed() {
    let stack = Stack::from_env();
    let (id, secret) = mint(&stack, &["deploy:read"]).await;
    let mut live = stack.live(&secret).await;
    let mut another = stack.live(&stack.token).await;
    assert_eq!(live.subscribe("team").await["event"], "subscribed");
    revoke(&stack, &id).await;
    assert_eq!(live.heard().await, None, "it ends");
    assert_eq!(
        another.heard_so_far().await,
        Vec::<Value>::new(),
        "that of another token stays"
    );
}
