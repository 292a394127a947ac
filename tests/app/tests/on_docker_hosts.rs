//! A lab's Docker hosts and its hub are what tests of deployments take them for.
//!
//! On a lab of their own, so only where they are asked for: `cargo xtask test --end-to-end`, which also says by
//! `TRIPHAMMER_SAMPLE_APP` where the static build of the sample application is.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const APP: &str = "registry.test:5000/app";
const PRIVATE: &str = "private.registry.test:5001/app:v1";
const LOG_IN: &str =
    "docker login -u deployer --password-stdin private.registry.test:5001 <<< s3cret-registry";

/// A lab with two Docker hosts, gone when dropped.
struct Lab(String);

impl Lab {
    fn command(&self, verb: &str, words: &[&str]) -> Command {
        let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/lab/lab");
        let mut command = Command::new(lab);
        command.args([verb, &self.0]).args(words);
        command
    }

    fn up() -> Self {
        let lab = Self(format!("hosts-{}", std::process::id()));
        lab.does("up", &["0", "2"]);
        lab
    }

    fn does(&self, verb: &str, words: &[&str]) -> String {
        said(
            self.command(verb, words)
                .stdin(Stdio::null())
                .output()
                .expect("run"),
        )
        .unwrap_or_else(|error| panic!("{verb} {words:?}: {error}"))
    }

    /// A line of bash on a server; what it says, or what it says when it fails.
    fn tries(&self, server: &str, line: &str) -> Result<String, String> {
        let mut command = self.command("exec", &[server, "bash", "-ec", line]);
        said(command.stdin(Stdio::null()).output().expect("run"))
    }

    fn on(&self, server: &str, line: &str) -> String {
        self.tries(server, line)
            .unwrap_or_else(|error| panic!("{server}: {line}: {error}"))
    }

    fn refuses(&self, server: &str, line: &str, why: &str) {
        let error = self.tries(server, line).expect_err(line);
        assert!(error.contains(why), "{line}: {error}");
    }

    fn push(&self, image: &str, version: &str) {
        let app = std::env::var_os("TRIPHAMMER_SAMPLE_APP").expect("TRIPHAMMER_SAMPLE_APP");
        let app = app.to_str().expect("a path");
        self.does("app-image", &[app, image, version]);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _gone_already = self.command("down", &[]).status();
    }
}

fn said(output: Output) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_string();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

#[test]
#[ignore = "boots servers: cargo xtask test --end-to-end"]
fn docker_hosts_and_their_hub() {
    let lab = Lab::up();
    lab.push(&format!("{APP}:v1"), "VERSION=v1");
    lab.push(&format!("{APP}:v2"), "VERSION=v2");
    lab.push(PRIVATE, "VERSION=v1");
    for (claim, proof) in CLAIMS {
        proof(&lab);
        println!("{claim} ... ok");
    }
    assert_ne!(look_for(&lab.0), Vec::<String>::new());
    lab.does("down", &[]);
    assert_eq!(left_of(&lab.0), Vec::<String>::new());
    println!("nothing is left of it ... ok");
}

type Proof = fn(&Lab);

const CLAIMS: [(&str, Proof); 7] = [
    ("both hosts pull and run an image", run),
    ("the private registry asks who it is", log_in),
    (
        "a limit of memory holds, of a container and of a build",
        limit,
    ),
    (
        "compose waits for health, and volumes outlive containers",
        compose,
    ),
    ("containers come back after a power cut", power_cut),
    ("a repository is cloned in each of three ways", clone),
    ("Caddy answers for a container, once it is started", caddy),
];

fn run(lab: &Lab) {
    for host in ["docker1", "docker2"] {
        lab.on(
            host,
            &format!("docker run -d --name one -p 8080:8080 {APP}:v1"),
        );
        let answer = lab.on(
            host,
            "curl -fsS --retry 9 --retry-connrefused 127.0.0.1:8080/",
        );
        assert!(answer.starts_with("version=v1 "), "{answer}");
        let logs = lab.on(host, "docker logs one 2>&1");
        assert_eq!(logs.lines().count(), 2, "{logs}");
        lab.on(host, "docker stop one");
        let code = lab.on(host, "docker inspect -f '{{.State.ExitCode}}' one");
        assert_eq!(code, "0");
        lab.on(host, "docker rm one");
    }
}

fn log_in(lab: &Lab) {
    let pull = format!("docker pull -q {PRIVATE}");
    lab.refuses("docker1", &pull, "no basic auth credentials");
    let wrong = LOG_IN.replace("s3cret", "wrong");
    lab.refuses("docker1", &wrong, "401 Unauthorized");
    lab.on("docker1", &format!("{LOG_IN}; {pull}"));
}

