//! A Docker host of a lab with this binary as its agent, asked by calls and by jobs.

use crate::world::World;
use agent::jobs::start::unit;
use protocol::{AGENT_PATH, PROTOCOL_VERSION};
use serde_json::{Value, json};
use std::cell::Cell;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
const ENDED_WITHIN: Duration = Duration::from_secs(180);
pub const IMAGE: &str = "registry.test:5000/busybox:1";

pub struct Host {
    lab: String,
    is_ours: bool,
    pub world: World,
    fence: Cell<u64>,
    pub address: String,
}

fn lab(verb: &str, name: &str) -> Command {
    let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/lab/lab");
    let mut command = Command::new(lab);
    command.args([verb, name]);
    command
}

impl Host {
    pub fn up() -> Self {
        let name = format!("containers-{}", std::process::id());
        let status = lab("up", &name).args(["0", "1"]).status().expect("run");
        // Made first: what is up goes down also when it is not ready.
        let host = Self::with(&name, true);
        assert!(status.success());
        host.equip();
        host
    }

    pub fn of(name: &str) -> Self {
        let host = Self::with(name, false);
        host.equip();
        host
    }

    fn with(name: &str, is_ours: bool) -> Self {
        let info = lab("info", name).output().expect("run").stdout;
        let info: Value = serde_json::from_slice(&info).expect("JSON");
        let servers = info["servers"].as_array().expect("servers");
        let docker = servers.iter().find(|one| one["name"] == "docker1");
        let address = docker.expect("a Docker host")["address"]
            .as_str()
            .expect("an address");
        let (net, last) = address.rsplit_once('.').expect("an address");
        let outside = format!("{net}.{}:0", last.parse::<u8>().expect("a number") - 1);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            lab: name.to_string(),
            is_ours,
            world: World::at(&outside),
            // Higher than any that an earlier run left on a lab that is kept.
            fence: Cell::new(now.expect("after 1970").as_secs()),
            address: address.to_string(),
        }
    }

    fn equip(&self) {
        let pushed = lab("hub", &self.lab)
            .args(["push-busybox", IMAGE])
            .stdout(Stdio::null())
            .status();
        assert!(pushed.expect("run").success());
        let own = File::open("/proc/self/exe").expect("open");
        let mut command = lab("exec", &self.lab);
        command
            .args([
                "docker1",
                "install",
                "-D",
                "-m",
                "755",
                "/dev/stdin",
                AGENT_PATH,
            ])
            .stdin(own);
        assert!(command.status().expect("run").success());
    }

    /// What a program on the server prints.
    pub fn run(&self, words: &[&str]) -> String {
        let mut command = lab("exec", &self.lab);
        command
            .arg("docker1")
            .args(words)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        let seen = command.output().expect("run");
        String::from_utf8_lossy(&seen.stdout).trim().to_string()
    }

    pub fn sh(&self, script: &str) -> String {
        self.run(&["sh", "-c", script])
    }

    pub fn fault(&self, what: &[&str]) {
        assert!(
            lab("fault", &self.lab)
                .args(what)
                .status()
                .expect("run")
                .success()
        );
    }

    fn request(&self, deployment: &str, environment: &str, call: Value) -> Value {
        self.fence.set(self.fence.get() + 1);
        let lease = json!({ "target": format!("environment:{environment}"), "fence": self.fence.get(), "deployment_id": deployment });
        json!({ "version": PROTOCOL_VERSION, "deadline_seconds": 120, "lease": lease, "call": call })
    }

    fn ask(&self, request: &Value) -> Result<Value, Value> {
        let mut command = lab("exec", &self.lab);
        command
            .args(["docker1", AGENT_PATH, "serve"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("started");
        let mut input = child.stdin.take().expect("piped");
        input
            .write_all(request.to_string().as_bytes())
            .expect("written");
        drop(input);
        let output = child.wait_with_output().expect("ended").stdout;
        let reply: Value = serde_json::from_slice(&output).expect("a reply");
        match reply.get("ok") {
            Some(ok) => Ok(ok.clone()),
            None => Err(reply["error"].clone()),
        }
    }

    /// A call with what it is asked.
    pub fn call(&self, deployment: &str, name: &str, mut asked: Value) -> Result<Value, Value> {
        let environment = asked["environment"].as_str().expect("named").to_string();
        asked["name"] = json!(name);
        self.ask(&self.request(deployment, &environment, asked))
    }

    /// Start a job and leave it to itself.
    pub fn begin(&self, deployment: &str, name: &str, mut asked: Value) -> String {
        let environment = asked["environment"].as_str().expect("named").to_string();
        asked["name"] = json!(name);
        let mut seen = self.world.seen();
        seen.reports.clear();
        seen.secret = format!("hush{}", self.fence.get() + 1);
        seen.cancel = false;
        let secret = seen.secret.clone();
        drop(seen);
        let job = format!("{deployment}.{name}");
        let call = json!({
            "name": "job_start", "job": job, "limit_seconds": 170, "work": asked,
            "callback": { "url": format!("{}/callback", self.world.address), "secret": secret },
        });
        self.ask(&self.request(deployment, &environment, call))
            .expect("started");
        job
    }

    /// Do a job to its end: what it gives, or its error.
    pub fn job(&self, deployment: &str, name: &str, asked: Value) -> Result<Value, Value> {
        let begun = Instant::now();
        self.begin(deployment, name, asked);
        let ended = self.ended();
        println!(
            "  {deployment} {name}: {:.1} s",
            begun.elapsed().as_secs_f32()
        );
        if begun.elapsed() > Duration::from_secs(10) {
            println!("{}", self.timed());
        }
        ended
    }

    /// The end of the job that was begun last.
    pub fn ended(&self) -> Result<Value, Value> {
        let until = Instant::now() + ENDED_WITHIN;
        loop {
            if let Some(ended) = self.world.says("ended").into_iter().next() {
                let result = &ended["result"];
                return match result.get("done") {
                    Some(done) => Ok(done["gives"].clone()),
                    None => Err(result.get("failed").unwrap_or(result).clone()),
                };
            }
            assert!(
                Instant::now() < until,
                "the job does not end: {}",
                self.log()
            );
            sleep(Duration::from_millis(50));
        }
    }

    /// SIGKILL to all of the job.
    pub fn kill(&self, job: &str) {
        self.run(&["systemctl", "kill", "--signal=KILL", &unit(job)]);
        let until = Instant::now() + Duration::from_secs(10);
        while self.run(&[
            "systemctl",
            "show",
            "--value",
            "--property=ActiveState",
            &unit(job),
        ]) == "active"
        {
            assert!(Instant::now() < until, "{job} survives");
            sleep(Duration::from_millis(50));
        }
    }

    fn timed(&self) -> String {
        let mut all = String::new();
        for report in &self.world.seen().reports {
            for say in report["say"].as_object().into_iter().flatten() {
                for line in say.1["log"].as_array().into_iter().flatten() {
                    all += &format!("    {} {}\n", line["at_ms"], line["text"]);
                }
            }
        }
        all
    }

    /// What the last job logged.
    pub fn log(&self) -> String {
        let lines: Vec<String> = self.world.log().into_values().collect();
        lines.join("\n")
    }

    /// The body of a page behind the proxy, and its status.
    pub fn get(&self, host: &str) -> (u16, String) {
        get(&self.address, host).unwrap_or((0, String::new()))
    }
}

/// Ask the proxy as a client from elsewhere does; nothing when it does not answer.
pub fn get(address: &str, host: &str) -> Option<(u16, String)> {
    ask(connect(address)?, host)
}

/// A connection on which nothing is asked yet.
pub fn connect(address: &str) -> Option<TcpStream> {
    TcpStream::connect((address, 80)).ok()
}

/// Ask on it.
pub fn ask(mut stream: TcpStream, host: &str) -> Option<(u16, String)> {
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let body = answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.trim().to_string());
    Some((status, body.unwrap_or_default()))
}

impl Drop for Host {
    fn drop(&mut self) {
        if self.is_ours {
            let _ = lab("down", &self.lab).status();
        }
    }
}
