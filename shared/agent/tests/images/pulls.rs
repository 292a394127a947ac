//! Pinned and pulled.

use crate::stage::*;
use agent::jobs::line::Verdict;
use agent::release::images::{check, pin, present, pull};
use protocol::release::{EnvironmentName, ImagesPulled, PullImages};
use std::thread;
use std::time::{Duration, Instant};

fn asked(environment: &str) -> PullImages {
    let EnvironmentName { environment } = value(serde_json::json!({ "environment": environment }));
    PullImages { environment }
}

pub fn pinned() {
    let old = format!("{PUBLIC}/lab/old@{}", note("old"));
    // In a lab that was used before.
    try_run(&[
        "sh",
        "-c",
        &format!("docker image rm -f $(docker image ls -q {PUBLIC}/lab/old)"),
    ]);
    assert_eq!(
        pin(&format!("{PUBLIC}/lab/old:1"), &[]).expect("pinned"),
        old
    );
    assert_eq!(pin(&old, &[]).expect("itself"), old);
    // Without asking: there is no such registry.
    let far = format!("nowhere.test/a@{}", note("old"));
    assert_eq!(pin(&far, &[]).expect("itself"), far);
    let private = pin(&format!("{PRIVATE}/lab/private:1"), &[login(PASSWORD)]).expect("pinned");
    assert!(private.starts_with(&format!("{PRIVATE}/lab/private@sha256:")));
    assert!(
        run(&[
            "docker",
            "image",
            "ls",
            "-q",
            "--filter",
            &format!("reference={PUBLIC}/lab/old")
        ])
        .is_empty()
    );
}

pub fn pin_refused() {
    let refusal = |reference: &str, logins: &[_]| code(pin(reference, logins));
    assert_eq!(
        refusal(&format!("{PUBLIC}/lab/old:nope"), &[]),
        "image_not_found"
    );
    assert_eq!(
        refusal(&format!("{PUBLIC}/lab/nope:1"), &[]),
        "image_not_found"
    );
    assert_eq!(
        refusal(&format!("{PUBLIC}/lab/gone:1"), &[]),
        "image_not_found"
    );
    assert_eq!(
        refusal(&format!("{PRIVATE}/lab/private:1"), &[]),
        "registry_denied"
    );
    assert_eq!(
        refusal(
            &format!("{PRIVATE}/lab/private:1"),
            &[login("wr0ng-secret")]
        ),
        "registry_denied"
    );
    assert_eq!(
        refusal(&format!("{PRIVATE}/lab/nope:1"), &[login(PASSWORD)]),
        "image_not_found"
    );
    assert_eq!(
        refusal("registry.test:5009/lab/old:1", &[]),
        "registry_away"
    );
    assert_eq!(refusal("nowhere.test/lab/old:1", &[]), "registry_away");
    assert_eq!(refusal("--help", &[]), "bad_reference");
}

pub fn pulled() {
    let job = Job::new("pulls", "01J00000000000000000000001");
    let old = format!("{PUBLIC}/lab/old@{}", note("old"));
    let private = pin(&format!("{PRIVATE}/lab/private:1"), &[login(PASSWORD)]).expect("pinned");
    job.prepare(&[&old, &private, &old]);
    let done: ImagesPulled = gives(pull(&job.context, &asked("pulls")));
    let names: Vec<&str> = done.images.iter().map(|one| one.image.as_str()).collect();
    assert_eq!(names, [&old, &private]);
    assert_eq!(
        present(&old).expect("asked").as_ref(),
        Some(&done.images[0])
    );
    let missing = format!("{PUBLIC}/lab/nope:1");
    let seen = check(&value(serde_json::json!({ "images": [old, missing] }))).expect("checked");
    assert_eq!((seen.present.len(), seen.missing), (1, vec![missing]));
    // Now nothing is asked of the registry.
    run(&[
        "sh",
        "-c",
        "iptables -I OUTPUT -p tcp --dport 5000 -j REJECT",
    ]);
    let again = pull(&job.context, &asked("pulls"));
    run(&[
        "sh",
        "-c",
        "iptables -D OUTPUT -p tcp --dport 5000 -j REJECT",
    ]);
    assert_eq!(gives::<ImagesPulled>(again), done);
    assert!(
        !run(&[
            "sh",
            "-c",
            "cat /root/.docker/config.json 2>/dev/null || true"
        ])
        .contains("auth")
    );
}

