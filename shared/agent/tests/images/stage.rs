//! The lab, what its hub has, and a job's context on its Docker host.

use crate::world::World;
use agent::files;
use agent::jobs::context::Context;
use agent::jobs::line::Line;
use agent::jobs::work::Finished;
use agent::paths::Paths;
use agent::release::folder::{Environment, Release};
use protocol::release::{RegistryLogin, ReleasePlan, ReleasePrepare};
use protocol::{AgentError, Lease};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

pub const PUBLIC: &str = "registry.test:5000";
pub const PRIVATE: &str = "private.registry.test:5001";
pub const PLACE: &str = "/root/images-on-a-server";
/// Of the hub's registry and its repositories.
pub const PASSWORD: &str = "s3cret-registry";
pub const TOKEN: &str = "s3cret-token";

pub struct Lab {
    name: String,
    keep: bool,
}

impl Lab {
    pub fn up() -> Self {
        let given = std::env::var("TRIPHAMMER_LAB").ok();
        let lab = Self {
            keep: given.is_some(),
            name: given.unwrap_or_else(|| format!("images-{}", std::process::id())),
        };
        assert!(
            lab.command("up")
                .args(["0", "1"])
                .status()
                .expect("run")
                .success()
        );
        let own = File::open("/proc/self/exe").expect("open");
        lab.on(
            "docker1",
            &["install", "-m", "755", "/dev/stdin", PLACE],
            Some(own),
        );
        lab
    }

    fn command(&self, verb: &str) -> Command {
        let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/lab/lab");
        let mut command = Command::new(lab);
        command.args([verb, &self.name]);
        command
    }

    pub fn on(&self, server: &str, words: &[&str], input: Option<File>) -> String {
        let mut command = self.command("exec");
        command.arg(server).args(words).stderr(Stdio::inherit());
        command.stdin(input.map_or(Stdio::null(), Stdio::from));
        let seen = command.output().expect("run");
        assert!(seen.status.success(), "{words:?}");
        String::from_utf8_lossy(&seen.stdout).trim().to_string()
    }

    fn hub(&self, script: &str) -> String {
        self.on("hub", &["sh", "-euc", script], None)
    }

    /// All that the scenes look for.
    pub fn furnish(&self) {
        self.hub(&format!(
            "push-busybox {PUBLIC}/lab/busybox:1; push-busybox {PRIVATE}/lab/private:1"
        ));
        // A repeat of the furnishing gives other digests: the image has its time in it.
        self.hub(&format!(
            "mkdir -p /tmp/m; cd /tmp/m; for n in old new gone; do echo $n > word; tar -c word | push-image {PUBLIC}/lab/$n:1 /word > /srv/$n.digest; done; \
             echo old2 > word; tar -c word | push-image {PUBLIC}/lab/moving:1 /word > /srv/moving.digest; \
             echo new2 > word; tar -c word | push-image {PUBLIC}/lab/moving:1 /word; \
             dd if=/dev/urandom of=blob bs=1M count=150 status=none; tar -c blob | push-image {PUBLIC}/lab/large:1 /blob; \
             dd if=/dev/urandom of=blob bs=1M count=150 status=none; tar -c blob | push-image {PUBLIC}/lab/larger:1 /blob; rm blob; \
             curl -fsS -X DELETE http://{PUBLIC}/v2/lab/gone/manifests/$(cat /srv/gone.digest)"
        ));
        let shop = "rm -rf /tmp/r; mkdir -p /tmp/r/deep/er /tmp/r/left-out; cd /tmp/r; echo 'FROM scratch' > Dockerfile; \
            echo '#!/bin/sh' > run.sh; chmod 755 run.sh; echo x > deep/er/x; echo kept > left-out/kept; \
            printf 'left-out export-ignore\\n*.id export-subst ident\\n*.lfs filter=lfs\\n' > .gitattributes; \
            echo '$Format:%H$' > a.id; echo pointer > b.lfs; ln -s /etc/passwd out; ln -s deep/er/x in; tar -c . | make-repository shop main v1";
        let first = self.hub(shop);
        self.hub(
            "cd /tmp/r; echo 2 > two; tar -c . | make-repository shop feature/cart > /dev/null",
        );
        let gone = self.hub("cd /tmp/r; echo 3 > three; tar -c . | make-repository shop passing");
        self.hub(
            "export GIT_DIR=/srv/git/shop.git; r() { runuser -u git -- env GIT_DIR=$GIT_DIR \"$@\"; }; \
             r git update-ref -d refs/heads/passing; r git reflog expire --expire=now --all; r git gc -q --prune=now; \
             test -e /root/deploy || ssh-keygen -q -t ed25519 -N '' -f /root/deploy; test -e /root/other || ssh-keygen -q -t ed25519 -N '' -f /root/other; \
             cp /root/deploy.pub /srv/git/.ssh/authorized_keys; chown git:git /srv/git/.ssh/authorized_keys",
        );
        let notes = json!({
            "first": first,
            "gone": gone,
            "old": self.hub("cat /srv/old.digest"),
            "moving": self.hub("cat /srv/moving.digest"),
            "gone_digest": self.hub("cat /srv/gone.digest"),
            "key": self.hub("cat /root/deploy"),
            "other_key": self.hub("cat /root/other"),
        });
        let path = std::env::temp_dir().join(format!("images-notes-{}", std::process::id()));
        std::fs::write(&path, notes.to_string()).expect("written");
        let file = File::open(&path).expect("open");
        self.on(
            "docker1",
            &["install", "-m", "600", "/dev/stdin", "/root/notes.json"],
            Some(file),
        );
        std::fs::remove_file(&path).expect("removed");
    }

