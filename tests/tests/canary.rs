//! Secrets that would be recognised, and every place that must not know them.
//!
//! The rule held: a secret is in the request or the reply that carries it, and nowhere else in clear: no table, log,
//! history, object, answer, notice, argument or environment. Each place is proven to be looked at by a word that it must
//! hold. Not looked at, because a secret is there by design: WordPress' own database (a hash of the first password),
//! a site's wp-config.php (its database password), and `authorized_keys` (public keys).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::containers::Containers;
use e2e::processes::Watch;
use e2e::routes::routes;
use e2e::{Live, Stack, settled};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A secret, and all the ways in which it is written where text is wrapped once more.
struct Secret {
    what: &'static str,
    spellings: Vec<String>,
}

impl Secret {
    fn new(what: &'static str, clear: &str) -> Self {
        assert!(clear.len() >= 20, "{what} is too short to be recognised");
        let mut spellings = vec![clear.to_string(), hex::encode(clear)];
        // Base64 of it somewhere inside a text: what it begins with and ends with depends on its neighbours.
        for before in 0..3 {
            let text = [" ".repeat(before).as_str(), clear].concat();
            let encoded = STANDARD.encode(text);
            spellings.push(encoded[4..encoded.len() - 4].to_string());
        }
        Self { what, spellings }
    }

    /// Where in a text, with what stands around it.
    fn within(&self, text: &str) -> Option<String> {
        let at = self.spellings.iter().find_map(|word| text.find(word))?;
        let around = at.saturating_sub(300)..(at + 40).min(text.len());
        let bytes = &text.as_bytes()[around];
        Some(String::from_utf8_lossy(bytes).into_owned())
    }
}

/// What a place holds, and a word that it must hold if it was looked at.
struct Place {
    name: String,
    text: String,
    control: String,
}

/// A receiver of notices; it keeps what it gets.
async fn receiver() -> (String, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let got = Arc::new(Mutex::new(String::new()));
    let keep = got.clone();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let keep = keep.clone();
            tokio::spawn(async move {
                let mut bytes = vec![0; 65_536];
                while let Ok(count @ 1..) = connection.read(&mut bytes).await {
                    let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                    let is_whole = text.ends_with('}');
                    keep.lock().expect("a lock").push_str(&text);
                    if is_whole {
                        let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
                        connection.write_all(answer).await.ok();
                        return;
                    }
                }
            });
        }
    });
    (format!("http://{address}/hook"), got)
}

/// What one run of everything makes: the secrets it saw, and the places that are only there while it goes on.
struct Steps {
    stack: Stack,
    /// A token of its own: the owner's is in this test's environment.
    token: String,
    token_id: String,
    /// Part of every name that is no secret.
    word: String,
    secrets: Vec<Secret>,
}

impl Steps {
    async fn begin() -> Self {
        let stack = Stack::from_env();
        let word = format!("open{}", std::process::id());
        let all = stack.get("/v1/tokens").await.body["items"][0]["scopes"].clone();
        let body = json!({"name": word, "role": "owner", "scopes": all});
        let made = stack.post("/v1/tokens", body).await;
        assert_eq!(made.status, 201, "{:#}", made.body);
        let token = made.body["secret"].as_str().expect("a secret").to_string();
        let secrets = vec![Secret::new("a token", &token)];
        let token_id = made.body["token"]["id"].as_str().expect("an id");
        Self {
            token_id: token_id.to_string(),
            stack,
            token,
            word,
            secrets,
        }
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        let body = (method == Method::POST).then(|| body.to_string());
        let answer = self.stack.send(method, path, &self.token, &[], body).await;
        assert!(answer.status < 300, "{path}: {:#}", answer.body);
        answer.body
    }

    /// A server, with a key that nobody else uses.
    async fn server(&mut self) -> String {
        let folder = std::env::temp_dir().join(&self.word);
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("key");
        let made = std::process::Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", &self.word, "-f"])
            .arg(&file)
            .status();
        assert!(made.expect("ssh-keygen").success());
        let key = std::fs::read_to_string(&file).expect("a key");
        let public = std::fs::read_to_string(file.with_extension("pub")).expect("a key");
        std::fs::remove_dir_all(&folder).expect("gone");
        // Of five lines the fourth holds the seed; those before are public, and the same in every key of its kind.
        let seed = key.lines().nth(4).expect("a line");
        self.secrets.push(Secret::new("the server's key", seed));
        let authorise = format!("echo '{}' >> /root/.ssh/authorized_keys", public.trim());
        self.stack
            .on_server(&["sh", "-c", &authorise])
            .expect("authorised");
        let mut body = self.stack.server_create(&self.word);
        body["private_key"] = json!(key);
        let created = self.call(Method::POST, "/v1/servers", body).await;
        self.ends(&created, "completed").await;
        created["server"]["id"].as_str().expect("an id").to_string()
    }

