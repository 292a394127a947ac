//! What runs in one environment, promoted to another: the same images, with the other's values and routes.

use e2e::app::App;
use e2e::{Stack, settled, step};
use serde_json::{Value, json};

#[tokio::test]
async fn an_image_is_promoted_by_its_digest_with_the_other_environments_values_and_routes_and_pushes_resume()
 {
    let app = App::running("promoted").await;
    let images = [
        app.stack.app_image("v2", &[]),
        app.stack.app_image("v3", &[]),
    ];
    let other = app.beside("second", 1, true).await;
    settled(&app.stack.ended(&other.first).await, "completed").expect("its first release");
    other.released(&images[0]).await;
    let back = other.ended("/rollback", json!({})).await;
    settled(&back, "completed").expect("rolled back");
    assert_eq!(other.seen().await["auto_deploys_paused_by"], back["id"]);
    other.values(json!({"VERSION": "its-own"})).await;

    let runs = app.released(&images[1]).await;
    let promoted = other
        .ended("/promote", json!({"from": app.environment}))
        .await;
    settled(&promoted, "completed").expect("promoted");
    for name in ["save_images", "load_images"] {
        assert_eq!(step(&promoted, name)["status"], "skipped", "{promoted:#}");
    }
    let (from, to) = (app.views(&runs).await, other.views(&promoted).await);
    assert_eq!(from["frozen"]["images"], to["frozen"]["images"]);
    let (status, page) = other.page_on(1, "/").await;
    assert!(
        status == 200 && page.contains("version=its-own"),
        "{status} {page}"
    );
    assert_eq!(app.version().await, "200 version=v3");
    assert_eq!(other.seen().await["auto_deploys_paused_by"], Value::Null);
}

#[tokio::test]
async fn what_was_built_is_promoted_as_it_is_and_not_built_again() {
    let stack = Stack::from_env();
    let repository = format!("promoted-{:x}", std::process::id());
    let folder = e2e::sources::folder("git1", "");
    let commit = stack.lab.commit(&repository, "main", folder.path());
    let commit = commit.expect("a commit");
    let url = format!("http://git.test/pub/{repository}.git");
    let app = App::new("carried", json!({"kind": "repository", "url": url}), 1).await;
    let ended = app.stack.ended(&app.first).await;
    settled(&ended, "completed").expect("built");
    // What is newer in the repository is not what runs.
    let newer = e2e::sources::folder("git2", "");
    let newer = stack.lab.commit(&repository, "main", newer.path());
    newer.expect("a commit");
    let other = app.beside("second", 1, false).await;
    let promoted = other
        .ended("/promote", json!({"from": app.environment}))
        .await;
    settled(&promoted, "completed").expect("promoted");
    for name in ["save_images", "load_images"] {
        assert_eq!(step(&promoted, name)["status"], "completed", "{promoted:#}");
    }
    let names: Vec<&Value> = promoted["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|step| &step["name"])
        .collect();
    assert!(
        !names.contains(&&json!("build_image")) && !names.contains(&&json!("fetch_source")),
        "{names:?}"
    );
    let (from, to) = (app.views(&ended).await, other.views(&promoted).await);
    assert_eq!(to["frozen"]["commit"], commit.as_str());
    assert_eq!(from["frozen"]["images"], to["frozen"]["images"]);
    let (status, page) = other.page_on(1, "/").await;
    assert!(
        status == 200 && page.contains("version=git1"),
        "{status} {page}"
    );
}
