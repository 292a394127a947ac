//! Resolved, fetched, unpacked.

use crate::stage::*;
use crate::world::sealed;
use agent::paths::Paths;
use agent::release::source::{fetch, resolve};
use flate2::Compression;
use flate2::write::GzEncoder;
use protocol::AgentError;
use protocol::release::{SourceFetched, SourceResolved};
use serde_json::{Value, json};
use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

const OPEN: &str = "http://git.test/pub/shop.git";
const CLOSED: &str = "http://git.test/priv/shop.git";
const SSH: &str = "git@git.test:shop.git";

fn token(token: &str) -> Value {
    json!({ "token": { "username": "x-access-token", "token": token } })
}

fn key(name: &str) -> Value {
    json!({ "deploy_key": { "private_key": note(name) } })
}

fn ask(url: &str, reference: &str, credential: &Value) -> Result<SourceResolved, AgentError> {
    let asked = json!({ "url": url, "reference": reference, "credential": credential });
    resolve(&Paths::host(), &value(asked))
}

fn nothing_left() {
    assert_eq!(
        run(&["sh", "-c", "ls /var/lib/triphammer-sources | wc -l"]),
        "0"
    );
}

pub fn resolved() {
    let first = note("first");
    let main = ask(OPEN, "main", &Value::Null).expect("resolved");
    assert_eq!(
        (main.commit.as_str(), main.reference.as_deref()),
        (first.as_str(), Some("refs/heads/main"))
    );
    assert_eq!(
        ask(OPEN, "HEAD", &Value::Null)
            .expect("resolved")
            .reference
            .as_deref(),
        Some("refs/heads/main")
    );
    assert_eq!(
        ask(OPEN, "v1", &Value::Null)
            .expect("resolved")
            .reference
            .as_deref(),
        Some("refs/tags/v1")
    );
    assert_eq!(
        ask(OPEN, &first, &Value::Null).expect("itself").reference,
        None
    );
    assert_eq!(ask(CLOSED, "main", &token(TOKEN)).expect("resolved"), main);
    assert_eq!(ask(SSH, "main", &key("key")).expect("resolved"), main);
    assert_eq!(
        ask("ssh://git@git.test/srv/git/shop.git", "main", &key("key")).expect("resolved"),
        main
    );
    nothing_left();
}

pub fn refused() {
    let none = Value::Null;
    let refusal = |url: &str, credential: &Value| code(ask(url, "main", credential));
    assert_eq!(
        refusal("http://git.test/pub/nope.git", &none),
        "repository_not_found"
    );
    assert_eq!(refusal(CLOSED, &none), "repository_denied");
    assert_eq!(refusal(CLOSED, &token("wr0ng-secret")), "repository_denied");
    assert_eq!(
        refusal("http://git.test/priv/nope.git", &token(TOKEN)),
        "repository_not_found"
    );
    assert_eq!(refusal(SSH, &key("other_key")), "repository_denied");
    assert_eq!(refusal(SSH, &none), "repository_denied");
    assert_eq!(
        refusal(SSH, &json!({ "deploy_key": { "private_key": "no key" } })),
        "repository_denied"
    );
    assert_eq!(
        refusal("git@git.test:nope.git", &key("key")),
        "repository_not_found"
    );
    assert_eq!(
        refusal("http://git.test:81/pub/shop.git", &none),
        "repository_away"
    );
    assert_eq!(
        refusal("http://nowhere.test/shop.git", &none),
        "repository_away"
    );
    assert_eq!(
        refusal("ssh://git@git.test:2222/shop.git", &key("key")),
        "repository_away"
    );
    assert_eq!(refusal("ext::sh -c id", &none), "bad_request");
    let error = ask(OPEN, "mian", &none).expect_err("refused");
    assert_eq!(error.code, "branch_not_found");
    assert!(error.message.contains("Near it: main"), "{}", error.message);
    nothing_left();
}

