//! Jobs on a booted server: systemd, cgroups, SIGKILL, power cuts.
//!
//! The rule held: one worker a target, and whatever it is killed by, the next start goes on from what is there.
//!
//! Needs root and what `infra/lab/lab` needs, so it runs only when asked:
//! `cargo test -p agent --test jobs_on_a_server -- --ignored`. The binary is the test and the agent on the server,
//! so the host's libc must not be newer than Debian 12's.

#![allow(
    dead_code,
    clippy::disallowed_methods,
    reason = "it stands where a server stands, and uses a part of what the other tests do"
)]

#[path = "jobs/server.rs"]
mod server;
#[path = "jobs/world.rs"]
mod world;

use agent::fault::Result;
use agent::jobs::child;
use agent::jobs::context::Context;
use agent::jobs::runner::{Doing, Next, main_with};
use agent::jobs::start::unit;
use agent::jobs::work::Finished;
use agent::paths::Paths;
use agent::processes::ProcessId;
use agent::run::{self, As};
use protocol::job::Work;
use protocol::{AGENT_PATH, PROTOCOL_VERSION};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use world::World;

/// A cancel must reach a job so soon.
const CANCELLED_WITHIN: Duration = Duration::from_secs(10);
/// Longer than any proof.
const NAP: &str = "777";
const DEPLOYMENT: &str = "01J00000000000000000000000";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => agent::serve::main(),
        ["job", folder] => job(folder.as_ref()),
        ["guarded"] => {
            // Says that the work is unknown, which is no matter here; by then nobody can look into it.
            child::main("guarded");
            sleep(Duration::from_secs(60));
        }
        _ if arguments.iter().any(|one| one.ends_with("ignored")) => proofs(),
        _ => println!("skipped: jobs on a booted server run with -- --ignored"),
    }
}

/// Naps in a program of its own, and heeds the cancel unless it is to hang.
fn perform(context: &Context, work: &Work) -> Result<Finished> {
    let Work::BackupDatabase(asked) = work else {
        panic!("another work");
    };
    if asked.site == "guard" {
        let user = context.site_user("admin")?;
        let mut command = run::command(Path::new("/proc/self/exe"), user.rights());
        run::run(command.arg("guarded"), b"")?;
    }
    let nap = run::need("sleep", "coreutils")?;
    let napping = std::thread::spawn(move || run::run(run::command(&nap, As::Root).arg(NAP), b""));
    while asked.site == "hang" || !napping.is_finished() {
        if asked.site != "hang" {
            context.check()?;
        }
        context.log("still here");
        sleep(Duration::from_millis(500));
    }
    Finished::new(Value::Null, "napped")
}

fn job(folder: &Path) {
    fn stop() {
        run::stop();
        ProcessId::own().end_children();
    }
    let next = main_with(&Paths::host(), folder, Doing { perform, stop });
    if next.expect("run") == Next::Replace {
        panic!(
            "{}",
            Command::new("/proc/self/exe").arg("job").arg(folder).exec()
        );
    }
}

type Proof = fn(&Lab, &World);

/// A lab with one server, gone when dropped.
struct Lab(String);

impl Lab {
    fn command(&self, verb: &str) -> Command {
        let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/lab/lab");
        let mut command = Command::new(lab);
        command.args([verb, &self.0]);
        command
    }

    fn up() -> Self {
        let lab = Self(format!("jobs-{}", std::process::id()));
        assert!(lab.command("up").arg("1").status().expect("run").success());
        lab.exec(
            &["install", "-D", "-m", "755", "/dev/stdin", AGENT_PATH],
            |command| {
                let own = File::open("/proc/self/exe").expect("open");
                command.stdin(own);
            },
        );
        lab
    }

    /// The address of the host's side.
    fn host(&self) -> String {
        let info = self.command("info").output().expect("run").stdout;
        let info: Value = serde_json::from_slice(&info).expect("JSON");
        let server = info["servers"][0]["address"].as_str().expect("an address");
        let (net, last) = server.rsplit_once('.').expect("an address");
        format!("{net}.{}", last.parse::<u8>().expect("a number") - 1)
    }

