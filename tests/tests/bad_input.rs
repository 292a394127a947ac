//! What is refused is refused with a stable code, in problem+json, and changed nothing.

use e2e::{Answer, Stack, settled};
use reqwest::Method;
use serde_json::{Value, json};

fn problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        (answer.status, answer.code()),
        (status, code),
        "{:#}",
        answer.body
    );
    assert_eq!(answer.kind, "application/problem+json");
    for field in ["type", "title", "detail"] {
        assert!(
            answer.body[field]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{field}: {:#}",
            answer.body
        );
    }
    assert_eq!(answer.body["status"], status);
}

async fn deployments(stack: &Stack) -> Value {
    stack.get("/v1/deployments?limit=1").await.body["items"][0]["id"].clone()
}

#[tokio::test]
async fn malformed_bodies_and_unknown_fields_are_refused_with_where() {
    let stack = Stack::from_env();
    let server = stack.registered().await;
    let before = deployments(&stack).await;
    for text in ["{", "[]", "null", "\"x\"", "{\"name\":", "\u{0}"] {
        let answer = stack
            .send(
                Method::POST,
                "/v1/sites",
                &stack.token,
                &[],
                Some(text.to_string()),
            )
            .await;
        problem(&answer, 400, "malformed_json");
    }
    let mut body = stack.site_create(&server, "fine");
    body["surprise"] = json!(1);
    let answer = stack.post("/v1/sites", body).await;
    problem(&answer, 400, "malformed_json");
    assert!(
        answer.body["detail"]
            .as_str()
            .is_some_and(|text| text.contains("surprise")),
        "{:#}",
        answer.body
    );
    assert_eq!(deployments(&stack).await, before);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let stack = Stack::from_env();
    let answer = stack
        .send(
            Method::POST,
            "/v1/sites",
            &stack.token,
            &[],
            Some(format!("{{\"title\":\"{}\"}}", "x".repeat(70_000))),
        )
        .await;
    problem(&answer, 413, "too_large");
}

#[tokio::test]
async fn shell_metacharacters_are_refused_in_every_field_but_the_title() {
    let stack = Stack::from_env();
    let server = stack.registered().await;
    let before = deployments(&stack).await;
    for hostile in [
        "$(id)", "`id`", "a;b", "a b", "a\nb", "../x", "a'b", "a|b", "-rf", "",
    ] {
        for field in ["name", "domain", "admin_user", "admin_email", "php"] {
            let mut body = stack.site_create(&server, "fine");
            body[field] = json!(hostile);
            let answer = stack.post("/v1/sites", body).await;
            problem(&answer, 422, "invalid_fields");
            assert_eq!(
                answer.body["errors"][0]["field"], field,
                "{hostile:?}: {:#}",
                answer.body
            );
        }
        for field in ["name", "host", "user", "host_key", "private_key"] {
            let mut body = stack.server_create("fine");
            body[field] = json!(hostile);
            problem(
                &stack.post("/v1/servers", body).await,
                422,
                "invalid_fields",
            );
        }
    }
    let mut body = stack.site_create(&server, "fine");
    body["aliases"] = json!(["ok.example.com"]);
    problem(&stack.post("/v1/sites", body).await, 422, "invalid_fields");
    let mut body = stack.site_create(&server, "fine");
    body["title"] = json!("a\u{202e}b");
    problem(&stack.post("/v1/sites", body).await, 422, "invalid_fields");
    assert_eq!(deployments(&stack).await, before);
}

