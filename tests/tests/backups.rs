//! Backups of real sites, and their way back: what is restored equals what was backed up, in every byte, name, mode,
//! owner, time, link and row; what cannot be restored is refused with the site as it was.

use e2e::settled;
use e2e::shop::{Shop, equal};
use serde_json::{Value, json};

#[tokio::test]
async fn what_is_restored_equals_what_was_backed_up_along_a_chain_of_incremental_backups() {
    let shop = Shop::new("kept-whole").await;
    let first = shop.contents();
    let full = shop.backed_up(json!({})).await;
    shop.run(
        r#"su -s /bin/bash "$site" -c 'cd /home/'"$site"'/public/wp-content/uploads && echo more > new.txt && rm -- -rf && chmod 600 again.jpg && echo changed >> 2026/empty/../file'
        mariadb "$site" -e "INSERT INTO stock VALUES (3, 'third', NULL)""#,
    );
    let second = shop.contents();
    let incremental = shop.backed_up(json!({})).await;
    let backups = shop.backups().await;
    assert_eq!(backups[0]["parent"], full.as_str(), "{:#}", backups[0]);
    let (changed, all) = (
        &backups[0]["files"]["changed"],
        &backups[0]["files"]["entries"],
    );
    assert!(
        changed.as_u64() < Some(20) && all.as_u64() > Some(1000),
        "{changed} of {all}"
    );
    shop.damage();
    shop.restored(&incremental, json!({})).await;
    equal(&shop.contents(), &second);
    shop.restored(&full, json!({})).await;
    equal(&shop.contents(), &first);
    assert_eq!(shop.left_beside(), "");
    let reasons: Vec<_> = shop
        .backups()
        .await
        .iter()
        .map(|backup| backup["reason"].clone())
        .collect();
    assert_eq!(
        reasons,
        ["before_restore", "before_restore", "manual", "manual"]
    );
    let site = shop.stack.get(&format!("/v1/sites/{}", shop.id)).await.body;
    let host = site["url"]
        .as_str()
        .expect("a URL")
        .trim_start_matches("http://")
        .to_string();
    let (status, page) = shop.stack.page(&host, "/").await.expect("a page");
    assert!(
        status == 200 && page.contains("kept-whole"),
        "{status} {page}"
    );
}

#[tokio::test]
async fn one_side_of_a_backup_is_restored_alone() {
    let shop = Shop::new("one-side").await;
    let before = shop.contents();
    let backup = shop.backed_up(json!({})).await;
    shop.damage();
    let damaged = shop.contents();
    shop.restored(&backup, json!({"scope": "database"})).await;
    let half = shop.contents();
    assert_eq!(
        (half.rows == before.rows, half.tree == damaged.tree),
        (true, true),
        "the database alone"
    );
    shop.restored(&backup, json!({"scope": "files"})).await;
    equal(&shop.contents(), &before);
}

#[tokio::test]
async fn a_backup_is_restored_by_hand_with_stock_programs() {
    let shop = Shop::new("by-hand").await;
    let before = shop.contents();
    shop.backed_up(json!({})).await;
    let prefix = format!(
        "/{}/",
        shop.backups().await[0]["id"].as_str().expect("an id")
    );
    let store = shop.stack.state_dir.join("s3");
    let found = std::process::Command::new("find")
        .arg(&store)
        .args(["-type", "f", "-path"])
        .arg(format!("*{prefix}*"))
        .output()
        .expect("find");
    let files: Vec<_> = String::from_utf8_lossy(&found.stdout)
        .lines()
        .map(str::to_string)
        .collect();
    let path = |name: &str| {
        files
            .iter()
            .find(|file| file.ends_with(name))
            .unwrap_or_else(|| panic!("{name} in {files:?}"))
            .clone()
    };
    let address = &shop.stack.server().address;
    let key = &shop.stack.server().key_path;
    for name in ["files.tar.zst", "database.sql.zst"] {
        let copied = std::process::Command::new("scp")
            .arg("-qi")
            .arg(key)
            .args([
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "UserKnownHostsFile=/dev/null",
                &path(name),
                &format!("root@{address}:/root/{name}"),
            ])
            .status();
        assert!(copied.expect("scp").success());
    }
    shop.damage();
    shop.run(
        r#"cd ..; rm -rf public; mkdir public; zstd -dc /root/files.tar.zst | tar -xp --numeric-owner -C public
        mariadb -e "DROP DATABASE $site; CREATE DATABASE $site CHARACTER SET utf8mb4"; zstd -dc /root/database.sql.zst | mariadb "$site""#,
    );
    equal(&shop.contents(), &before);
}