    async fn ends(&self, created: &Value, status: &str) {
        let id = created["deployment"]["id"].as_str().expect("an id");
        settled(&self.stack.ended(id).await, status).expect(status);
    }

    /// A backup of a site, as its configuration says: their ids.
    async fn backup(&self, site: &str) -> (String, String) {
        let path = format!("/v1/sites/{site}/backup-configurations");
        let body = json!({"name": self.word, "schedule": "@daily", "scope": "database"});
        let configuration = self.call(Method::POST, &path, body).await;
        let path = format!("/v1/sites/{site}/backups");
        let begun = self
            .call(Method::POST, &path, json!({"scope": "database"}))
            .await;
        self.ends(&begun, "completed").await;
        let backups = self.call(Method::GET, &path, Value::Null).await;
        let id = |value: &Value| value.as_str().expect("an id").to_string();
        (id(&backups["items"][0]["id"]), id(&configuration["id"]))
    }

    /// Ask for a site; its first password is a secret.
    async fn site(&mut self, server: &str, kind: &'static str, domain: Option<&str>) -> Value {
        let name = format!("{}-{kind}", self.word);
        let mut body = self.stack.site_create(server, &name);
        body["domain"] = json!(domain);
        let created = self.call(Method::POST, "/v1/sites", body).await;
        let password = created["admin_password"].as_str().expect("a password");
        self.secrets.push(Secret::new(kind, password));
        created
    }

    /// The site's database password, which is the agent's and the site's alone.
    fn database_password(&mut self, site: &Value) {
        let path = site["path"].as_str().expect("a path");
        let config = self
            .stack
            .on_server(&[
                "sh",
                "-c",
                &format!("cat {path}/wp-config.php {path}/../wp-config.php 2>/dev/null || true"),
            ])
            .expect("a file");
        let password = config
            .lines()
            .find(|line| line.contains("DB_PASSWORD"))
            .and_then(|line| line.split(['\'', '"']).nth(3))
            .expect("a database password");
        self.secrets
            .push(Secret::new("a database password", password));
    }

    /// Answers of the API, now that all is over.
    async fn answers(&self, ids: &[(&str, String)]) -> Place {
        let mut text = String::new();
        for route in routes() {
            let is_read = route.is_kept() || !route.needs_token;
            if route.method != Method::GET || !is_read {
                continue;
            }
            let mut path = route.path.clone();
            for parameter in route.parameters() {
                let name = format!("{{{parameter}}}");
                let found = ids.iter().find(|(of, _)| match parameter {
                    "id" => route.path.starts_with(of),
                    _ => *of == name,
                });
                let (_, id) = found.unwrap_or_else(|| panic!("{path}: this test has no id for it"));
                path = path.replace(&name, id);
            }
            text += &self.call(Method::GET, &path, Value::Null).await.to_string();
        }
        Place {
            name: "the API's answers".to_string(),
            text,
            control: self.word.clone(),
        }
    }

    async fn tables(&self) -> Vec<Place> {
        let mut places = Vec::new();
        let controls = [self.word.clone(), self.stack.team().await];
        for (name, control) in self.stack.tables().into_iter().zip(controls) {
            let mut text = String::new();
            let mut from = Value::Null;
            loop {
                let mut ask = json!({"TableName": name});
                if from.is_object() {
                    ask["ExclusiveStartKey"] = from;
                }
                let page = self
                    .stack
                    .aws("dynamodb", "DynamoDB_20120810.Scan", ask)
                    .await;
                text += &page["Items"].to_string();
                from = page["LastEvaluatedKey"].clone();
                if !from.is_object() {
                    break;
                }
            }
            places.push(Place {
                name: format!("the table {name}"),
                text,
                control,
            });
        }
        places
    }

    /// The pages of a list, as one text, and its entries.
    async fn pages(&self, service: &str, target: &str, mut ask: Value, list: &str) -> Vec<Value> {
        let mut entries = Vec::new();
        loop {
            let page = self.stack.aws(service, target, ask.clone()).await;
            let found = page[list].as_array();
            let found = found.unwrap_or_else(|| panic!("{target} lists {list}: {page:#}"));
            entries.extend(found.iter().cloned());
            match &page["nextToken"] {
                Value::String(next) if !found.is_empty() => ask["nextToken"] = json!(next),
                _ => return entries,
            }
        }
    }

