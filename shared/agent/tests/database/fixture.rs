//! A MariaDB of the test's own: its own data, its own socket, no port, ended with the test.
//!
//! Promise: the host's server, if it runs one, is never spoken to; without the programs the test fails and says what to install.

use agent::database::{Restore, Server, dump};
use agent::fault::Result;
use agent::paths::Paths;
use protocol::job::DatabaseRestored;
use protocol::{Changed, Lease};
use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

/// A ULID, as deployments have.
pub const DEPLOYMENT: &str = "01J0000000000000000000000A";
/// The site's database, and its user.
pub const SHOP: &str = "shop_ab";

fn program(name: &str) -> PathBuf {
    ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{name} is missing: apt-get install mariadb-server"))
}

/// An empty data directory, made once for all tests of the process and copied for each.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<TempDir> = OnceLock::new();
    TEMPLATE
        .get_or_init(|| {
            let root = directory();
            let made = Command::new(program("mariadb-install-db"))
                .args([
                    "--no-defaults",
                    "--user=mysql",
                    "--skip-test-db",
                    "--auth-root-authentication-method=socket",
                    "--auth-root-socket-user=root",
                ])
                .arg(format!("--datadir={}", root.path().join("data").display()))
                .output()
                .expect("started");
            assert!(
                made.status.success(),
                "{}",
                String::from_utf8_lossy(&made.stderr)
            );
            root
        })
        .path()
}

fn directory() -> TempDir {
    let root = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755))
        .expect("for the user mysql");
    root
}

/// A server, and an agent's state beside it.
pub struct Host {
    root: TempDir,
    child: Child,
    options: Vec<String>,
    /// To reach it.
    pub server: Server,
    /// The agent's.
    pub paths: Paths,
    /// Of [`DEPLOYMENT`].
    pub lease: Lease,
}

impl Host {
    /// A running one, with [`SHOP`] and its user.
    pub fn up() -> Self {
        Self::with(&[])
    }

    /// The same with more options for the server.
    pub fn with(options: &[&str]) -> Self {
        let root = directory();
        let copied = Command::new("cp")
            .arg("-a")
            .arg(template().join("data"))
            .arg(root.path())
            .status();
        assert!(copied.expect("cp").success());
        let run = root.path().join("run");
        fs::create_dir(&run).expect("made");
        fs::set_permissions(&run, fs::Permissions::from_mode(0o777)).expect("for the user mysql");
        let options: Vec<String> = options.iter().map(|option| (*option).to_string()).collect();
        let host = Self {
            child: start(root.path(), &options),
            server: Server::at(&run.join("sock")),
            paths: Paths::under(&root.path().join("agent")),
            lease: lease(DEPLOYMENT),
            options,
            root,
        };
        host.wait();
        host.sql(&format!(
            "CREATE DATABASE {SHOP} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;\
             CREATE DATABASE neighbour; CREATE TABLE neighbour.t (a INT); INSERT INTO neighbour.t VALUES (1);\
             CREATE USER {SHOP}@localhost IDENTIFIED BY 'p';\
             GRANT ALL ON `shop\\_ab`.* TO {SHOP}@localhost;"
        ));
        host
    }