    pub fn scene(&self, number: usize) -> bool {
        let mut command = self.command("exec");
        command.args([
            "docker1",
            "env",
            "RUST_BACKTRACE=0",
            PLACE,
            "scene",
            &number.to_string(),
        ]);
        command.status().expect("run").success()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !self.keep {
            let _ = self.command("down").status();
        }
    }
}

/// What the furnishing wrote down.
pub fn note(name: &str) -> String {
    let text = std::fs::read_to_string("/root/notes.json").expect("notes");
    let notes: Value = serde_json::from_str(&text).expect("JSON");
    notes[name].as_str().expect(name).to_string()
}

/// A job of a release, on this host.
pub struct Job {
    pub world: World,
    pub context: Context,
    pub line: Arc<Line>,
    pub release: Release,
}

impl Job {
    /// For a deployment of its own, so that scenes do not meet.
    pub fn new(environment: &str, deployment: &str) -> Self {
        let world = World::new();
        let line = world.line();
        let lease = Lease {
            target: format!("environment:{environment}"),
            fence: 1,
            deployment_id: deployment.to_string(),
        };
        let paths = Paths::host();
        files::directory(&paths.state(), 0o700).expect("made");
        let release = Environment::of(&paths, environment)
            .and_then(|one| one.release(deployment))
            .expect("a release");
        release.remove().expect("removed");
        Self {
            context: Context::new(&paths, &lease, &line),
            world,
            line,
            release,
        }
    }

    /// A prepared release that runs these images.
    pub fn prepare(&self, images: &[&str]) {
        let services: Vec<Value> = images
            .iter()
            .enumerate()
            .map(|(at, image)| {
                json!({ "service": format!("s{at}"), "asked": image, "image": image, "update": "beside", "because": "",
                        "replicas": 1, "has_health_check": false })
            })
            .collect();
        let plan: ReleasePlan =
            value(json!({ "services": services, "volumes": [], "variables": [] }));
        let environment = self.release.environment();
        let mut asked: ReleasePrepare = value(json!({ "environment": environment, "compose": "" }));
        asked.registries = vec![login(PASSWORD)];
        files::directory(self.release.path().parent().expect("a parent"), 0o700).expect("made");
        self.release.prepare(&asked, &plan).expect("prepared");
    }

    pub fn log(&self) -> String {
        let lines = self.line.last_lines();
        lines.into_iter().map(|line| line.text + "\n").collect()
    }
}

pub fn value<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("the shape")
}

pub fn login(password: &str) -> RegistryLogin {
    RegistryLogin {
        registry: PRIVATE.into(),
        username: "deployer".into(),
        password: password.into(),
    }
}

pub fn gives<T: DeserializeOwned>(done: Result<Finished, AgentError>) -> T {
    value(done.expect("done").gives)
}

pub fn code<T: std::fmt::Debug>(result: Result<T, AgentError>) -> String {
    let error = result.expect_err("refused");
    let text = format!("{error:?}");
    for secret in [PASSWORD, TOKEN, "wr0ng-secret", "PRIVATE KEY"] {
        assert!(!text.contains(secret), "{text}");
    }
    error.code
}

/// A program of this host, seen to do well.
pub fn run(words: &[&str]) -> String {
    let seen = Command::new(words[0])
        .args(&words[1..])
        .output()
        .expect("run");
    let errors = String::from_utf8_lossy(&seen.stderr);
    assert!(seen.status.success(), "{words:?}: {errors}");
    String::from_utf8_lossy(&seen.stdout).trim().to_string()
}

/// The same, however it ends.
pub fn try_run(words: &[&str]) {
    let _ = Command::new(words[0])
        .args(&words[1..])
        .output()
        .expect("run");
}