    async fn logs(&self, deployment: &str) -> Place {
        let groups = self
            .pages(
                "logs",
                "Logs_20140328.DescribeLogGroups",
                json!({}),
                "logGroups",
            )
            .await;
        let mut text = String::new();
        for group in &groups {
            let name = &group["logGroupName"];
            let events = self.pages(
                "logs",
                "Logs_20140328.FilterLogEvents",
                json!({"logGroupName": name}),
                "events",
            );
            text += &format!("\n{name}\n{}", json!(events.await));
        }
        Place {
            name: format!("the logs of {} groups", groups.len()),
            text,
            control: deployment.to_string(),
        }
    }

    async fn histories(&self, deployment: &str) -> Place {
        let target = |name: &str| format!("AWSStepFunctions.{name}");
        let machines = self
            .pages(
                "states",
                &target("ListStateMachines"),
                json!({}),
                "stateMachines",
            )
            .await;
        let mut text = String::new();
        for machine in machines {
            let ask = json!({"stateMachineArn": machine["stateMachineArn"]});
            for execution in self
                .pages("states", &target("ListExecutions"), ask, "executions")
                .await
            {
                let ask = json!({"executionArn": execution["executionArn"], "includeExecutionData": true});
                let described = self
                    .stack
                    .aws("states", &target("DescribeExecution"), ask.clone())
                    .await;
                let history = self
                    .pages("states", &target("GetExecutionHistory"), ask, "events")
                    .await;
                text += &format!("{described}{}", json!(history));
            }
        }
        Place {
            name: "the histories of executions".to_string(),
            text,
            control: deployment.to_string(),
        }
    }

    /// Names, headers and contents of all objects, as the local AWS keeps them.
    fn objects(&self) -> Place {
        Place {
            name: "the buckets' objects".to_string(),
            text: folder(&self.stack.state_dir.join("s3")),
            control: "triphammer-code".to_string(),
        }
    }

    /// The server's own journal and logs, and what the agent keeps.
    fn on_the_server(&self) -> Place {
        let look = "journalctl --no-pager -o cat; find /var/log /var/lib/triphammer /etc/triphammer /tmp /var/tmp -type f -size -1M -exec cat {} + 2>/dev/null; true";
        let text = self.stack.on_server(&["sh", "-c", look]).expect("read");
        Place {
            name: "the server's journal and files".to_string(),
            text,
            control: self.word.clone(),
        }
    }
}

/// An environment's value, and a registry's password.
const VALUE: &str = "value-3d1f0a77c2e94b58";

/// More than a text of ours weighs: a function's package, which was built before the secrets were made.
const PACKAGE_BYTES: usize = 1024 * 1024;

/// All names and contents below a folder.
fn folder(path: &std::path::Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(path).expect("a folder").flatten() {
        text += &format!("\n{}\n", entry.path().display());
        if entry.path().is_dir() {
            text += &folder(&entry.path());
        } else {
            let bytes = std::fs::read(entry.path()).expect("a file");
            if bytes.len() < PACKAGE_BYTES {
                text += &String::from_utf8_lossy(&bytes);
            }
        }
    }
    text
}