fn limit(lab: &Lab) {
    let image = "registry.test:5000/busybox:1";
    lab.does("hub", &["push-busybox", image]);
    let run = format!("docker run --name eater --memory 32m {image} tail /dev/zero || true");
    lab.on("docker1", &run);
    let ended = lab.on(
        "docker1",
        "docker inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' eater; docker rm eater >&2",
    );
    assert_eq!(ended, "true 137");
    let build = format!(
        "printf 'FROM {image}\\nRUN tail /dev/zero' | DOCKER_BUILDKIT=0 docker build --memory 32m -"
    );
    lab.refuses("docker1", &build, "non-zero code: 137");
}

const COMPOSE: &str = r#"
mkdir -p /opt/shop; cd /opt/shop; cat > compose.yaml <<'Y'
services:
  web:
    image: registry.test:5000/app:${TAG}
    ports: ["127.0.0.1:8081:8080"]
    environment: { DATA_FILE: /data/file, HEALTHY_AFTER_SECONDS: "1" }
    volumes: ["data:/data"]
    restart: unless-stopped
    healthcheck: { test: [CMD, /app, check], interval: 1s, timeout: 1s, retries: 10 }
volumes: { data: {} }
Y
"#;

fn compose(lab: &Lab) {
    lab.on("docker1", COMPOSE);
    let up = "cd /opt/shop; docker compose up -d --wait; docker compose ps --format '{{.Health}}'";
    assert_eq!(
        lab.on("docker1", &format!("export TAG=v1; {up}")),
        "healthy"
    );
    lab.on(
        "docker1",
        "curl -fsS '127.0.0.1:8081/write?text=kept'; cd /opt/shop; TAG=v1 docker compose down",
    );
    lab.on("docker1", &format!("export TAG=v2; {up}"));
    let answers = lab.on("docker1", "curl -fsS 127.0.0.1:8081/ 127.0.0.1:8081/read");
    assert!(
        answers.starts_with("version=v2 ") && answers.ends_with("\nkept"),
        "{answers}"
    );
}

fn power_cut(lab: &Lab) {
    lab.does("fault", &["power-cut", "docker1"]);
    lab.does("fault", &["power-on", "docker1"]);
    let answers = "curl -fsS --retry 9 --retry-connrefused 127.0.0.1:8081/read";
    assert_eq!(lab.on("docker1", answers), "kept");
}

fn clone(lab: &Lab) {
    let make = "echo v1 > /tmp/V; tar -C /tmp -c V | make-repository shop";
    let commit = lab.on("hub", make);
    let key = lab.on(
        "docker2",
        "ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519; cat ~/.ssh/id_ed25519.pub",
    );
    lab.on(
        "hub",
        &format!("echo '{key}' >> /srv/git/.ssh/authorized_keys"),
    );
    let host_key = lab.on("hub", "cat /etc/ssh/ssh_host_ed25519_key.pub");
    lab.on(
        "docker2",
        &format!("echo 'git.test {host_key}' > ~/.ssh/known_hosts"),
    );
    let clone = |from: &str| {
        format!(
            "cd $(mktemp -d); GIT_TERMINAL_PROMPT=0 git clone -q {from} c; git -C c rev-parse HEAD; cat c/V"
        )
    };
    for from in [
        "http://git.test/pub/shop.git",
        "http://token:s3cret-token@git.test/priv/shop.git",
        "git@git.test:shop.git",
    ] {
        assert_eq!(lab.on("docker2", &clone(from)), format!("{commit}\nv1"));
    }
    for (from, why) in [
        ("http://git.test/pub/none.git", "not found"),
        ("http://git.test/priv/shop.git", "terminal prompts disabled"),
        (
            "http://token:wrong@git.test/priv/shop.git",
            "Authentication failed",
        ),
    ] {
        lab.refuses("docker2", &clone(from), why);
    }
}

fn caddy(lab: &Lab) {
    let ask = "curl -fsS -H 'Host: shop.test' $(hostname -I | cut -d' ' -f1)";
    lab.refuses("docker1", ask, "Failed to connect");
    lab.on(
        "docker1",
        "printf 'http://shop.test {\\n reverse_proxy 127.0.0.1:8081\\n}\\n' > /etc/caddy/Caddyfile; systemctl start caddy",
    );
    let answer = lab.on("docker1", ask);
    assert!(answer.starts_with("version=v2 "), "{answer}");
}

/// Processes, mounts, networks and cgroups of this lab. What was killed is gone a moment later.
fn left_of(lab: &str) -> Vec<String> {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let left = look_for(lab);
        if left.is_empty() || Instant::now() > until {
            return left;
        }
        sleep(Duration::from_millis(200));
    }
}

fn look_for(lab: &str) -> Vec<String> {
    let machine = format!("th-{lab}-");
    let mut all = fs::read_to_string("/proc/mounts").expect("read");
    for looks in [
        &["ip", "netns"][..],
        &["ps", "-eo", "args"],
        &["find", "/sys/fs/cgroup", "-type", "d"],
    ] {
        let output = Command::new(looks[0]).args(&looks[1..]).output();
        all.push_str(&String::from_utf8_lossy(&output.expect("run").stdout));
    }
    all.lines()
        .filter(|line| line.contains(&machine))
        .map(str::to_string)
        .collect()
}
