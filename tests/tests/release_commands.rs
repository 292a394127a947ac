//! Releases as a person at a terminal has them: what is typed does it, what is shown says it, and no value is shown.

use e2e::Stack;
use e2e::app::REGISTRY;
use e2e::cli::Said;
use e2e::sources;
use serde_json::Value;

/// The JSON that a command prints.
fn read(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.all()))
}

#[tokio::test]
async fn a_service_is_made_released_changed_compared_and_gone_back_by_commands() {
    let stack = Stack::from_env();
    stack.registered_docker_hosts(1).await;
    let server = stack.docker_hosts()[0].name.as_str();
    let (one, two) = (stack.app_image("v1", &[]), stack.app_image("v2", &[]));
    let project = format!("typed-{:x}", std::process::id());
    let (service, place) = (
        format!("{project}/web"),
        format!("{project}/web/production"),
    );
    let host = format!("{project}.example.com");
    let owner = stack.owner();

    owner.does(&["projects", "create", &project]);
    assert!(owner.does(&["projects", "list"]).out.contains(&project));
    owner.does(&[
        "services",
        "create",
        &service,
        "--image",
        &one,
        "--gate",
        "app=/health",
    ]);
    let listed = owner.does(&["services", "list", "--project", &project]);
    assert!(listed.line(&service).contains(&one));
    let route = format!("{host}=8080");
    let create = [
        "environments",
        "create",
        &place,
        "--server",
        server,
        "--route",
        &route,
        "--tls",
        "off",
        "--drain",
        "1",
    ];
    let dry = owner.runs(&[&create[..], &["--dry-run"]].concat());
    assert_eq!(dry.code, 3, "{}", dry.all());
    owner.does(&[&create[..], &["--follow"]].concat());
    assert!(stack.page_on(0, &host, "/").await.1.contains("version=v1"));
    let listed = owner.does(&["environments", "list", "--service", &service]);
    let line = listed.line(&place);
    assert!(
        line.contains("active") && line.contains(&format!("http://{host}")),
        "{line}"
    );
    let shown = owner.does(&["environments", "show", &place]);
    let first = shown
        .line("live")
        .split_whitespace()
        .last()
        .expect("an id")
        .to_string();

    let set = owner.does(&["env", "set", &place, "GREETING=hush-hush", "OTHER=hush-too"]);
    assert!(
        set.err.contains("the next deploy takes them"),
        "{}",
        set.all()
    );
    let listed = owner.does(&["env", "list", &place]);
    assert!(listed.line("GREETING").contains("********"));
    for said in [&set, &listed] {
        assert!(!said.all().contains("hush"), "{}", said.all());
    }
    let value = "/env?name=GREETING";
    assert!(
        !stack.page_on(0, &host, value).await.1.contains("hush-hush"),
        "not deployed yet"
    );
    owner.does(&["env", "unset", &place, "OTHER"]);
    assert!(!owner.does(&["env", "list", &place]).out.contains("OTHER"));

    let deploy = ["deploy", &place, "--image", &two];
    let dry = owner.runs(&[&deploy[..], &["--dry-run"]].concat());
    assert_eq!(dry.code, 3, "{}", dry.all());
    assert!(dry.line("image of app").contains(&two), "{}", dry.out);
    assert!(dry.line("value GREETING").contains("set"), "{}", dry.out);
    for words in ["switch_route", "skipped: not built from source"] {
        assert!(dry.out.contains(words), "{words}: {}", dry.out);
    }
    assert!(
        stack.page_on(0, &host, "/").await.1.contains("version=v1"),
        "a dry run"
    );
    let begun = owner.does(&[&deploy[..], &["--json"]].concat());
    let second = read(&begun)["deployment"]["id"]
        .as_str()
        .expect("an id")
        .to_string();
    let logs = owner.does(&["logs", &place, "--follow"]);
    assert!(
        logs.out.contains("fetching") || logs.out.contains("is here already"),
        "{}",
        logs.all()
    );
    owner.does(&["deployments", "show", &second, "--follow"]);
    assert!(stack.page_on(0, &host, "/").await.1.contains("version=v2"));
    assert!(stack.page_on(0, &host, value).await.1.contains("hush-hush"));

    let diff = owner.does(&["deployments", "diff", &first, &second]);
    assert!(
        diff.line("image of app").contains("sha256:"),
        "{}",
        diff.out
    );
    assert!(diff.line("value GREETING").contains("set"), "{}", diff.out);
    assert!(!diff.all().contains("hush"), "{}", diff.all());
    owner.does(&["rollback", &place, "--yes", "--follow"]);
    assert!(stack.page_on(0, &host, "/").await.1.contains("version=v1"));
    assert!(
        owner
            .does(&["environments", "show", &place])
            .out
            .contains("pushes paused by")
    );
    let resumed = owner.does(&["resume", &place]);
    assert!(resumed.out.contains("pushes deploy to"), "{}", resumed.out);
    assert!(
        !owner
            .does(&["environments", "show", &place])
            .out
            .contains("pushes paused by")
    );
    let listed = owner.does(&[
        "deployments",
        "list",
        "--target",
        &format!("environment:{place}"),
    ]);
    assert!(
        listed.line("Rollback").contains("completed"),
        "{}",
        listed.out
    );
    let asked = owner.runs(&["environments", "delete", &place]);
    assert_eq!(asked.code, 1, "nobody said yes: {}", asked.all());
    let deleted = owner.does(&["environments", "delete", &place, "--yes", "--follow"]);
    assert!(deleted.all().contains("completed"), "{}", deleted.all());
    let gone = owner.runs(&["environments", "show", &place]);
    assert_ne!(gone.code, 0, "{}", gone.all());
}