#[tokio::test]
async fn an_object_that_was_changed_in_the_store_is_refused_with_the_site_as_it_was() {
    let shop = Shop::new("tampered").await;
    let backup = shop.backed_up(json!({})).await;
    shop.run("echo changed > index.php");
    let before = shop.contents();
    let keys = shop.stack.stored("").await;
    let key = |name: &str| {
        let end = format!("/{backup}/{name}");
        let found = keys.iter().find(|key| key.ends_with(&end));
        found.unwrap_or_else(|| panic!("{end} in {keys:?}")).clone()
    };
    let (files, database) = (key("files.tar.zst"), key("database.sql.zst"));
    let whole = shop.stack.object(&files).await;
    let flipped = {
        let mut bytes = whole.clone();
        bytes[200_000] ^= 1;
        bytes
    };
    let truncated = whole[..whole.len() - 1000].to_vec();
    let swapped = shop.stack.object(&database).await;
    for (what, bytes, wanted) in [
        ("a byte flipped", flipped, "cannot be used"),
        ("its end cut", truncated, "length differs"),
        ("another in its place", swapped, "length differs"),
    ] {
        shop.stack.replace_object(&files, bytes).await;
        let deployment = shop.begun(&format!("/{backup}/restore"), json!({})).await;
        let ended = shop.stack.ended(&deployment).await;
        settled(&ended, "failed").unwrap_or_else(|error| panic!("{what}: {error:#}"));
        let said = ended["error"]["message"].as_str().unwrap_or_default();
        assert!(said.contains(wanted), "{what}: {said}");
        equal(&shop.contents(), &before);
        assert_eq!(shop.left_beside(), "", "{what}: {ended:#}");
    }
    shop.stack.replace_object(&files, whole).await;
    shop.restored(&backup, json!({})).await;
}

#[tokio::test]
async fn what_cannot_be_restored_or_deleted_is_refused_before_anything_is_touched() {
    let shop = Shop::new("refusing").await;
    let full = shop.backed_up(json!({"scope": "files"})).await;
    let child = shop.backed_up(json!({"scope": "files"})).await;
    let refused = shop
        .post(&format!("/{full}/restore"), json!({"scope": "database"}))
        .await;
    assert_eq!((refused.status, refused.code()), (422, "not_in_backup"));
    let stack = &shop.stack;
    let delete = |id: String| {
        let path = format!("/v1/sites/{}/backups/{id}", shop.id);
        async move {
            stack
                .send(reqwest::Method::DELETE, &path, &stack.token, &[], None)
                .await
        }
    };
    let kept = delete(full.clone()).await;
    assert_eq!((kept.status, kept.code()), (409, "backup_in_use"));
    for pattern in ["/etc", "../other", ""] {
        let refused = shop.post("", json!({"exclude": [pattern]})).await;
        assert_eq!(
            (refused.status, refused.code()),
            (422, "invalid_fields"),
            "{pattern}"
        );
    }
    let other = shop.stack.other_team_token().await.expect("a token");
    let path = format!("/v1/sites/{}/backups/{full}", shop.id);
    let hidden = shop
        .stack
        .send(reqwest::Method::GET, &path, &other, &[], None)
        .await;
    assert_eq!(hidden.status, 404);
    for gone in [child, full] {
        assert_eq!(delete(gone.clone()).await.status, 204);
        let refused = shop.post(&format!("/{gone}/restore"), json!({})).await;
        assert_eq!(refused.status, 404);
    }
    assert_eq!(shop.backups().await, Vec::<Value>::new());
}
