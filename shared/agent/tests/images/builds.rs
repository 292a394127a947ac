//! Built.

use crate::stage::*;
use agent::processes::ProcessId;
use agent::release::folder::Environment;
use agent::release::images::build;
use protocol::release::{BuildImage, ImageBuilt};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::time::Instant;

fn order(tag: &str, more: Value) -> BuildImage {
    let mut order = json!({
        "environment": "builds", "dockerfile": "Dockerfile", "context": ".", "tag": format!("triphammer/builds:{tag}"), "keep_free_bytes": 0,
    });
    for (name, one) in more.as_object().expect("an object") {
        order[name] = one.clone();
    }
    value(order)
}

fn job(number: u32, dockerfile: &str) -> Job {
    let job = Job::new("builds", &format!("01J000000000000000000001{number:02}"));
    let checkout = job.release.checkout();
    fs::create_dir_all(&checkout).expect("made");
    fs::write(checkout.join("Dockerfile"), dockerfile).expect("written");
    fs::write(checkout.join("word"), "word").expect("written");
    job
}

fn based(rest: &str) -> String {
    format!("FROM {PUBLIC}/lab/busybox:1\n{rest}\n")
}

pub fn built() {
    try_run(&["docker", "image", "rm", "-f", "triphammer/builds:1"]);
    let one = job(
        1,
        &based("ARG WHO\nCOPY word /\nRUN echo to-out $WHO; echo to-err >&2"),
    );
    let order = order(
        "1",
        json!({ "arguments": { "WHO": "me --and you" }, "registries": [] }),
    );
    let done: ImageBuilt = gives(build(&one.context, &order));
    let log = one.log();
    assert!(
        log.contains("to-out me --and you") && log.contains("to-err"),
        "{log}"
    );
    let label = run(&[
        "docker",
        "image",
        "inspect",
        "-f",
        "{{index .Config.Labels \"triphammer.deployment\"}}",
        &done.tag,
    ]);
    assert_eq!(label, one.context.deployment_id());
    let before = Instant::now();
    assert_eq!(gives::<ImageBuilt>(build(&one.context, &order)), done);
    println!("a repeat finds it in {:?}", before.elapsed());
    // What only releases that are gone needed makes room.
    let gone = "triphammer/builds:gone";
    run(&["docker", "tag", &done.tag, gone]);
    let environment = Environment::of(one.context.paths(), "builds").expect("a name");
    environment
        .set_lapsed(&BTreeSet::from([gone.to_string()]))
        .expect("kept");
    let next = job(7, &based("RUN true"));
    let mut second = order.clone();
    second.tag = "triphammer/builds:2".into();
    try_run(&["docker", "image", "rm", "-f", &second.tag]);
    gives::<ImageBuilt>(build(&next.context, &second));
    assert_eq!(run(&["docker", "image", "ls", "-q", gone]), "");
    assert!(environment.lapsed().expect("read").is_empty());
    // Of another environment, or of nobody's.
    let mut theirs = order.clone();
    theirs.tag = format!("{PUBLIC}/lab/busybox:1");
    assert_eq!(code(build(&one.context, &theirs)), "already_exists");
    assert_eq!(run(&["sh", "-c", "ls /run/triphammer-logins | wc -l"]), "0");
}

pub fn failing() {
    let order = |more| order("failing", more);
    let one = job(2, &based("RUN echo the-reason >&2; exit 3"));
    let error = build(&one.context, &order(json!({}))).expect_err("fails");
    assert!(
        error.code == "build_failed" && error.message.contains("code 3"),
        "{error:?}"
    );
    assert!(one.log().contains("the-reason"));
    let error = build(
        &one.context,
        &order(json!({ "dockerfile": "docker/Dockerfile" })),
    )
    .expect_err("fails");
    assert!(
        error.code == "dockerfile_missing" && error.message.contains("docker/Dockerfile"),
        "{error:?}"
    );
    let one = job(3, "FROM scratch\nNONSENSE\n");
    assert_eq!(code(build(&one.context, &order(json!({})))), "build_failed");
    let one = job(4, &format!("FROM {PUBLIC}/lab/nope:1\n"));
    assert_eq!(
        code(build(&one.context, &order(json!({})))),
        "image_not_found"
    );
    assert_eq!(
        run(&["docker", "image", "ls", "-q", "triphammer/builds:failing"]),
        ""
    );
}

