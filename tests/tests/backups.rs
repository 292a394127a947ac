//! Backups of real sites, and their way back: what is restored equals what was backed up, in every byte, name, mode,
//! owner, time, link and row; what cannot be restored is refused with the site as it was.

use e2e::{Stack, settled};
use serde_json::{Value, json};

/// A site with content of every kind; its name is its system user's and its database's.
struct Shop {
    stack: Stack,
    id: String,
    name: String,
}

/// Everything of the tree and the database that must come back.
#[derive(Debug, PartialEq, Eq)]
struct Contents {
    tree: String,
    rows: String,
}

impl Shop {
    async fn new(name: &str) -> Self {
        let stack = Stack::from_env();
        let server = stack.registered().await;
        // Sites stay when a test fails, and a stack may be asked again.
        let name = &format!("{name}-{:x}", std::process::id());
        let created = stack
            .post("/v1/sites", stack.site_create(&server, name))
            .await;
        assert_eq!(created.status, 201, "{:#}", created.body);
        let deployment = created.body["deployment"]["id"].as_str().expect("an id");
        settled(&stack.ended(deployment).await, "completed").expect("a site");
        let id = created.body["site"]["id"].as_str().expect("an id");
        let shop = Self {
            id: id.to_string(),
            name: name.replace('-', "_"),
            stack,
        };
        shop.fill();
        shop
    }

    /// As root on the server, with the site's name in `$site` and its web root as the folder.
    fn run(&self, script: &str) -> String {
        let script = format!(
            "set -eu; site={}; cd /home/$site/public; {script}",
            self.name
        );
        let done = self.stack.on_server(&["bash", "-c", &script]);
        done.unwrap_or_else(|error| panic!("{script}: {error:#}"))
    }

    fn fill(&self) {
        self.run(
            r#"su -s /bin/bash "$site" -c '
                cd /home/'"$site"'/public/wp-content; mkdir -p uploads/2026/empty; cd uploads
                head -c 3000000 /dev/urandom > photo.jpg; ln photo.jpg again.jpg; ln -s photo.jpg link.jpg; ln -s /nowhere dangling
                printf x > "$(printf "a name\nwith a line")"; printf y > -rf; printf z > "$(printf "\377\376.bin")"
                truncate -s 20M sparse.img; printf end | dd of=sparse.img bs=1 seek=9000000 conv=notrunc 2>/dev/null
                chmod 640 photo.jpg; chmod 2755 2026; touch -d "2001-02-03 04:05:06.789" photo.jpg; touch -d "1999-12-31 23:59:59.5" 2026'
            mariadb --default-character-set=utf8mb4 "$site" -e "CREATE TABLE stock (id INT PRIMARY KEY, name VARCHAR(50), raw BLOB) CHARSET utf8mb4;
                INSERT INTO stock VALUES (1, 'caffè 🍋', x'00ff27'), (2, 'a;b--c', NULL);
                CREATE VIEW in_stock AS SELECT name FROM stock; CREATE TRIGGER stocked BEFORE INSERT ON stock FOR EACH ROW SET NEW.name = UPPER(NEW.name);""#,
        );
    }

    fn contents(&self) -> Contents {
        let tree = self.run(
            r"find . -mindepth 1 \( -type d -printf '%P|%y|%m|%u|%g|%T@\0' -o -printf '%P|%y|%m|%u|%g|%T@|%s|%l|%n\0' \) | LC_ALL=C sort -z | tr '\0' '\n' | cat -v; find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum --zero | tr '\0' '\n' | cat -v",
        );
        let rows = self.run(
            "mariadb-dump --skip-dump-date --skip-comments --order-by-primary --routines --triggers --events --hex-blob $site | sed -E 's/DEFINER=[^ *]+ ?//' | cat -v",
        );
        Contents { tree, rows }
    }

    async fn post(&self, path: &str, body: Value) -> e2e::Answer {
        let path = format!("/v1/sites/{}/backups{path}", self.id);
        self.stack.post(&path, body).await
    }

    async fn begun(&self, path: &str, body: Value) -> String {
        let begun = self.post(path, body).await;
        assert_eq!(begun.status, 201, "{:#}", begun.body);
        let id = begun.body["deployment"]["id"].as_str().expect("an id");
        id.to_string()
    }

    async fn backups(&self) -> Vec<Value> {
        let path = format!("/v1/sites/{}/backups", self.id);
        let page = self.stack.get(&path).await.body;
        page["items"].as_array().expect("a list").clone()
    }

    /// The newest backup's id, after making it.
    async fn backed_up(&self, body: Value) -> String {
        let deployment = self.begun("", body).await;
        settled(&self.stack.ended(&deployment).await, "completed").expect("backed up");
        let backups = self.backups().await;
        backups[0]["id"].as_str().expect("an id").to_string()
    }

    async fn restored(&self, backup: &str, body: Value) {
        let deployment = self.begun(&format!("/{backup}/restore"), body).await;
        settled(&self.stack.ended(&deployment).await, "completed").expect("restored");
    }

    fn damage(&self) {
        self.run(
            r#"rm -rf wp-content/uploads wp-includes; echo hacked > index.php; chmod 777 wp-admin
            mariadb "$site" -e "DROP TABLE stock; DROP VIEW in_stock; TRUNCATE ${site%%x}.$(mariadb -N "$site" -e "SHOW TABLES LIKE '%options'")""#,
        );
    }

    fn left_beside(&self) -> String {
        self.run(
            "ls -A /home | grep triphammer-restores || true; ls -A | grep maintenance || true; mariadb -N -e \"SHOW DATABASES LIKE '%\\_\\_%'\" || true",
        )
    }
}

#[track_caller]
fn equal(found: &Contents, wanted: &Contents) {
    for (found, wanted) in [(&found.tree, &wanted.tree), (&found.rows, &wanted.rows)] {
        let (new, old): (Vec<_>, Vec<_>) = (found.lines().collect(), wanted.lines().collect());
        let gone: Vec<_> = old
            .iter()
            .filter(|line| !new.contains(line))
            .take(10)
            .collect();
        let come: Vec<_> = new
            .iter()
            .filter(|line| !old.contains(line))
            .take(10)
            .collect();
        assert!(
            gone.is_empty() && come.is_empty(),
            "gone: {gone:#?}\ncome: {come:#?}"
        );
    }
}

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
    let store = shop.stack.state_dir.join("s3");
    let flip = format!(
        "for f in $(find {} -type f -path '*/{backup}/*' -name 'files.tar.zst*' -size +100k); do printf X | dd of=$f bs=1 seek=200000 conv=notrunc 2>/dev/null; echo $f; done",
        store.display()
    );
    let flipped = std::process::Command::new("bash")
        .args(["-c", &flip])
        .output()
        .expect("bash");
    assert!(!flipped.stdout.is_empty(), "the object was found");
    let before = shop.contents();
    let deployment = shop.begun(&format!("/{backup}/restore"), json!({})).await;
    let ended = shop.stack.ended(&deployment).await;
    settled(&ended, "failed").expect("refused");
    equal(&shop.contents(), &before);
    assert_eq!(shop.left_beside(), "", "{ended:#}");
    assert!(
        ended["error"]["message"]
            .as_str()
            .is_some_and(|said| !said.is_empty()),
        "{ended:#}"
    );
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
            (422, "invalid_request"),
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
