//! A site with content of every kind, and all of it compared.
//!
//! Promise: two of its contents are equal when every byte, name, mode, owner, time, link and row is.

use crate::{Answer, Stack, settled};
use serde_json::Value;
use std::collections::HashSet;

/// All that is in the database; who restored objects belong to is a rule of its own.
const DUMP: &str = "mariadb-dump --skip-dump-date --skip-comments --order-by-primary --routines --triggers --events --hex-blob $site | sed -E 's/DEFINER=[^ *]+ ?//'";

/// A site with content of every kind; its name is its system user's and its database's.
pub struct Shop {
    /// Where it is.
    pub stack: Stack,
    /// The site's id.
    pub id: String,
    /// Its system user and its database.
    pub name: String,
}

/// Everything of the tree and the database that must come back.
#[derive(Debug, PartialEq, Eq)]
pub struct Contents {
    /// Names, kinds, modes, owners, times, lengths, links and checksums.
    pub tree: String,
    /// A dump.
    pub rows: String,
}

impl Shop {
    /// A new one, filled.
    pub async fn new(name: &str) -> Self {
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
    pub fn run(&self, script: &str) -> String {
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

    /// As it is now.
    pub fn contents(&self) -> Contents {
        Contents {
            tree: self.tree(),
            rows: self.run(&format!("{DUMP} | cat -v")),
        }
    }

    /// The same of a large one: its rows by the checksum of their dump.
    pub fn digest(&self) -> Contents {
        Contents {
            tree: self.tree(),
            rows: self.run(&format!("{DUMP} | sha256sum")),
        }
    }

    fn tree(&self) -> String {
        self.run(
            r"find . -mindepth 1 \( -type d -printf '%P|%y|%m|%u|%g|%T@\0' -o -printf '%P|%y|%m|%u|%g|%T@|%s|%l|%n\0' \) | LC_ALL=C sort -z | tr '\0' '\n' | cat -v; find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum --zero | tr '\0' '\n' | cat -v",
        )
    }

    /// Ask something about its backups.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        let path = format!("/v1/sites/{}/backups{path}", self.id);
        self.stack.post(&path, body).await
    }

    /// A deployment that was begun so.
    pub async fn begun(&self, path: &str, body: Value) -> String {
        let begun = self.post(path, body).await;
        assert_eq!(begun.status, 201, "{:#}", begun.body);
        let id = begun.body["deployment"]["id"].as_str().expect("an id");
        id.to_string()
    }

    /// Newest first.
    pub async fn backups(&self) -> Vec<Value> {
        let path = format!("/v1/sites/{}/backups", self.id);
        let page = self.stack.get(&path).await.body;
        page["items"].as_array().expect("a list").clone()
    }

    /// The newest backup's id, after making it.
    pub async fn backed_up(&self, body: Value) -> String {
        let deployment = self.begun("", body).await;
        settled(&self.stack.ended(&deployment).await, "completed").expect("backed up");
        let backups = self.backups().await;
        backups[0]["id"].as_str().expect("an id").to_string()
    }

    /// A backup was put back.
    pub async fn restored(&self, backup: &str, body: Value) {
        let deployment = self.begun(&format!("/{backup}/restore"), body).await;
        settled(&self.stack.ended(&deployment).await, "completed").expect("restored");
    }

    /// Most of what can go wrong with a site.
    pub fn damage(&self) {
        self.run(
            r#"rm -rf wp-content/uploads wp-includes; echo hacked > index.php; chmod 777 wp-admin
            mariadb "$site" -e "DROP TABLE stock; DROP VIEW in_stock; TRUNCATE ${site%%x}.$(mariadb -N "$site" -e "SHOW TABLES LIKE '%options'")""#,
        );
    }

    /// What a restore would leave when it did not clean up.
    pub fn left_beside(&self) -> String {
        self.run(
            "ls -A /home | grep triphammer-restores || true; ls -A | grep maintenance || true; mariadb -N -e \"SHOW DATABASES LIKE '%\\_\\_%'\" || true",
        )
    }
}

/// Nothing came, nothing went.
#[track_caller]
pub fn equal(found: &Contents, wanted: &Contents) {
    for (found, wanted) in [(&found.tree, &wanted.tree), (&found.rows, &wanted.rows)] {
        let (new, old): (HashSet<_>, HashSet<_>) =
            (found.lines().collect(), wanted.lines().collect());
        let gone: Vec<_> = old.difference(&new).take(10).collect();
        let come: Vec<_> = new.difference(&old).take(10).collect();
        assert!(
            gone.is_empty() && come.is_empty(),
            "gone: {gone:#?}\ncome: {come:#?}"
        );
    }
}