#[tokio::test]
async fn a_service_changes_where_it_comes_from_and_what_cannot_be_is_told_at_the_terminal() {
    let stack = Stack::from_env();
    stack.registered_docker_hosts(1).await;
    let server = stack.docker_hosts()[0].name.as_str();
    let image = stack.app_image("v1", &[]);
    let project = format!("retyped-{:x}", std::process::id());
    let (service, place) = (
        format!("{project}/web"),
        format!("{project}/web/production"),
    );
    let host = format!("{project}.example.com");
    let owner = stack.owner();
    let folder = tempfile::tempdir().expect("a folder");
    let compose = folder.path().join("compose.yaml");
    let file = format!("services:\n  app:\n    image: {image}\n");
    std::fs::write(&compose, &file).expect("written");
    let compose = compose.to_str().expect("text");

    owner.does(&["projects", "create", &project]);
    owner.does(&["services", "create", &service, "--compose", compose]);
    let route = format!("{host}=app:8080");
    owner.does(&[
        "environments",
        "create",
        &place,
        "--server",
        server,
        "--route",
        &route,
        "--tls",
        "off",
        "--drain",
        "1",
        "--follow",
    ]);
    assert!(stack.page_on(0, &host, "/").await.1.contains("version=v1"));
    std::fs::write(compose, file.replace("app:v1", "app:none")).expect("written");
    let failed = owner.runs(&["deploy", &place, "--compose", compose, "--follow"]);
    assert_eq!(failed.code, 1, "{}", failed.all());
    let why = failed.all();
    assert!(
        why.contains(&format!("There is no image {REGISTRY}/app:none")),
        "{why}"
    );

    stack.git_over_https();
    let name = format!("typed-{:x}", std::process::id());
    let source = sources::folder("git", "");
    stack
        .lab
        .commit(&name, "main", source.path())
        .expect("a commit");
    let url = format!("https://git.test/priv/{name}.git");
    let change = [
        "services",
        "update",
        &service,
        "--repo",
        &url,
        "--git-token",
    ];
    let asked = owner.runs(&change);
    assert_eq!(asked.code, 1, "{}", asked.all());
    assert!(
        asked.err.contains("set TRIPHAMMER_GIT_TOKEN\n"),
        "{}",
        asked.all()
    );
    let changed = stack
        .owner()
        .with("TRIPHAMMER_GIT_TOKEN", sources::GIT_TOKEN)
        .does(&change);
    assert!(
        changed.line("opened by").contains("token"),
        "{}",
        changed.out
    );
    assert!(!changed.all().contains(sources::GIT_TOKEN));
    let dry = owner.runs(&["deploy", &place, "--branch", "main", "--dry-run"]);
    assert_eq!(dry.code, 3, "{}", dry.all());
    let from = format!("built from {url} main");
    assert!(dry.line("image of app").contains(&from), "{}", dry.out);
    owner.does(&["deploy", &place, "--follow"]);
    assert!(stack.page_on(0, &host, "/").await.1.contains("version=git"));
    let failed = owner.runs(&["deploy", &place, "--branch", "mian", "--follow"]);
    assert_eq!(failed.code, 1, "{}", failed.all());
    assert!(failed.all().contains("Near it: main"), "{}", failed.all());
    owner.does(&["services", "update", &service, "--archive"]);
    let failed = owner.runs(&["deploy", &place, "--follow"]);
    assert_eq!(failed.code, 1, "{}", failed.all());
    assert!(
        failed.err.contains("--archive"),
        "says what to give: {}",
        failed.all()
    );
    let sent = source.path().to_str().expect("text");
    owner.does(&["deploy", &place, "--archive", sent, "--follow"]);
    assert!(stack.page_on(0, &host, "/").await.1.contains("version=git"));
}