#[tokio::test]
async fn secrets_are_in_the_request_or_reply_that_carries_them_and_nowhere_else() {
    let watch = Watch::begin();
    let mut steps = Steps::begin().await;
    let (hook, noticed) = receiver().await;
    let endpoint = steps
        .call(Method::POST, "/v1/webhook-endpoints", json!({"url": hook}))
        .await;
    let whsec = endpoint["secret"].as_str().expect("a secret");
    let whsec = whsec.strip_prefix("whsec_").expect("its prefix");
    steps.secrets.push(Secret::new("a webhook secret", whsec));
    let url = steps.stack.live_ticket(&steps.token).await;
    let (_, ticket) = url.split_once("ticket=").expect("a ticket");
    steps.secrets.push(Secret::new("a live ticket", ticket));
    let mut live = Live::open(&url).await.expect("a new ticket");
    live.subscribe("team").await;

    let server = steps.server().await;
    let created = steps.site(&server, "completes", None).await;
    steps.ends(&created, "completed").await;
    let site = created["site"]["id"].as_str().expect("an id").to_string();
    let shown = steps
        .call(Method::GET, &format!("/v1/sites/{site}"), Value::Null)
        .await;
    steps.database_password(&shown);
    let (backup, configuration) = steps.backup(&site).await;
    let fails = steps.site(&server, "fails", Some("neighbour.test")).await;
    steps.ends(&fails, "failed").await;
    let cancelled = steps.site(&server, "cancelled", None).await;
    let id = cancelled["deployment"]["id"].as_str().expect("an id");
    steps
        .stack
        .step_is(id, "install_wordpress", "running")
        .await;
    // Its undo fails at first, because notices are sent of what needs attention.
    let cancel = format!("/v1/deployments/{id}/cancel");
    steps.call(Method::POST, &cancel, json!({})).await;
    let database = |verb| steps.stack.on_server(&["systemctl", verb, "mariadb"]);
    database("stop").expect("stopped");
    let ended = steps.stack.ended(id).await;
    database("start").expect("started");
    assert_eq!(ended["settlement"], "needs_attention", "{ended:#}");
    told(&noticed, id).await;
    let undo = format!("/v1/deployments/{id}/undo");
    steps.call(Method::POST, &undo, json!({})).await;
    steps.ends(&cancelled, "cancelled").await;

    // What is started with a word, here and inside the server, is seen: so would a secret have been.
    let (here, inside) = (
        format!("{}-here", steps.word),
        format!("{}-inside", steps.word),
    );
    let mut shown = std::process::Command::new("sleep");
    let shown = shown.arg("0.2").env("SHOWN", &here).status();
    assert!(shown.expect("sleep").success());
    steps
        .stack
        .on_server(&["sh", "-c", "sleep 0.2; true", &inside])
        .expect("it ran");
    let processes = watch.end();
    let heard = json!(live.heard_so_far().await).to_string();
    let deployment = fails["deployment"]["id"].as_str().expect("an id");

    let endpoint = endpoint["endpoint"]["id"].as_str().expect("an id");
    steps.secrets.push(Secret::new("a value", VALUE));
    let (stack, word) = (&steps.stack, &steps.word);
    let containers = Containers::ready(stack, &steps.token, &server, word, VALUE).await;
    let mut ids = vec![
        ("/v1/deployments/", deployment.to_string()),
        ("/v1/servers/", server),
        ("/v1/sites/", site),
        ("{step}", "provision_database".to_string()),
        ("{backup_id}", backup),
        ("{configuration_id}", configuration),
    ];
    ids.extend(containers.ids);
    let mut places = steps.tables().await;
    places.push(steps.answers(&ids).await);
    places.push(steps.logs(deployment).await);
    places.push(steps.histories(deployment).await);
    places.push(steps.objects());
    places.push(steps.on_the_server());
    for control in [here, inside] {
        places.push(Place {
            name: "arguments and environments of processes".to_string(),
            text: processes.clone(),
            control,
        });
    }
    places.push(Place {
        name: "what the live channel said".to_string(),
        text: heard,
        control: steps.word.clone(),
    });
    places.push(Place {
        name: "what receivers of notices got".to_string(),
        text: noticed.lock().expect("a lock").clone(),
        control: id.to_string(),
    });
    let log = std::fs::read(steps.stack.state_dir.join("ministack.log")).expect("a log");
    places.push(Place {
        name: "the local AWS's own log".to_string(),
        text: String::from_utf8_lossy(&log).into_owned(),
        control: deployment.to_string(),
    });

    let mut wrong = Vec::new();
    for place in &places {
        println!("{}: {} bytes", place.name, place.text.len());
        if place.control.is_empty() || !place.text.contains(&place.control) {
            wrong.push(format!(
                "{} was not looked at: it does not hold {}",
                place.name, place.control
            ));
        }
        for secret in &steps.secrets {
            if let Some(around) = secret.within(&place.text) {
                wrong.push(format!("{} holds {}: …{around}…", place.name, secret.what));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));

    let remove = format!("sed -i '/{}/d' /root/.ssh/authorized_keys", steps.word);
    steps
        .stack
        .on_server(&["sh", "-c", &remove])
        .expect("removed");
    for path in [
        format!("/v1/webhook-endpoints/{endpoint}"),
        format!("/v1/tokens/{}", steps.token_id),
    ] {
        let removed = steps
            .stack
            .send(Method::DELETE, &path, &steps.stack.token, &[], None)
            .await;
        assert_eq!(removed.status, 204, "{path}: {:#}", removed.body);
    }
}

#[test]
fn a_secret_is_recognised_however_it_is_wrapped() {
    let clear = "th_0123456789abcdef0123456789";
    let secret = Secret::new("a token", clear);
    for before in ["", "a", "ab", "abc", "abcd"] {
        let text = format!("{before}{clear} and more");
        assert!(secret.within(&text).is_some());
        assert!(secret.within(&STANDARD.encode(&text)).is_some());
        assert!(secret.within(&hex::encode(&text)).is_some());
    }
    assert!(secret.within("th_0123456789 and more").is_none());
}

/// Wait until the receiver was told of a deployment.
async fn told(noticed: &Mutex<String>, deployment: &str) {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while !noticed.lock().expect("a lock").contains(deployment) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    waited.await.expect("the receiver is told");
}