pub fn tag_moved() {
    let job = Job::new("pulls", "01J00000000000000000000002");
    let frozen = format!("{PUBLIC}/lab/moving@{}", note("moving"));
    assert_ne!(
        pin(&format!("{PUBLIC}/lab/moving:1"), &[]).expect("pinned"),
        frozen
    );
    job.prepare(&[&frozen]);
    gives::<ImagesPulled>(pull(&job.context, &asked("pulls")));
    let made = run(&["docker", "create", &frozen]);
    let word = run(&["sh", "-c", &format!("docker cp {made}:/word - | tar -xO")]);
    run(&["docker", "rm", &made]);
    assert_eq!(word, "old2");
}

pub fn digest_gone() {
    let job = Job::new("pulls", "01J00000000000000000000003");
    job.prepare(&[&format!("{PUBLIC}/lab/gone@{}", note("gone_digest"))]);
    assert_eq!(code(pull(&job.context, &asked("pulls"))), "image_not_found");
    job.prepare(&["triphammer/not-here:1"]);
    assert_eq!(code(pull(&job.context, &asked("pulls"))), "image_not_found");
    job.prepare(&[&format!("registry.test:5009/a@{}", note("old"))]);
    assert_eq!(code(pull(&job.context, &asked("pulls"))), "registry_away");
}

fn large(name: &str) -> String {
    pin(&format!("{PUBLIC}/lab/{name}:1"), &[]).expect("pinned")
}

pub fn disk_full() {
    let job = Job::new("pulls", "01J00000000000000000000004");
    let large = large("large");
    job.prepare(&[&large]);
    // Where the engine puts what it downloads.
    run(&[
        "mount",
        "-t",
        "tmpfs",
        "-o",
        "size=20m",
        "tmpfs",
        "/var/lib/docker/tmp",
    ]);
    let result = pull(&job.context, &asked("pulls"));
    let left = run(&["sh", "-c", "ls /var/lib/docker/tmp | wc -l"]);
    run(&["umount", "-l", "/var/lib/docker/tmp"]);
    assert_eq!(code(result), "disk_full");
    assert_eq!(left, "0");
    assert_eq!(present(&large).expect("asked"), None);
}

pub fn engine_away() {
    let job = Job::new("pulls", "01J00000000000000000000005");
    let large = large("larger");
    job.prepare(&[&large]);
    let killer = thread::spawn(|| {
        thread::sleep(Duration::from_millis(300));
        run(&["systemctl", "stop", "docker.socket", "docker.service"]);
    });
    let result = pull(&job.context, &asked("pulls"));
    killer.join().expect("killed");
    let again = pull(&job.context, &asked("pulls"));
    run(&["systemctl", "start", "docker.socket", "docker.service"]);
    assert_eq!(code(result), "engine_away");
    assert_eq!(code(again), "engine_away");
    gives::<ImagesPulled>(pull(&job.context, &asked("pulls")));
    run(&["docker", "image", "rm", &large]);
}

pub fn cancelled() {
    let job = Job::new("pulls", "01J00000000000000000000006");
    let large = large("larger");
    job.prepare(&[&large]);
    let line = std::sync::Arc::clone(&job.line);
    let cancel = thread::spawn(move || {
        thread::sleep(Duration::from_millis(150));
        line.decide(Verdict::Cancelled);
        Instant::now()
    });
    let result = pull(&job.context, &asked("pulls"));
    let told = cancel.join().expect("told");
    assert_eq!(code(result), "cancelled");
    assert!(
        told.elapsed() < Duration::from_secs(10),
        "{:?}",
        told.elapsed()
    );
    // Docker 26 goes on unpacking what it has: an image that nobody asked for any more is what a prune is for.
    try_run(&["docker", "image", "rm", &large]);
}