    fn exec(&self, words: &[&str], with: impl FnOnce(&mut Command)) -> String {
        let mut command = self.command("exec");
        command.arg("srv1").args(words).stdin(Stdio::null());
        with(&mut command);
        let seen = command.stderr(Stdio::inherit()).output().expect("run");
        String::from_utf8_lossy(&seen.stdout).trim().to_string()
    }

    fn run(&self, words: &[&str]) -> String {
        self.exec(words, |_| {})
    }

    fn fault(&self, what: &[&str]) {
        assert!(
            self.command("fault")
                .args(what)
                .status()
                .expect("run")
                .success()
        );
    }

    /// Ask the agent; `ok`, or the error's code.
    fn ask(&self, request: &Value) -> Value {
        let mut command = self.command("exec");
        command
            .args(["srv1", AGENT_PATH, "serve"])
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
        reply.get("ok").unwrap_or(&reply["error"]["code"]).clone()
    }

    fn state(&self, step: &str) -> String {
        let unit = unit(&format!("{DEPLOYMENT}.{step}"));
        self.run(&[
            "systemctl",
            "show",
            "--value",
            "--property=ActiveState",
            &unit,
        ])
    }

    fn naps(&self) -> usize {
        self.run(&["pgrep", "-fx", &format!(".*sleep {NAP}")])
            .lines()
            .count()
    }

    fn worker(&self) -> String {
        self.run(&["pgrep", "-f", "triphammer-agent job"])
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.command("down").status();
    }
}

fn request(fence: u64, call: Value) -> Value {
    let lease = json!({ "target": "site:1", "fence": fence, "deployment_id": DEPLOYMENT });
    json!({ "version": PROTOCOL_VERSION, "deadline_seconds": 60, "lease": lease, "call": call })
}

fn start(lab: &Lab, world: &World, step: &str, fence: u64, site: &str) -> Value {
    world.seen().secret = format!("hush{fence}");
    let order = world.order(site, fence, &format!("hush{fence}"));
    let mut call = serde_json::to_value(&order.start).expect("written");
    call["name"] = json!("job_start");
    call["job"] = json!(format!("{DEPLOYMENT}.{step}"));
    lab.ask(&request(fence, call))
}

fn wait_for(what: &str, within: Duration, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + within;
    while !is_so() {
        assert!(Instant::now() < until, "not in time: {what}");
        sleep(Duration::from_millis(100));
    }
}

fn heard_with(world: &World, fence: u64) -> bool {
    world
        .seen()
        .reports
        .iter()
        .any(|report| report["fence"] == fence)
}

fn proofs() {
    let lab = Lab::up();
    let world = World::at(&format!("{}:0", lab.host()));
    let proofs: [(&str, Proof); 8] = [
        ("a job outlives its start and is taken over", taken_over),
        ("two starts at once make one worker", two_at_once),
        (
            "SIGKILL ends all of a job, and a start begins it again",
            killed,
        ),
        ("a cancel ends also a work that does not heed it", cancelled),
        ("a call with a higher fence ends the job first", fenced),
        ("a power cut leaves what a start begins again", power_cut),
        ("a full disk leaves nothing", disk_full),
        (
            "the site's user reaches neither the job nor its child",
            guarded,
        ),
    ];
    for (name, proof) in proofs {
        proof(&lab, &world);
        println!("{name} ... ok");
    }
}

fn taken_over(lab: &Lab, world: &World) {
    assert_eq!(start(lab, world, "dump", 1, "nap"), "started");
    wait_for("a report", CANCELLED_WITHIN, || heard_with(world, 1));
    assert_eq!(start(lab, world, "dump", 2, "nap"), "running");
    wait_for("a report with the new fence", CANCELLED_WITHIN, || {
        heard_with(world, 2)
    });
    assert_eq!(start(lab, world, "dump", 1, "nap"), "stale_fence");
    assert_eq!((lab.state("dump").as_str(), lab.naps()), ("active", 1));
}

fn two_at_once(lab: &Lab, world: &World) {
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| start(lab, world, "two", 10, "nap"));
        let other = scope.spawn(|| start(lab, world, "two", 10, "nap"));
        (one.join().expect("asked"), other.join().expect("asked"))
    });
    let either = [one, other];
    assert!(either.contains(&json!("started")), "{either:?}");
    wait_for("the nap", CANCELLED_WITHIN, || lab.naps() == 1);
    assert_eq!(lab.worker().lines().count(), 1);
}