pub fn host_key() {
    let file = "/var/lib/triphammer/known_hosts";
    ask(SSH, "main", &key("key")).expect("resolved");
    let pinned = fs::read_to_string(file).expect("read");
    assert!(pinned.starts_with("git.test ssh-"), "{pinned}");
    // Another key of the same kind, and one of another kind alone.
    for (kind, body) in [
        (
            "ssh-ed25519",
            "AAAAC3NzaC1lZDI1NTE5AAAAIEwqHd5GQJvXxWJ2Zo3iXfPc3bqWvFYTLhRMcRTt0kVa",
        ),
        (
            "ecdsa-sha2-nistp256",
            "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=",
        ),
    ] {
        fs::write(file, format!("git.test {kind} {body}\n")).expect("written");
        assert_eq!(
            code(ask(SSH, "main", &key("key"))),
            "host_key_changed",
            "{kind}"
        );
    }
    fs::write(file, pinned).expect("written");
    ask(SSH, "main", &key("key")).expect("resolved");
    nothing_left();
}

fn fetch_git(
    job: &Job,
    url: &str,
    commit: &str,
    credential: &Value,
) -> Result<SourceFetched, AgentError> {
    let source = json!({ "git": { "url": url, "commit": commit, "credential": credential } });
    let asked = json!({ "environment": "sources", "source": source });
    fetch(&job.context, &value(asked)).map(|done| value(done.gives))
}

pub fn fetched() {
    let first = note("first");
    for (number, url, credential) in [
        (301, OPEN, Value::Null),
        (302, CLOSED, token(TOKEN)),
        (303, SSH, key("key")),
    ] {
        let job = Job::new("sources", &format!("01J00000000000000000000{number}"));
        let done = fetch_git(&job, url, &first, &credential).expect("fetched");
        assert_eq!(
            (done.commit.as_deref(), done.subject.as_deref()),
            (Some(first.as_str()), Some("What v1 is now"))
        );
        assert_eq!(done.author.as_deref(), Some("Lab <lab@git.test>"));
        let checkout = job.release.checkout();
        let read = |name: &str| fs::read_to_string(checkout.join(name)).expect(name);
        // Attributes of the repository neither leave anything out nor change it.
        assert_eq!(
            (read("left-out/kept").as_str(), read("a.id").as_str()),
            ("kept\n", "$Format:%H$\n")
        );
        assert_eq!(
            (read("b.lfs").as_str(), read("in").as_str()),
            ("pointer\n", "x\n")
        );
        assert_eq!(
            fs::read_link(checkout.join("out")).expect("a link"),
            Path::new("/etc/passwd")
        );
        assert!(!checkout.join(".git").exists());
        let meta = fs::metadata(checkout.join("run.sh")).expect("there");
        assert_eq!((meta.uid(), meta.permissions().mode() & 0o7777), (0, 0o755));
        assert_eq!(done.files, 9);
        // A repeat finds it; one that was cut short starts over.
        fs::write(checkout.join("mark"), "").expect("written");
        assert_eq!(
            fetch_git(&job, "http://git.test:81/gone", &first, &credential).expect("found"),
            done
        );
        fs::remove_file(job.release.path().join("checkout.json")).expect("removed");
        fetch_git(&job, url, &first, &credential).expect("fetched");
        assert!(
            !checkout.join("mark").exists() && !job.release.path().join("checkout.new").exists()
        );
        nothing_left();
    }
}

pub fn commit_gone() {
    let job = Job::new("sources", "01J00000000000000000000310");
    assert_eq!(
        code(fetch_git(&job, OPEN, &note("gone"), &Value::Null)),
        "commit_gone"
    );
    assert_eq!(
        code(fetch_git(&job, SSH, &note("gone"), &key("key"))),
        "commit_gone"
    );
    assert_eq!(
        code(fetch_git(
            &job,
            CLOSED,
            &note("first"),
            &token("wr0ng-secret")
        )),
        "repository_denied"
    );
    assert!(!job.release.checkout().exists() && !job.release.path().join("checkout.new").exists());
    nothing_left();
}

enum Item<'a> {
    File(&'a str, &'a [u8], u32),
    Link(&'a str, &'a str),
    Hard(&'a str, &'a str),
    Device(&'a str),
}

