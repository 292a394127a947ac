//! create_site on a real server: it ends with a site that answers, or with the server as it was.
//!
//! The server holds a neighbour site from the start; after every test it must be byte-identical.

use e2e::{Receiver, Stack, settled};
use serde_json::{Value, json};

fn step<'a>(deployment: &'a Value, name: &str) -> &'a Value {
    deployment["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|step| step["name"] == name)
        .unwrap_or(&Value::Null)
}

/// A create that must fail at a step, and leave the server as it was before.
async fn fails_and_leaves_nothing(
    stack: &Stack,
    body: Value,
    at: &str,
    code: &str,
    before: &str,
) -> Value {
    let ended = stack.create_site(body.clone()).await;
    settled(&ended, "failed").expect("failed and undone");
    assert_eq!(ended["error"]["code"], code, "{ended:#}");
    assert_eq!(step(&ended, at)["status"], "failed", "{ended:#}");
    assert!(
        !ended["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .is_empty()
    );
    let after = stack.snapshot();
    assert_eq!(
        after,
        before,
        "the server is as before; differences:\n{}",
        differences(before, &after)
    );
    let sites = stack.get("/v1/sites").await.body;
    assert!(
        sites["items"]
            .as_array()
            .into_iter()
            .flatten()
            .all(|site| site["name"] != body["name"]),
        "no record is left"
    );
    ended
}

fn differences(before: &str, after: &str) -> String {
    let (old, new): (std::collections::BTreeSet<_>, std::collections::BTreeSet<_>) =
        (before.lines().collect(), after.lines().collect());
    let gone = old.difference(&new).map(|line| format!("- {line}"));
    let come = new.difference(&old).map(|line| format!("+ {line}"));
    gone.chain(come).take(60).collect::<Vec<_>>().join("\n")
}

async fn ready() -> (Stack, String) {
    let stack = Stack::from_env();
    let server = stack.registered().await;
    (stack, server)
}

#[tokio::test]
async fn a_site_is_created_answers_and_leaves_its_neighbour_alone() {
    let (stack, server) = ready().await;
    let mut body = stack.site_create(&server, "first-shop");
    body["title"] = json!("It's \"A\" <b>$(id)</b> & Cö 🎉");
    body["domain"] = json!("first.example.test");
    body["aliases"] = json!(["www.first.example.test"]);
    let created = stack.post("/v1/sites", body).await;
    assert_eq!(created.status, 201, "{:#}", created.body);
    assert_eq!(
        created.body["admin_password"].as_str().map(str::len),
        Some(24)
    );
    let ended = stack
        .ended(created.body["deployment"]["id"].as_str().expect("an id"))
        .await;
    settled(&ended, "completed").expect("completed");
    assert_eq!(ended["outcome"], "succeeded");
    for name in [
        "provision_database",
        "install_wordpress",
        "attach_domain",
        "create_conf_directories",
    ] {
        assert_eq!(step(&ended, name)["status"], "completed", "{ended:#}");
    }
    for host in ["first.example.test", "www.first.example.test"] {
        let (status, page) = stack.page(host, "/").await.expect("a page");
        assert!(status == 200 || status == 301, "{host}: {status}");
        assert!(
            status == 301 || page.contains("$(id)"),
            "the title is on the page"
        );
    }
    let (status, login) = stack
        .page("first.example.test", "/wp-login.php")
        .await
        .expect("a page");
    assert_eq!(status, 200);
    assert!(login.contains("user_login"));
    let site = stack
        .get(&format!(
            "/v1/sites/{}",
            created.body["site"]["id"].as_str().expect("an id")
        ))
        .await
        .body;
    assert_eq!(
        (site["status"].as_str(), site["url"].as_str()),
        (Some("active"), Some("http://first.example.test"))
    );
    let (status, page) = stack.page("neighbour.test", "/").await.expect("a page");
    assert!(
        status == 200 && page.contains("Neighbour"),
        "the neighbour answers"
    );
}

#[tokio::test]
async fn a_site_without_a_domain_answers_under_the_servers_address_and_skips_the_step() {
    let (stack, server) = ready().await;
    let ended = stack.create_site(stack.site_create(&server, "plain")).await;
    settled(&ended, "completed").expect("completed");
    assert_eq!(
        (
            step(&ended, "attach_domain")["status"].as_str(),
            step(&ended, "attach_domain")["output"].as_str()
        ),
        (Some("skipped"), Some("no custom domain"))
    );
    let host = format!("plain.{}.sslip.io", stack.server().address);
    assert_eq!(stack.page(&host, "/").await.expect("a page").0, 200);
}

#[tokio::test]
async fn a_database_server_that_is_down_fails_the_first_step_and_leaves_nothing() {
    let (stack, server) = ready().await;
    let before = stack.snapshot();
    stack
        .on_server(&["systemctl", "stop", "mariadb"])
        .expect("stopped");
    let ended = stack
        .create_site(stack.site_create(&server, "no-database"))
        .await;
    stack
        .on_server(&["systemctl", "start", "mariadb"])
        .expect("started");
    settled(&ended, "failed").expect("failed and undone");
    assert_eq!(ended["error"]["code"], "database_unreachable", "{ended:#}");
    let after = stack.snapshot();
    assert_eq!(after, before, "{}", differences(&before, &after));
}

#[tokio::test]
async fn a_full_disk_fails_the_installation_and_leaves_nothing() {
    let (stack, server) = ready().await;
    let before = stack.snapshot();
    stack
        .lab
        .fault(&["fill-disk", &stack.server().name, "/home"])
        .expect("full");
    let ended = stack
        .create_site(stack.site_create(&server, "no-room"))
        .await;
    stack
        .lab
        .fault(&["free-disk", &stack.server().name, "/home"])
        .expect("free again");
    settled(&ended, "failed").expect("failed and undone");
    assert_eq!(ended["error"]["code"], "disk_full", "{ended:#}");
    let after = stack.snapshot();
    assert_eq!(after, before, "{}", differences(&before, &after));
}

#[tokio::test]
async fn a_broken_web_server_configuration_of_somebody_else_is_named_and_left_as_it_is() {
    let (stack, server) = ready().await;
    stack
        .on_server(&[
            "sh",
            "-c",
            "echo 'server { broken' > /etc/nginx/sites-enabled/zz-broken",
        ])
        .expect("broken");
    let before = stack.snapshot();
    let ended = fails_and_leaves_nothing(
        &stack,
        stack.site_create(&server, "no-nginx"),
        "install_wordpress",
        "web_server_config_broken",
        &before,
    )
    .await;
    stack
        .on_server(&["rm", "/etc/nginx/sites-enabled/zz-broken"])
        .expect("mended");
    assert!(
        ended["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .contains("zz-broken"),
        "{ended:#}"
    );
}

#[tokio::test]
async fn a_domain_that_the_neighbour_serves_is_refused_and_the_new_site_is_taken_back() {
    let (stack, server) = ready().await;
    let before = stack.snapshot();
    let mut body = stack.site_create(&server, "thief");
    body["domain"] = json!("neighbour.test");
    fails_and_leaves_nothing(&stack, body, "attach_domain", "domain_taken", &before).await;
}

#[tokio::test]
async fn configuration_directories_of_somebody_else_fail_the_last_step_and_stay() {
    let (stack, server) = ready().await;
    stack.on_server(&["sh", "-c", "mkdir -p /etc/triphammer/sites/last_step/tower-conf/nginx && echo '# mine' > /etc/triphammer/sites/last_step/tower-conf/nginx/own.conf"]).expect("made");
    let before = stack.snapshot();
    fails_and_leaves_nothing(
        &stack,
        stack.site_create(&server, "last-step"),
        "create_conf_directories",
        "already_exists",
        &before,
    )
    .await;
    stack
        .on_server(&["rm", "-r", "/etc/triphammer/sites/last_step"])
        .expect("removed");
}

#[tokio::test]
async fn an_unmarked_namesake_is_refused_and_stays_byte_identical() {
    let (stack, server) = ready().await;
    stack
        .lab
        .namesake(&stack.server().name, "namesake")
        .expect("made");
    let before = stack.snapshot();
    let ended = fails_and_leaves_nothing(
        &stack,
        stack.site_create(&server, "namesake"),
        "provision_database",
        "already_exists",
        &before,
    )
    .await;
    assert!(
        ended["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .contains("namesake"),
        "{ended:#}"
    );
}

#[tokio::test]
async fn a_cancel_in_the_middle_takes_back_what_was_done() {
    let (stack, server) = ready().await;
    let before = stack.snapshot();
    let created = stack
        .post("/v1/sites", stack.site_create(&server, "changed-mind"))
        .await;
    let id = created.body["deployment"]["id"].as_str().expect("an id");
    stack.step_is(id, "install_wordpress", "running").await;
    let cancelled = stack
        .post(&format!("/v1/deployments/{id}/cancel"), json!({}))
        .await;
    assert_eq!(
        (cancelled.status, cancelled.body["status"].as_str()),
        (200, Some("cancelled")),
        "{:#}",
        cancelled.body
    );
    let ended = stack.ended(id).await;
    settled(&ended, "cancelled").expect("cancelled and undone");
    assert_eq!(ended["error"]["message"], "Cancelled by owner");
    assert_eq!(
        step(&ended, "create_conf_directories")["status"],
        "queued",
        "what was never reached stays queued"
    );
    assert_eq!(
        step(&ended, "drop_database")["status"],
        "completed",
        "{ended:#}"
    );
    let after = stack.snapshot();
    assert_eq!(after, before, "{}", differences(&before, &after));
    let again = stack
        .post(&format!("/v1/deployments/{id}/cancel"), json!({}))
        .await;
    assert_eq!(
        (again.status, again.body["settlement"].as_str()),
        (200, Some("settled")),
        "a cancel of a finished one answers it as it is"
    );
}

#[tokio::test]
async fn an_undo_that_fails_needs_attention_is_told_to_people_and_can_be_tried_again() {
    let (stack, server) = ready().await;
    let receiver = Receiver::listen().await;
    let endpoint = stack
        .post("/v1/webhook-endpoints", json!({"url": receiver.url}))
        .await;
    assert_eq!(endpoint.status, 201, "{:#}", endpoint.body);
    let before = stack.snapshot();
    let created = stack
        .post("/v1/sites", stack.site_create(&server, "stuck"))
        .await;
    let id = created.body["deployment"]["id"]
        .as_str()
        .expect("an id")
        .to_string();
    stack.step_is(&id, "install_wordpress", "running").await;
    stack
        .post(&format!("/v1/deployments/{id}/cancel"), json!({}))
        .await;
    stack
        .on_server(&["systemctl", "stop", "mariadb"])
        .expect("stopped");
    let ended = stack.ended(&id).await;
    stack
        .on_server(&["systemctl", "start", "mariadb"])
        .expect("started");
    assert_eq!(ended["settlement"], "needs_attention", "{ended:#}");
    assert!(
        ended["attention"]
            .as_str()
            .unwrap_or_default()
            .contains("Create database & user"),
        "{ended:#}"
    );
    let swept = stack.sweep().await;
    assert_eq!(swept["needs_attention"], 1, "the alarm stands: {swept}");
    // What an earlier test left to be told may come here too.
    let mut told = receiver.requests();
    told.retain(|request| request.contains(&id));
    assert_eq!(told.len(), 1, "people are told once: {told:#?}");
    assert!(
        told[0].contains("webhook-signature: v1,")
            && told[0].contains("deployment.needs_attention"),
        "{told:#?}"
    );
    let retry = stack
        .post(&format!("/v1/deployments/{id}/retry"), json!({}))
        .await;
    assert_eq!((retry.status, retry.code()), (409, "needs_attention"));
    let again = stack
        .post(&format!("/v1/deployments/{id}/undo"), json!({}))
        .await;
    assert_eq!(again.status, 202, "{:#}", again.body);
    let ended = stack.ended(&id).await;
    settled(&ended, "cancelled").expect("undone at last");
    let after = stack.snapshot();
    assert_eq!(after, before, "{}", differences(&before, &after));
    let retried = stack
        .post(&format!("/v1/deployments/{id}/retry"), json!({}))
        .await;
    assert_eq!(retried.status, 201, "{:#}", retried.body);
    let ended = stack
        .ended(retried.body["deployment"]["id"].as_str().expect("an id"))
        .await;
    settled(&ended, "completed").expect("the retry completes");
}
