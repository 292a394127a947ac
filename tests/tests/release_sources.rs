//! Where releases come from: archives that people send, private registries and repositories, Compose files with all that
//! they may hold. What opens a source is in no answer, and a source that is no good leaves nothing.

use e2e::app::{App, REGISTRY};
use e2e::cli::Said;
use e2e::refused::{Unmoved, Wanted};
use e2e::sources::{self, GIT_TOKEN, PRIVATE_REGISTRY, REGISTRY_PASSWORD, REGISTRY_USER};
use e2e::{Stack, settled};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// An entry of an archive: where, what, and whether it is a link to there.
enum Entry<'a> {
    File(&'a str, Vec<u8>, u32),
    Link(&'a str, &'a str),
}

/// What is built: the sample application of this version.
fn good(version: &str) -> Vec<Entry<'static>> {
    let folder = sources::folder(version, "");
    let read = |name: &str| std::fs::read(folder.path().join(name)).expect("read");
    vec![
        Entry::File("shop/Dockerfile", read("Dockerfile"), 0o644),
        Entry::File("shop/app", read("app"), 0o755),
    ]
}

fn zipped(at: &Path, entries: &[Entry<'_>]) -> PathBuf {
    let path = at.with_extension("zip");
    let mut zip = zip::ZipWriter::new(File::create(&path).expect("a file"));
    let options = zip::write::SimpleFileOptions::default();
    for entry in entries {
        match entry {
            Entry::File(name, content, mode) => {
                let begun = zip.start_file(*name, options.unix_permissions(*mode));
                begun.and_then(|()| Ok(zip.write_all(content)?))
            }
            Entry::Link(name, target) => zip.add_symlink(*name, *target, options),
        }
        .expect("added");
    }
    zip.finish().expect("packed");
    path
}

fn tarred(at: &Path, entries: &[Entry<'_>]) -> PathBuf {
    let path = at.with_extension("tar.gz");
    let file = File::create(&path).expect("a file");
    let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        let (name, content) = match entry {
            Entry::File(name, content, mode) => {
                header.set_mode(*mode);
                (name, content.as_slice())
            }
            Entry::Link(name, target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_link_name_literal(target).expect("a target");
                (name, &[][..])
            }
        };
        // The crate's own way refuses what is tried here.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, content).expect("added");
    }
    let packed = tar.into_inner().and_then(GzEncoder::finish);
    packed.expect("packed");
    path
}

/// `triphammer deploy --archive`, to its end.
fn send(app: &App, archive: &Path) -> Said {
    let path = format!("{}/web/production", app.name);
    let archive = archive.to_str().expect("text");
    let words = ["deploy", &path, "--archive", archive, "--follow"];
    app.stack.owner().runs(&words)
}

/// Checkouts of an environment on its server, and what an archive would have put beside them.
fn left(app: &App) -> String {
    let server = &app.stack.docker_hosts()[0].name;
    let find = format!(
        "find / -xdev -not -path '/proc/*' \\( -path '*{}*' -name 'checkout*' -o -name 'th-evil*' \\) | sort",
        app.name
    );
    let found = app.stack.lab.exec(server, &["sh", "-c", &find]);
    found.expect("listed")
}

#[tokio::test]
async fn an_archive_that_is_sent_is_built_and_run_and_an_unsafe_one_leaves_nothing() {
    let app = App::new("archives", json!({"kind": "archive"}), 1).await;
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for (version, source) in [
        ("zip1", zipped(&at("zip1"), &good("zip1"))),
        ("tar2", tarred(&at("tar2"), &good("tar2"))),
    ] {
        let sent = send(&app, &source);
        assert_eq!(sent.code, 0, "{}", sent.all());
        assert_eq!(app.version().await, format!("200 version={version}"));
    }
    let evil = || vec![Entry::File("../th-evil", b"x".to_vec(), 0o644)];
    let out = || vec![Entry::Link("out", "../../../../etc/passwd")];
    let bomb = || vec![Entry::File("zeros", vec![0; 64 * 1024 * 1024], 0o644)];
    let before = left(&app);
    assert!(
        before.contains("checkout"),
        "what was built is there: {before:?}"
    );
    let mut unmoved = Unmoved::new(app).await;
    for (what, archive, says) in [
        (
            "a path out",
            zipped(&at("bad1"), &evil()),
            "leads out of it",
        ),
        ("a link out", tarred(&at("bad2"), &out()), "leads out of it"),
        (
            "a bomb",
            tarred(&at("bad3"), &bomb()),
            "unpacks to more than",
        ),
    ] {
        let said = send(&unmoved.app, &archive);
        assert_eq!(said.code, 1, "{what}: {}", said.all());
        let why = said.all();
        assert!(why.contains("The source cannot be taken"), "{what}: {why}");
        assert!(why.contains(says), "{what}: {why}");
        unmoved.is_as_before(what).await;
    }
    assert_eq!(left(&unmoved.app), before, "nothing of them is left");
    unmoved.end();
}

#[tokio::test]
async fn what_is_private_is_opened_by_its_login_its_token_or_its_key_which_no_answer_holds() {
    let stack = Stack::from_env();
    stack.git_over_https();
    let image = format!("{PRIVATE_REGISTRY}/shop:1");
    let version = [("VERSION", "private1")];
    let pushed = stack
        .lab
        .app_image(&sources::sample_app(), &image, &version);
    pushed.expect("pushed");
    let login = json!({"registry": PRIVATE_REGISTRY, "username": REGISTRY_USER, "password": REGISTRY_PASSWORD});
    let source = json!({"kind": "image", "image": image});
    let app = App::with(
        "private",
        source,
        1,
        json!({"registries": [login]}),
        json!({}),
    )
    .await;
    let first = app.stack.ended(&app.first).await;
    settled(&first, "completed").expect("its first release");
    assert_eq!(app.version().await, "200 version=private1");
    let seen = app.frozen(&first).await["images"]["app"].to_string();
    assert!(
        seen.contains(&format!("{PRIVATE_REGISTRY}/shop@sha256:")),
        "{seen}"
    );

    let name = format!("private-{:x}", std::process::id());
    let commit = |version: &str| {
        let folder = sources::folder(version, "");
        stack
            .lab
            .commit(&name, "main", folder.path())
            .expect("a commit")
    };
    let keys = tempfile::tempdir().expect("a folder");
    let key = sources::key(keys.path(), "deploy");
    stack.trust_key(&key);
    let key = std::fs::read_to_string(&key).expect("a key");
    let token = json!({"kind": "token", "token": GIT_TOKEN});
    let by_key = json!({"kind": "deploy_key", "private_key": key});
    for (version, url, access) in [
        ("token2", format!("https://git.test/priv/{name}.git"), token),
        ("key3", format!("git@git.test:{name}.git"), by_key),
    ] {
        let commit = commit(version);
        app.service_changed(
            json!({"source": {"kind": "repository", "url": url, "access": access}}),
        )
        .await;
        let ended = app.ended("/deployments", json!({})).await;
        settled(&ended, "completed").expect(version);
        assert_eq!(app.version().await, format!("200 version={version}"));
        let frozen = app.frozen(&ended).await;
        assert_eq!(frozen["commit"], commit.as_str());
        assert_eq!(frozen["reference"], "refs/heads/main");
        let id = ended["id"].as_str().expect("an id");
        let mut answers = Vec::new();
        for path in [
            format!("/v1/deployments/{id}"),
            format!("/v1/deployments/{id}/views"),
            format!("/v1/services/{}", app.service),
            format!("/v1/deployments/{id}/steps/fetch_source/log?limit=100"),
            format!("/v1/deployments/{id}/steps/build_image/log?limit=100"),
        ] {
            answers.push(stack.get(&path).await.body.to_string());
        }
        let answers = answers.join("\n");
        assert!(answers.contains(&url), "they are of this source");
        for secret in [
            GIT_TOKEN,
            REGISTRY_PASSWORD,
            key.lines().nth(1).expect("a line"),
        ] {
            assert!(!answers.contains(secret), "{answers}");
        }
    }
}

/// A Compose file with variables, profiles and several services.
fn several(image: &str) -> String {
    format!(
        r#"
x-usual: &usual {{image: '{image}', environment: {{WORD: '${{WORD}}', LEVEL: '${{LEVEL:-info}}', NONE: '${{NONE}}', PRICE: '5$$'}}}}
services:
  app:
    <<: *usual
    depends_on: [cache]
  cache: *usual
  worker:
    <<: *usual
    profiles: [jobs]
  debug:
    <<: *usual
    profiles: [debug]
"#
    )
}

#[tokio::test]
async fn a_compose_file_has_its_profiles_its_values_and_another_image_for_one_deployment() {
    let stack = Stack::from_env();
    let (one, two) = (stack.app_image("v1", &[]), stack.app_image("v2", &[]));
    let source = json!({"kind": "compose", "file": several(&one), "profiles": ["jobs"]});
    let later = json!({"deploy": false});
    let app = App::with("several", source, 1, json!({}), later).await;
    let values = format!("/v1/environments/{}/values", app.environment);
    let set = json!({"set": {"WORD": "a 'quoted' $word", "UNUSED": "x"}}).to_string();
    let token = app.stack.token.clone();
    let set = app
        .stack
        .send(reqwest::Method::PATCH, &values, &token, &[], Some(set));
    assert_eq!(set.await.status, 200);
    let first = app.ended("/deployments", json!({})).await;
    settled(&first, "completed").expect("released");
    let frozen = app.frozen(&first).await;
    let wanted = json!({"WORD": "environment", "LEVEL": "default", "NONE": "missing"});
    assert_eq!(frozen["variables"], wanted, "{frozen:#}");
    assert!(!frozen.to_string().contains("quoted"), "{frozen:#}");
    assert_eq!(frozen["profiles"], json!(["jobs"]));
    for (name, value) in [
        ("WORD", "a 'quoted' $word"),
        ("LEVEL", "info"),
        ("PRICE", "5$"),
    ] {
        let (status, body) = app.page_on(0, &format!("/env?name={name}")).await;
        assert!(
            status == 200 && body.contains(value),
            "{name}: {status} {body}"
        );
    }
    let services = |app: &App| -> Vec<String> {
        let all = app.containers(0);
        let names = all.lines().filter_map(|line| line.split(' ').nth(1));
        names.map(ToString::to_string).collect()
    };
    assert_eq!(services(&app), ["app", "cache", "worker"]);

    let other = app
        .ended("/deployments", json!({"images": {"worker": two}}))
        .await;
    settled(&other, "completed").expect("released");
    let images = &app.frozen(&other).await["images"];
    assert_eq!(images["app"], images["cache"]);
    assert_ne!(images["app"], images["worker"]);
    let seen = app.seen().await;
    let project = seen["host_name"].as_str().expect("a name");
    let script = format!(
        "docker inspect --format '{{{{.Config.Env}}}}' $(docker ps -q --filter label=triphammer.environment={project} --filter label=triphammer.service=worker)"
    );
    let server = &app.stack.docker_hosts()[0].name;
    let runs = app.stack.lab.exec(server, &["sh", "-c", &script]);
    let runs = runs.expect("docker");
    assert!(runs.contains("VERSION=v2"), "{runs}");
    let again = app.ended("/deployments", json!({})).await;
    settled(&again, "completed").expect("released");
    let images: Value = app.frozen(&again).await["images"].clone();
    assert_eq!(
        images["app"], images["worker"],
        "it was for that deployment alone"
    );
    assert_eq!(services(&app), ["app", "cache", "worker"]);
}

#[tokio::test]
async fn all_that_a_compose_file_may_not_do_is_told_at_once_and_an_owner_alone_allows_it() {
    let stack = Stack::from_env();
    let image = stack.app_image("v1", &[]);
    let reaching = "    cap_add: [NET_ADMIN]\n    security_opt: ['apparmor:unconfined']\n    volumes: ['/var/run/docker.sock:/engine.sock', '/srv:/host:ro']\n    pid: host\n";
    let file = |more: &str| format!("services:\n  app:\n    image: {REGISTRY}/app:v1\n{more}");
    let more = format!("{reaching}    privileged: true\n    devices: [/dev/kmsg]\n");
    assert!(image.ends_with("/app:v1"));
    let source = json!({"kind": "compose", "file": file("")});
    let app = App::new("policy", source, 1).await;
    let first = app.stack.ended(&app.first).await;
    settled(&first, "completed").expect("its first release");
    let mut unmoved = Unmoved::new(app).await;
    let everything = Wanted {
        code: "compose_refused",
        phase: "starting",
        says: &[
            "capabilities",
            "security_options",
            "docker_socket",
            "host_paths",
            "host_namespaces",
            "privileged",
            "devices",
            "An owner can allow it",
            "Service app",
        ],
    };
    let asked = json!({"compose": file(&more)});
    unmoved.fails("many refused forms", asked, everything).await;
    let asked = json!({"compose": file("    env_file: /etc/passwd\n    label_file: /etc/group\n")});
    let never = Wanted {
        code: "compose_refused",
        phase: "starting",
        says: &[
            "env_file",
            "give the values to the environment",
            "label_file",
        ],
    };
    unmoved.fails("files of the server", asked, never).await;
    let app = unmoved.app.name.clone();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("compose.yaml");
    std::fs::write(&path, file(reaching)).expect("written");
    let path = path.to_str().expect("text");
    let (service, environment) = (format!("{app}/web"), format!("{app}/web/production"));
    let deploy = ["deploy", &environment, "--compose", path, "--follow"];
    let refused = stack.owner().runs(&deploy);
    assert_eq!(refused.code, 1, "{}", refused.all());
    for word in [
        "capabilities",
        "docker_socket",
        "host_paths",
        "host_namespaces",
    ] {
        assert!(refused.all().contains(word), "{word}: {}", refused.all());
    }
    unmoved.is_as_before("refused on the command line").await;
    let allow = [
        "services",
        "update",
        &service,
        "--allow",
        "capabilities,security_options,docker_socket,host_paths,host_namespaces",
    ];
    let made = stack.owner().does(&[
        "tokens",
        "create",
        &app,
        "--role",
        "admin",
        "--scope",
        "deploy:read,env:write",
        "--json",
    ]);
    let made: Value = serde_json::from_str(&made.out).expect("JSON");
    let admin = stack.person(made["secret"].as_str().unwrap_or_else(|| panic!("{made}")));
    let denied = admin.runs(&allow);
    assert_eq!(denied.code, 2, "{}", denied.all());
    assert!(denied.err.contains("Only an owner"), "{}", denied.all());
    let shown = stack.owner().does(&allow);
    assert!(shown.line("allowed").contains("docker_socket"));
    stack.owner().does(&deploy);
    assert_eq!(unmoved.app.version().await, "200 version=v1");
    unmoved.end();
}