#[tokio::test]
async fn unknown_ids_and_another_teams_ids_are_the_same_404() {
    let stack = Stack::from_env();
    let server = stack.registered().await;
    let other = stack.other_team_token().await.expect("a token");
    let deployment = deployments(&stack)
        .await
        .as_str()
        .expect("an id")
        .to_string();
    let unknown = "01JD2Z6E9W8Q4S5T6V7X8Y9ZAB";
    let reads = [
        format!("/v1/servers/{server}"),
        format!("/v1/deployments/{deployment}"),
        format!("/v1/servers/{unknown}"),
        format!("/v1/sites/{unknown}"),
        format!("/v1/deployments/{unknown}"),
        "/v1/sites/x".to_string(),
        "/v1/nothing".to_string(),
    ];
    for path in reads {
        problem(
            &stack.send(Method::GET, &path, &other, &[], None).await,
            404,
            "not_found",
        );
    }
    let writes = [
        format!("/v1/servers/{server}/check"),
        format!("/v1/deployments/{deployment}/cancel"),
        format!("/v1/deployments/{deployment}/retry"),
        format!("/v1/deployments/{deployment}/undo"),
    ];
    for path in writes {
        problem(
            &stack
                .send(Method::POST, &path, &other, &[], Some("{}".into()))
                .await,
            404,
            "not_found",
        );
    }
    let site = stack.site_create(&server, "theirs").to_string();
    problem(
        &stack
            .send(Method::POST, "/v1/sites", &other, &[], Some(site))
            .await,
        404,
        "not_found",
    );
    let listed = stack
        .send(Method::GET, "/v1/deployments", &other, &[], None)
        .await;
    assert_eq!(listed.body["items"], json!([]));
}

#[tokio::test]
async fn wrong_tokens_are_401_and_missing_scopes_403() {
    let stack = Stack::from_env();
    for token in ["", "th_wrong", "Basic"] {
        problem(
            &stack
                .send(Method::GET, "/v1/servers", token, &[], None)
                .await,
            401,
            "unauthorized",
        );
    }
    let made = stack
        .post(
            "/v1/tokens",
            json!({"name": "reader", "role": "viewer", "scopes": ["server:read"]}),
        )
        .await;
    assert_eq!(made.status, 201, "{:#}", made.body);
    let reader = made.body["secret"].as_str().expect("a secret").to_string();
    assert_eq!(
        stack
            .send(Method::GET, "/v1/servers", &reader, &[], None)
            .await
            .status,
        200
    );
    let answer = stack
        .send(Method::GET, "/v1/deployments", &reader, &[], None)
        .await;
    problem(&answer, 403, "forbidden");
    assert!(
        answer.body["detail"]
            .as_str()
            .is_some_and(|text| text.contains("deploy:read"))
    );
    problem(
        &stack
            .post(
                "/v1/tokens",
                json!({"name": "more", "role": "viewer", "scopes": ["server:write"]}),
            )
            .await,
        422,
        "invalid_fields",
    );
    let id = made.body["token"]["id"].as_str().expect("an id");
    assert_eq!(
        stack
            .send(
                Method::DELETE,
                &format!("/v1/tokens/{id}"),
                &stack.token,
                &[],
                None
            )
            .await
            .status,
        204
    );
    problem(
        &stack
            .send(Method::GET, "/v1/servers", &reader, &[], None)
            .await,
        401,
        "unauthorized",
    );
}

#[tokio::test]
async fn the_same_idempotency_key_answers_the_same_and_refuses_another_body() {
    let stack = Stack::from_env();
    let server = stack.registered().await;
    let key = [("idempotency-key", "k-1")];
    let body = stack.site_create(&server, "once").to_string();
    let first = stack
        .send(
            Method::POST,
            "/v1/sites",
            &stack.token,
            &key,
            Some(body.clone()),
        )
        .await;
    assert_eq!(first.status, 201, "{:#}", first.body);
    let second = stack
        .send(Method::POST, "/v1/sites", &stack.token, &key, Some(body))
        .await;
    assert_eq!(
        (second.status, &second.body["deployment"]["id"]),
        (201, &first.body["deployment"]["id"])
    );
    assert_eq!(
        second.body["admin_password"],
        Value::Null,
        "the password is shown once"
    );
    let other = stack
        .send(
            Method::POST,
            "/v1/sites",
            &stack.token,
            &key,
            Some(stack.site_create(&server, "twice").to_string()),
        )
        .await;
    problem(&other, 422, "idempotency_key_reused");
    settled(
        &stack
            .ended(first.body["deployment"]["id"].as_str().expect("an id"))
            .await,
        "completed",
    )
    .expect("completed");
}