    fn wait(&self) {
        for _ in 0..600 {
            if self.server.sql("SELECT 1;").is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(self.root.path().join("run/log")).unwrap_or_default();
        panic!("mariadbd does not answer: {log}");
    }

    /// SIGKILL, as when the machine's memory ran out.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }

    /// Up again on the same data.
    pub fn start_again(&mut self) {
        self.child = start(self.root.path(), &self.options);
        self.wait();
    }

    /// Killed, and up again.
    pub fn crash(&mut self) {
        self.kill();
        self.start_again();
    }

    /// Run statements as root.
    pub fn sql(&self, statements: &str) -> String {
        self.server.sql(statements).expect("the statements work")
    }

    /// Run a script with DELIMITER lines, as a person would, in a database.
    pub fn script(&self, database: &str, text: &str) {
        let seen = self.client(database, &[], text);
        assert!(
            seen.status.success(),
            "{}",
            String::from_utf8_lossy(&seen.stderr)
        );
    }

    /// What a person sees.
    pub fn client(&self, database: &str, options: &[&str], text: &str) -> std::process::Output {
        let mut child = Command::new(program("mariadb"))
            .arg("--no-defaults")
            .arg(format!("--socket={}", self.socket().display()))
            .arg("--default-character-set=utf8mb4")
            .arg("--comments")
            .args(options)
            .arg(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        child
            .stdin
            .take()
            .expect("a pipe")
            .write_all(text.as_bytes())
            .expect("written");
        child.wait_with_output().expect("ended")
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.root.path().join("run/sock")
    }

    /// Its data.
    pub fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// Is a RENAME at work?
    pub fn is_renaming(&self) -> bool {
        let statements =
            "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'RENAME %';";
        self.sql(statements).trim() != "0"
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A dump of a database by the agent.
    pub fn dump(&self, database: &str) -> Vec<u8> {
        let mut out = Vec::new();
        dump(&self.server, database, &mut out, &mut |_| {
            ControlFlow::Continue(())
        })
        .expect("dumped");
        out
    }

    /// The same, unpacked.
    pub fn dump_text(&self, database: &str) -> String {
        let bytes = zstd::decode_all(&self.dump(database)[..]).expect("unpacked");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The restore of [`SHOP`].
    pub fn restore(&self) -> Restore<'_> {
        Restore::new(&self.server, &self.paths, &self.lease, SHOP).expect("a name")
    }

    /// A dump, restored.
    pub fn put(&self, dump: &[u8]) -> Result<DatabaseRestored> {
        put(&self.restore(), dump)
    }

    /// Undone.
    pub fn back(&self) -> Changed {
        self.restore().swap_back().expect("swapped back")
    }

    /// All that a person could tell two states of [`SHOP`] by.
    pub fn picture(&self) -> String {
        let text = self.dump_text(SHOP);
        // The only line that says when and not what.
        let lines = text.lines().filter(|line| !line.starts_with("-- Host"));
        let charset = self.sql(&format!(
            "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata WHERE schema_name = '{SHOP}';"
        ));
        format!("{charset}{}", lines.collect::<Vec<_>>().join("\n"))
    }

    /// Nothing of a restore is left on the server or in the agent's state.
    pub fn assert_clean(&self) {
        let databases = self.sql("SHOW DATABASES;");
        assert!(
            !databases.contains("__new_") && !databases.contains("__old_"),
            "{databases}"
        );
        let users = self.sql("SELECT user FROM mysql.user;");
        assert!(!users.contains("th_load"), "{users}");
        let files = |path: PathBuf| fs::read_dir(path).map_or(0, Iterator::count);
        assert_eq!(files(self.paths.restores()), 0);
        assert_eq!(files(self.paths.claims().join("databases")), 0);
        assert_eq!(
            self.sql("SELECT * FROM neighbour.t; SELECT @@GLOBAL.max_allowed_packet;"),
            "1\n16777216\n"
        );
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Its data goes with the directory, so there is nothing to shut down in peace.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(root: &Path, options: &[String]) -> Child {
    let run = root.join("run");
    let log = fs::File::create(run.join("log")).expect("made");
    Command::new(program("mariadbd"))
        .args([
            "--no-defaults",
            "--user=mysql",
            "--skip-networking",
            "--skip-log-bin",
            "--event-scheduler=ON",
        ])
        .args([
            "--innodb-buffer-pool-size=48M",
            "--innodb-log-file-size=16M",
            "--performance-schema=OFF",
            // Processes are killed here and never the machine: what the kernel has is safe.
            "--innodb-flush-log-at-trx-commit=2",
            "--debug-no-sync",
        ])
        .arg(format!("--datadir={}", root.join("data").display()))
        // A server that starts removes what others left in the place for temporary tables: each has its own.
        .arg(format!("--tmpdir={}", run.display()))
        .arg(format!("--socket={}", run.join("sock").display()))
        .arg(format!("--pid-file={}", run.join("pid").display()))
        .args(options)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("started")
}

/// A lease of a deployment.
pub fn lease(deployment: &str) -> Lease {
    Lease {
        target: "site:1".into(),
        fence: 1,
        deployment_id: deployment.into(),
    }
}

/// A dump through a restore.
pub fn put(restore: &Restore<'_>, dump: &[u8]) -> Result<DatabaseRestored> {
    let mut input = dump;
    restore.run(&mut input, dump.len() as u64, &mut |_| {
        ControlFlow::Continue(())
    })
}

/// Packed as a dump is stored.
pub fn packed(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), 3).expect("packed")
}

/// The same text, or the first line that is not.
pub fn assert_same(left: &str, right: &str, when: &str) {
    let differ = left.lines().zip(right.lines()).find(|(a, b)| a != b);
    assert!(
        left == right,
        "{when}: {differ:?}, {} and {} lines",
        left.lines().count(),
        right.lines().count()
    );
}