pub fn limited() {
    // A shell's pipe into `sort`, which keeps all of it.
    let hungry = based(
        "RUN sleep 1; dd if=/dev/zero bs=1M count=400 2>/dev/null | tr '\\0' 'a' | sort > /dev/null",
    );
    let one = job(5, &hungry);
    let memory = json!({ "limits": { "memory_bytes": 100 * 1024 * 1024, "log_bytes": 1 } });
    let error = build(&one.context, &order("hungry", memory)).expect_err("is ended");
    println!("{}", error.message);
    assert_eq!(error.code, "build_failed");
    try_run(&["docker", "image", "rm", "triphammer/builds:busy"]);
    // On the step's own cgroup, of version 1 or 2, or on the one above it, which the step cannot read.
    let look = "RUN sleep 2; cat /proc/self/cgroup; cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null | sed 's/^/quota=/'";
    let one = job(6, &based(&format!("{look} # {:?}", Instant::now())));
    let processors = json!({ "limits": { "milli_cpus": 200, "log_bytes": 1 } });
    gives::<ImageBuilt>(build(&one.context, &order("busy", processors)));
    let log = one.log();
    let above = format!(
        "/triphammer-build-{}/buildkit/",
        one.context.deployment_id()
    );
    assert!(log.contains("quota=20000") || log.contains(&above), "{log}");
    assert_eq!(
        run(&["find", "/sys/fs/cgroup", "-name", "triphammer-build-*"]),
        ""
    );
    run(&["docker", "image", "rm", "triphammer/builds:busy"]);
}

fn free() -> u64 {
    let text = run(&["stat", "-f", "-c", "%a %S", "/var/lib/docker"]);
    let (blocks, size) = text.split_once(' ').expect("two");
    blocks.parse::<u64>().expect("a number") * size.parse::<u64>().expect("a number")
}

pub fn out_of_disk() {
    let one = job(
        8,
        &based(
            "RUN dd if=/dev/zero of=/a bs=1M count=300 2>/dev/null\nRUN dd if=/dev/zero of=/b bs=1M count=6000; sleep 60",
        ),
    );
    let before = free();
    // The machine's other users take and give too.
    let keep = before - 800 * 1024 * 1024;
    let error = build(
        &one.context,
        &order("eater", json!({ "keep_free_bytes": keep })),
    )
    .expect_err("is ended");
    println!(
        "{}\n{}",
        error.message,
        one.log().lines().last().unwrap_or_default()
    );
    assert_eq!(error.code, "build_out_of_disk");
    // Docker's plugin has ended with it.
    assert_eq!(ProcessId::own().children(), [0; 0]);
    assert!(
        free() + 200 * 1024 * 1024 > before,
        "{} of {before} are free",
        free()
    );
    assert_eq!(
        run(&["docker", "image", "ls", "-q", "triphammer/builds:eater"]),
        ""
    );
}

pub fn private_base() {
    try_run(&[
        "docker",
        "image",
        "rm",
        "-f",
        &format!("{PRIVATE}/lab/private:1"),
        "triphammer/builds:private",
    ]);
    let one = job(9, &format!("FROM {PRIVATE}/lab/private:1\nCOPY word /\n"));
    assert_eq!(
        code(build(&one.context, &order("private", json!({})))),
        "registry_denied"
    );
    let login = json!({ "registry": PRIVATE, "username": "deployer", "password": PASSWORD });
    gives::<ImageBuilt>(build(
        &one.context,
        &order("private", json!({ "registries": [login] })),
    ));
    assert_eq!(run(&["sh", "-c", "ls /run/triphammer-logins | wc -l"]), "0");
}