fn killed(lab: &Lab, world: &World) {
    assert_eq!(start(lab, world, "dump", 20, "nap"), "started");
    wait_for("the nap", CANCELLED_WITHIN, || lab.naps() == 1);
    lab.run(&["kill", "-9", &lab.worker()]);
    wait_for("the end of all", CANCELLED_WITHIN, || lab.naps() == 0);
    assert_eq!(start(lab, world, "dump", 21, "nap"), "started");
    wait_for("a report", CANCELLED_WITHIN, || heard_with(world, 21));
}

fn cancelled(lab: &Lab, world: &World) {
    assert_eq!(start(lab, world, "hangs", 30, "hang"), "started");
    wait_for("a report", CANCELLED_WITHIN, || heard_with(world, 30));
    world.seen().cancel = true;
    wait_for("the result", CANCELLED_WITHIN, || {
        !world.says("ended").is_empty()
    });
    world.seen().cancel = false;
    assert_eq!(world.says("ended")[0]["result"], "cancelled");
    wait_for("its end", CANCELLED_WITHIN, || {
        lab.state("hangs") == "inactive"
    });
    assert_eq!(lab.naps(), 0);
}

fn fenced(lab: &Lab, world: &World) {
    assert_eq!(start(lab, world, "dump", 40, "nap"), "started");
    wait_for("the nap", CANCELLED_WITHIN, || lab.naps() == 1);
    let call = json!({ "name": "database_drop", "database": "nothing_here" });
    assert_eq!(lab.ask(&request(40, call.clone())), "target_busy");
    assert!(lab.ask(&request(41, call)).is_object());
    assert_eq!((lab.state("dump").as_str(), lab.naps()), ("inactive", 0));
}

fn power_cut(lab: &Lab, world: &World) {
    assert_eq!(start(lab, world, "dump", 50, "nap"), "started");
    wait_for("the nap", CANCELLED_WITHIN, || lab.naps() == 1);
    lab.fault(&["power-cut", "srv1"]);
    lab.fault(&["power-on", "srv1"]);
    assert_eq!(lab.state("dump"), "inactive");
    assert_eq!(start(lab, world, "dump", 51, "nap"), "started");
    wait_for("a report", CANCELLED_WITHIN, || heard_with(world, 51));
}

fn disk_full(lab: &Lab, world: &World) {
    let jobs = "/var/lib/triphammer/jobs";
    lab.fault(&["fill-disk", "srv1", jobs]);
    lab.run(&[
        "dd",
        "if=/dev/zero",
        "status=none",
        &format!("of={jobs}/fill"),
    ]);
    assert_eq!(start(lab, world, "full", 60, "nap"), "disk_full");
    assert!(!lab.run(&["ls", jobs]).contains("full"));
    assert_eq!((lab.state("full").as_str(), lab.naps()), ("inactive", 0));
    lab.fault(&["free-disk", "srv1", jobs]);
}

fn guarded(lab: &Lab, world: &World) {
    assert_eq!(start(lab, world, "guard", 70, "guard"), "started");
    let child = || lab.run(&["pgrep", "-f", "exe guarded"]);
    wait_for("the child", CANCELLED_WITHIN, || !child().is_empty());
    sleep(Duration::from_millis(300));
    let (child, worker) = (child(), lab.worker());
    let as_user = |words: &[&str]| {
        let user = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];
        lab.run(&[&user[..], words].concat())
    };
    let order = format!("/var/lib/triphammer/jobs/{DEPLOYMENT}.guard/order.json");
    assert!(lab.run(&["cat", &order]).contains("hush70"));
    assert_eq!(as_user(&["cat", &order]), "");
    for pid in [&child, &worker] {
        assert_eq!(as_user(&["cat", &format!("/proc/{pid}/environ")]), "");
        // PTRACE_ATTACH on x86_64.
        let attach = format!("print syscall(101, 16, {pid}, 0, 0)");
        assert_eq!(as_user(&["perl", "-e", &attach]), "-1");
    }
    as_user(&["kill", "-9", &worker]);
    assert_eq!(lab.worker(), worker);
    let environment = lab.run(&["cat", &format!("/proc/{child}/environ")]);
    assert!(environment.contains("PATH=") && !environment.contains("hush"));
}