fn tar_gz(items: &[Item<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for item in items {
        let mut header = tar::Header::new_gnu();
        let (path, kind, content) = match item {
            Item::File(path, content, mode) => {
                header.set_mode(*mode);
                (path, tar::EntryType::Regular, *content)
            }
            Item::Link(path, target) => {
                header.set_link_name_literal(target).expect("a target");
                (path, tar::EntryType::Symlink, &b""[..])
            }
            Item::Hard(path, target) => {
                header.set_link_name_literal(target).expect("a target");
                (path, tar::EntryType::Link, &b""[..])
            }
            Item::Device(path) => (path, tar::EntryType::Char, &b""[..]),
        };
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).expect("appended");
    }
    builder
        .into_inner()
        .expect("ended")
        .finish()
        .expect("packed")
}

fn zipped(items: &[Item<'_>]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for item in items {
        match item {
            Item::File(path, content, mode) => {
                writer
                    .start_file(*path, options.unix_permissions(*mode))
                    .expect("begun");
                writer.write_all(content).expect("written");
            }
            Item::Link(path, target) => writer.add_symlink(*path, *target, options).expect("added"),
            Item::Hard(..) | Item::Device(_) => {}
        }
    }
    writer.finish().expect("packed").into_inner()
}

fn unpack(job: &Job, format: &str, bytes: &[u8]) -> Result<SourceFetched, AgentError> {
    job.world
        .seen()
        .objects
        .insert("source".into(), bytes.to_vec());
    let source = json!({ "archive": { "sealed": sealed(bytes), "format": format } });
    let asked = json!({ "environment": "sources", "source": source });
    fetch(&job.context, &value(asked)).map(|done| value(done.gives))
}

pub fn archives() {
    let job = Job::new("sources", "01J00000000000000000000320");
    let checkout = job.release.checkout();
    let good = [
        Item::File("shop-abc/Dockerfile", b"FROM scratch", 0o644),
        Item::File("shop-abc/run.sh", b"#!/bin/sh", 0o4777),
        Item::Link("shop-abc/deep/in", "../Dockerfile"),
        Item::Hard("shop-abc/same", "shop-abc/Dockerfile"),
    ];
    for (format, packed, files) in [("tar_gz", tar_gz(&good), 4), ("zip", zipped(&good), 3)] {
        let done = unpack(&job, format, &packed).expect(format);
        assert_eq!((done.files, done.commit), (files, None));
        assert_eq!(
            fs::read(checkout.join("deep/in")).expect("read"),
            b"FROM scratch"
        );
        let mode = fs::metadata(checkout.join("run.sh"))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o755);
    }
    let bad: [&[Item<'_>]; 8] = [
        &[Item::File("../x", b"x", 0o644)],
        &[Item::File("/x", b"x", 0o644)],
        &[Item::File("a/../../x", b"x", 0o644)],
        &[Item::Link("a/out", "../../etc")],
        &[Item::Link("out", "/etc/passwd")],
        &[Item::Link("a", "b"), Item::File("a/x", b"x", 0o644)],
        &[Item::File("x", b"1", 0o644), Item::File("x", b"2", 0o644)],
        &[Item::File("zeros", &vec![0; 30 * 1024 * 1024], 0o644)],
    ];
    for (number, items) in bad.iter().enumerate() {
        assert_eq!(
            code(unpack(&job, "tar_gz", &tar_gz(items))),
            "source_refused",
            "{number}"
        );
        // That crate does not write the same name twice.
        if number != 6 {
            assert_eq!(
                code(unpack(&job, "zip", &zipped(items))),
                "source_refused",
                "{number}"
            );
        }
        assert!(
            !checkout.exists() && !job.release.path().join("checkout.new").exists(),
            "{number}"
        );
    }
    for items in [
        &[Item::Device("null")][..],
        &[Item::Hard("x", "/etc/passwd")],
        &[Item::Hard("x", "gone")],
    ] {
        assert_eq!(
            code(unpack(&job, "tar_gz", &tar_gz(items))),
            "source_refused"
        );
    }
    for format in ["tar_gz", "zip"] {
        assert_eq!(
            code(unpack(&job, format, b"<html>not found</html>")),
            "source_refused",
            "{format}"
        );
    }
    let mut cut = tar_gz(&good);
    cut.truncate(cut.len() - 9);
    assert_eq!(code(unpack(&job, "tar_gz", &cut)), "source_refused");
    let names: Vec<_> = fs::read_dir(job.release.path())
        .expect("listed")
        .flatten()
        .map(|one| one.file_name())
        .collect();
    assert!(names.is_empty(), "{names:?}");
}