#[tokio::test]
async fn of_two_creates_of_one_domain_at_once_one_wins() {
    let stack = Stack::from_env();
    let server = stack.registered().await;
    let with_domain = |name: &str| {
        let mut body = stack.site_create(&server, name);
        body["domain"] = json!("wanted.example.test");
        body
    };
    let (one, two) = tokio::join!(
        stack.post("/v1/sites", with_domain("wanted-a")),
        stack.post("/v1/sites", with_domain("wanted-b"))
    );
    let (won, lost) = if one.status == 201 {
        (one, two)
    } else {
        (two, one)
    };
    assert_eq!(won.status, 201, "{:#}", won.body);
    problem(&lost, 409, "taken");
    assert!(
        lost.body["detail"]
            .as_str()
            .is_some_and(|text| text.contains("wanted.example.test"))
    );
    settled(
        &stack
            .ended(won.body["deployment"]["id"].as_str().expect("an id"))
            .await,
        "completed",
    )
    .expect("completed");
}

#[tokio::test]
async fn a_dry_run_shows_the_plan_and_changes_nothing() {
    let stack = Stack::from_env();
    let server = stack.registered().await;
    let before = deployments(&stack).await;
    let plan = stack
        .post(
            "/v1/sites?dry_run=true",
            stack.site_create(&server, "planned"),
        )
        .await;
    assert_eq!(plan.status, 200, "{:#}", plan.body);
    let steps: Vec<_> = plan.body["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|step| (step["name"].as_str(), step["skipped"].as_str()))
        .collect();
    assert_eq!(steps[2], (Some("attach_domain"), Some("no custom domain")));
    assert_eq!(deployments(&stack).await, before);
    assert!(
        stack.get("/v1/sites").await.body["items"]
            .as_array()
            .into_iter()
            .flatten()
            .all(|site| site["name"] != "planned")
    );
}

#[tokio::test]
async fn a_dry_run_where_there_is_none_is_refused_and_not_ignored() {
    let stack = Stack::from_env();
    stack.registered().await;
    let id = deployments(&stack)
        .await
        .as_str()
        .expect("an id")
        .to_string();
    for path in [
        format!("/v1/deployments/{id}/cancel"),
        format!("/v1/deployments/{id}/undo"),
    ] {
        problem(
            &stack.post(&format!("{path}?dry_run=true"), json!({})).await,
            400,
            "bad_query",
        );
    }
    let made = stack
        .post(
            "/v1/tokens?dry_run=true",
            json!({"name": "dry", "role": "viewer", "scopes": ["server:read"]}),
        )
        .await;
    problem(&made, 400, "bad_query");
}

#[tokio::test]
async fn an_account_that_may_become_root_registers_a_server_as_well() {
    let stack = Stack::from_env();
    let mut body = stack.server_create("by-sudo");
    body["user"] = json!("admin");
    let created = stack.post("/v1/servers", body).await;
    assert_eq!(created.status, 201, "{:#}", created.body);
    let ended = stack
        .ended(created.body["deployment"]["id"].as_str().expect("an id"))
        .await;
    settled(&ended, "completed").expect("completed");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_said_plainly_and_leaves_no_record() {
    let stack = Stack::from_env();
    let mut body = stack.server_create("away");
    body["port"] = json!(9);
    let created = stack.post("/v1/servers", body).await;
    assert_eq!(created.status, 201, "{:#}", created.body);
    let ended = stack
        .ended(created.body["deployment"]["id"].as_str().expect("an id"))
        .await;
    settled(&ended, "failed").expect("failed");
    assert_eq!(ended["error"]["code"], "server_unreachable", "{ended:#}");
    problem(
        &stack
            .get(&format!(
                "/v1/servers/{}",
                created.body["server"]["id"].as_str().expect("an id")
            ))
            .await,
        404,
        "not_found",
    );
}

#[tokio::test]
async fn a_wrong_host_key_is_refused_before_any_login() {
    let stack = Stack::from_env();
    let mut body = stack.server_create("impostor");
    body["host_key"] = json!("SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let created = stack.post("/v1/servers", body).await;
    let ended = stack
        .ended(created.body["deployment"]["id"].as_str().expect("an id"))
        .await;
    settled(&ended, "failed").expect("failed");
    assert_eq!(ended["error"]["code"], "host_key_mismatch", "{ended:#}");
}

#[tokio::test]
async fn a_key_that_the_server_does_not_know_is_refused_with_what_to_do() {
    let stack = Stack::from_env();
    let mut body = stack.server_create("stranger");
    body["user"] = json!("nobody");
    let created = stack.post("/v1/servers", body).await;
    let ended = stack
        .ended(created.body["deployment"]["id"].as_str().expect("an id"))
        .await;
    settled(&ended, "failed").expect("failed");
    assert_eq!(ended["error"]["code"], "login_refused", "{ended:#}");
}

#[tokio::test]
async fn this_machine_itself_is_no_server() {
    let stack = Stack::from_env();
    let mut body = stack.server_create("inside");
    body["host"] = json!("127.0.0.1");
    let created = stack.post("/v1/servers", body).await;
    let ended = stack
        .ended(created.body["deployment"]["id"].as_str().expect("an id"))
        .await;
    settled(&ended, "failed").expect("failed");
    assert_eq!(ended["error"]["code"], "address_refused", "{ended:#}");
}

#[tokio::test]
async fn a_host_key_waits_for_a_yes_and_a_wrong_yes_is_refused() {
    let stack = Stack::from_env();
    let mut body = stack.server_create("asked");
    let right = body["host_key"].take();
    body.as_object_mut().expect("an object").remove("host_key");
    let created = stack.post("/v1/servers", body).await;
    assert_eq!(created.status, 201, "{:#}", created.body);
    let id = created.body["server"]["id"]
        .as_str()
        .expect("an id")
        .to_string();
    let seen = loop {
        let server = stack.get(&format!("/v1/servers/{id}")).await.body;
        if server["host_key_seen"].is_object() {
            break server["host_key_seen"]["fingerprint"].clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    assert_eq!(seen, right);
    let wrong = stack
        .post(
            &format!("/v1/servers/{id}/host-key"),
            json!({"fingerprint": "SHA256:x"}),
        )
        .await;
    problem(&wrong, 409, "host_key_mismatch");
    let yes = stack
        .post(
            &format!("/v1/servers/{id}/host-key"),
            json!({"fingerprint": right}),
        )
        .await;
    assert_eq!(yes.status, 200, "{:#}", yes.body);
    let ended = stack
        .ended(created.body["deployment"]["id"].as_str().expect("an id"))
        .await;
    settled(&ended, "completed").expect("completed");
}

#[tokio::test]
async fn a_host_without_php_is_refused_with_what_to_install() {
    let stack = Stack::from_env();
    let server = stack.registered().await;
    let check = async || {
        let check = stack
            .post(&format!("/v1/servers/{server}/check"), json!({}))
            .await;
        assert_eq!(check.status, 201, "{:#}", check.body);
        settled(
            &stack
                .ended(check.body["deployment"]["id"].as_str().expect("an id"))
                .await,
            "completed",
        )
        .expect("completed");
    };
    stack.on_server(&["sh", "-c", "mkdir /root/hidden && mv /usr/sbin/php-fpm8.2 /lib/systemd/system/php8.2-fpm.service /root/hidden/ && systemctl daemon-reload"]).expect("hidden");
    check().await;
    let refused = stack
        .post("/v1/sites", stack.site_create(&server, "no-php"))
        .await;
    stack.on_server(&["sh", "-c", "mv /root/hidden/php-fpm8.2 /usr/sbin/ && mv /root/hidden/php8.2-fpm.service /lib/systemd/system/ && rmdir /root/hidden && systemctl daemon-reload"]).expect("back");
    check().await;
    problem(&refused, 422, "server_not_ready");
    assert!(
        refused.body["detail"]
            .as_str()
            .is_some_and(|text| text.contains("php")),
        "{:#}",
        refused.body
    );
}
