//! Saved, loaded, pruned.

use crate::stage::*;
use agent::release::images::{load, present, prune, save};
use protocol::release::{ImagePresent, ImagesSaved, LoadImages};
use serde_json::json;

fn tagged(name: &str, as_this: &str) -> ImagePresent {
    let image = format!("{PUBLIC}/lab/{name}:1");
    run(&["docker", "pull", "-q", &image]);
    run(&["docker", "tag", &image, as_this]);
    present(as_this).expect("asked").expect("there")
}

fn object(saved: &ImagesSaved, images: Vec<ImagePresent>) -> LoadImages {
    let environment = "archives".into();
    LoadImages {
        environment,
        sealed: saved.sealed.clone(),
        images,
    }
}

fn save_all(job: &Job, images: &[&str]) -> ImagesSaved {
    gives(save(
        &job.context,
        &value(json!({ "environment": "archives", "images": images })),
    ))
}

pub fn saved_and_loaded() {
    let job = Job::new("archives", "01J00000000000000000000201");
    let (web, db) = (
        tagged("old", "triphammer/web:1"),
        tagged("busybox", "triphammer/db:1"),
    );
    let saved = save_all(&job, &["triphammer/web:1", "triphammer/db:1"]);
    assert_eq!(saved.images, [web.clone(), db.clone()]);
    run(&[
        "docker",
        "image",
        "rm",
        "triphammer/web:1",
        "triphammer/db:1",
    ]);
    run(&["docker", "image", "rm", &format!("{PUBLIC}/lab/old:1")]);
    load(&job.context, &object(&saved, vec![web.clone(), db.clone()])).expect("loaded");
    assert_eq!(
        present("triphammer/web:1").expect("asked"),
        Some(web.clone())
    );
    assert_eq!(present("triphammer/db:1").expect("asked"), Some(db));
    assert!(!job.release.path().join("images.tar.zst").exists());
    assert_eq!(
        code(save(
            &job.context,
            &value(json!({ "environment": "archives", "images": ["triphammer/nope:1"] }))
        )),
        "image_not_found"
    );
}

pub fn other_images() {
    let job = Job::new("archives", "01J00000000000000000000202");
    let (web, theirs) = (
        tagged("old", "triphammer/web:1"),
        tagged("new", "triphammer/theirs:1"),
    );
    let both = save_all(&job, &["triphammer/web:1", "triphammer/theirs:1"]);
    run(&["docker", "image", "rm", "triphammer/web:1"]);
    // One more than was asked for.
    assert_eq!(
        code(load(&job.context, &object(&both, vec![web.clone()]))),
        "images_differ"
    );
    assert_eq!(present("triphammer/web:1").expect("asked"), None);
    // The tag is another image's before and after.
    run(&["docker", "tag", "triphammer/theirs:1", "triphammer/web:1"]);
    let wrong = ImagePresent {
        id: format!("sha256:{}", "0".repeat(64)),
        ..web
    };
    let again = save_again(&job);
    assert_eq!(
        code(load(&job.context, &object(&again, vec![wrong.clone()]))),
        "images_differ"
    );
    assert_eq!(
        present("triphammer/web:1")
            .expect("asked")
            .map(|one| one.id),
        Some(theirs.id)
    );
    run(&["docker", "image", "rm", "triphammer/web:1"]);
    assert_eq!(
        code(load(&job.context, &object(&again, vec![wrong]))),
        "images_differ"
    );
    assert_eq!(present("triphammer/web:1").expect("asked"), None);
}

/// The store has one object of a name: this one again.
fn save_again(job: &Job) -> ImagesSaved {
    run(&[
        "docker",
        "tag",
        &format!("{PUBLIC}/lab/old:1"),
        "triphammer/web:1",
    ]);
    let saved = save_all(job, &["triphammer/web:1"]);
    run(&["docker", "tag", "triphammer/theirs:1", "triphammer/web:1"]);
    saved
}

pub fn pruned() {
    let job = Job::new("archives", "01J00000000000000000000203");
    let tags = ["kept", "used", "free"].map(|name| format!("triphammer/{name}:1"));
    for tag in &tags {
        // Each an image of its own.
        run(&[
            "sh",
            "-c",
            &format!("echo {tag} > /tmp/word; tar -C /tmp -c word | docker import - {tag}"),
        ]);
    }
    job.prepare(&[&tags[0]]);
    let container = run(&["docker", "create", &tags[1], "/x"]);
    let all = tags.iter().cloned().collect();
    let done = prune(job.context.paths(), &all).expect("pruned");
    assert_eq!(done.images, [tags[2].clone()]);
    assert!(done.freed_bytes > 0);
    run(&["docker", "rm", &container]);
    let done = prune(job.context.paths(), &all).expect("pruned");
    assert_eq!(done.images, [tags[1].clone()]);
    // What cannot be understood keeps everything.
    std::fs::write(job.release.path().join("plan.json"), "{").expect("written");
    assert_eq!(code(prune(job.context.paths(), &all)), "state_damaged");
    job.release.remove().expect("removed");
    assert_eq!(
        prune(job.context.paths(), &all).expect("pruned").images,
        [tags[0].clone()]
    );
}
