//! Images and sources on a Docker host: a real engine, registries with and without a login, Git over http and ssh.
//!
//! The rule held: what is frozen is what is run, each failure has its own name, and none of them leaves anything.
//!
//! Needs root and what `infra/lab/lab` needs, so it runs only when asked:
//! `cargo test -p agent --test images_on_a_server -- --ignored`. The binary boots a lab and runs itself on its Docker
//! host, so this machine's libc must not be newer than Debian 12's. `TRIPHAMMER_LAB` names a lab that is up already.

#![allow(
    dead_code,
    clippy::disallowed_methods,
    reason = "it stands where a server stands, and uses a part of what the other tests do"
)]

#[path = "images/archives.rs"]
mod archives;
#[path = "images/builds.rs"]
mod builds;
#[path = "images/pulls.rs"]
mod pulls;
#[path = "images/repositories.rs"]
mod repositories;
#[path = "jobs/server.rs"]
mod server;
#[path = "images/stage.rs"]
mod stage;
#[path = "jobs/world.rs"]
mod world;

use stage::Lab;

/// What is shown on the Docker host, by name.
const SCENES: [(&str, fn()); 22] = [
    (
        "a reference is pinned as its registry has it",
        pulls::pinned,
    ),
    (
        "each refusal of a registry has its name",
        pulls::pin_refused,
    ),
    ("an image is pulled by its digest", pulls::pulled),
    ("a tag that moved since changes nothing", pulls::tag_moved),
    ("a digest that is gone is told", pulls::digest_gone),
    (
        "a full disk ends a pull and leaves nothing",
        pulls::disk_full,
    ),
    (
        "an engine that goes in the middle is told",
        pulls::engine_away,
    ),
    ("a cancel ends a pull at once", pulls::cancelled),
    ("an image is built, and found by a repeat", builds::built),
    (
        "a failing build is told with its exit code",
        builds::failing,
    ),
    ("a build has its memory and its processors", builds::limited),
    (
        "a build that eats the disk fails alone",
        builds::out_of_disk,
    ),
    (
        "a base image of a private registry needs its login",
        builds::private_base,
    ),
    (
        "images are saved and loaded as they were",
        archives::saved_and_loaded,
    ),
    (
        "an object with other images is refused",
        archives::other_images,
    ),
    ("what is needed is not pruned", archives::pruned),
    (
        "a branch is resolved over http and ssh",
        repositories::resolved,
    ),
    (
        "each refusal of a repository has its name",
        repositories::refused,
    ),
    ("a host's key stays", repositories::host_key),
    ("a commit is fetched as it is", repositories::fetched),
    ("a commit that is gone is told", repositories::commit_gone),
    (
        "archives are unpacked and bad ones refused",
        repositories::archives,
    ),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["scene", number] => SCENES[number.parse::<usize>().expect("a number")].1(),
        _ if arguments.iter().any(|one| one.ends_with("ignored")) => {
            let lab = Lab::up();
            lab.furnish();
            let wanted = std::env::var("TRIPHAMMER_SCENES").unwrap_or_default();
            let mut failed = 0;
            for (number, (name, _)) in SCENES.iter().enumerate() {
                if !name.contains(&wanted) {
                    continue;
                }
                let ok = lab.scene(number);
                failed += u32::from(!ok);
                println!("{name} ... {}", if ok { "ok" } else { "FAILED" });
            }
            drop(lab);
            assert_eq!(failed, 0, "scenes failed");
        }
        _ => println!("skipped: images on a Docker host run with -- --ignored"),
    }
}
