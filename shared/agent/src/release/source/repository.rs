//! A commit of a repository, fetched and packed by Git as its own user, unpacked by root.
//!
//! Promise: root opens nothing that Git has made: the tree comes as a stream. What Git brings is bounded, and so is the
//! room that it leaves.

use super::git::Git;
use super::tarball;
use super::tree::{self, BYTES_LIMIT, Links, Tree};
use crate::fault::{Result, broken, disk_full, io_at, refused};
use crate::jobs::context::Context;
use crate::run;
use protocol::release::SourceFetched;
use protocol::text::bytes;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

/// Kept free while a source is fetched: the services go on working meanwhile.
const ROOM_BYTES: u64 = 512 * 1024 * 1024;
/// Between two looks at what Git has fetched.
const LOOK: Duration = Duration::from_millis(250);
/// Of a commit's first line and author.
const TEXT_LIMIT_BYTES: usize = 512;
/// What Git says at its end tells why it failed.
const SAID_LIMIT_BYTES: usize = 16 * 1024;

fn free(path: &Path) -> Result<u64> {
    let path = path.parent().unwrap_or(path);
    let found = rustix::fs::statvfs(path).map_err(|error| io_at(path, &error.into()))?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Is there room left where this will be?
pub fn check_room(path: &Path) -> Result<()> {
    if free(path)? < ROOM_BYTES {
        Err(disk_full(path))
    } else {
        Ok(())
    }
}

/// A commit of a repository.
pub struct Repository<'a> {
    /// The job.
    pub context: &'a Context,
    /// At the repository.
    pub git: &'a Git<'a>,
    /// 40 hex digits.
    pub commit: &'a str,
}

impl Repository<'_> {
    fn repository(&self) -> PathBuf {
        self.git.folder().join("repository")
    }

    fn at(&self, arguments: &[&str]) -> Command {
        let mut command = self.git.command(&["--git-dir=repository"]);
        command.args(arguments);
        command
    }

    /// All of it into an empty folder.
    pub fn take(&self, beside: &Path) -> Result<SourceFetched> {
        let seen = self.git.run(&[
            "init",
            "--quiet",
            "--bare",
            "--template=template",
            "repository",
        ])?;
        if !seen.ok {
            return Err(self.git.fault(&seen.errors));
        }
        self.fetch()?;
        let (subject, author) = self.words()?;
        let (files, size_bytes) = self.unpack(beside)?;
        Ok(SourceFetched {
            commit: Some(self.commit.to_string()),
            subject,
            author,
            files,
            size_bytes,
        })
    }

    /// The commit alone; where the server gives none by its name, all branches and tags.
    fn fetch(&self) -> Result<()> {
        let url = &self.git.address.url;
        let common = [
            "fetch",
            "--progress",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
        ];
        let alone = [&common[..], &["--depth=1", "--", url, self.commit]].concat();
        let (ok, said) = self.watched(&alone)?;
        if ok && self.has()? {
            return Ok(());
        }
        let about_commit = [
            "not our ref",
            "unadvertised object",
            "does not support shallow",
            "remote ref",
            "upload-pack: not",
        ];
        if !ok && !about_commit.iter().any(|words| said.contains(words)) {
            return Err(self.git.fault(&said));
        }
        self.context.log(
            "the server does not give this commit by its name: fetching all branches and tags",
        );
        let all = [
            &common[..],
            &[
                "--",
                url,
                "+refs/heads/*:refs/heads/*",
                "+refs/tags/*:refs/tags/*",
            ],
        ]
        .concat();
        let (ok, said) = self.watched(&all)?;
        if !ok {
            return Err(self.git.fault(&said));
        }
        if self.has()? {
            return Ok(());
        }
        Err(refused(
            "commit_gone",
            format!(
                "The repository has no commit {} any more: its branch was rewritten or removed. Deploy the branch again.",
                self.commit
            ),
        ))
    }

    fn has(&self) -> Result<bool> {
        let commit = format!("{}^{{commit}}", self.commit);
        Ok(run::run(&mut self.at(&["cat-file", "-e", &commit]), b"")?.ok)
    }

    /// Run it with an eye on what it brings: whether it ended well, and the last of what it said.
    fn watched(&self, arguments: &[&str]) -> Result<(bool, String)> {
        let mut child = run::start(&mut self.at(arguments))?;
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        thread::scope(|scope| {
            scope.spawn(move || {
                // Nothing is expected there; a full pipe would stop it.
                output.map(|mut output| std::io::copy(&mut output, &mut std::io::sink()))
            });
            let said = scope.spawn(|| errors.map_or(String::new(), |errors| self.hear(errors)));
            let watched = self.watch(&mut child);
            let said = said.join().unwrap_or_default();
            let ok = watched?;
            if ok {
                self.git.pin()?;
            }
            Ok((ok, said))
        })
    }

    fn watch(&self, child: &mut Child) -> Result<bool> {
        let mut end = None;
        loop {
            let ended = child.try_wait();
            let ended =
                ended.map_err(|_| broken("program_lost", "A program's end was not seen."))?;
            if let Some(status) = ended {
                return end.map_or(Ok(status.success()), Err);
            }
            if end.is_none() {
                end = self.check_fetched().err();
                if end.is_some() {
                    // Its end is seen by the next look.
                    let _ = child.kill();
                }
            }
            thread::sleep(LOOK);
        }
    }

    /// Only looks at names and lengths, in one folder: nothing in it is opened.
    fn check_fetched(&self) -> Result<()> {
        let packs = self.repository().join("objects/pack");
        let packed: u64 = fs::read_dir(packs)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.metadata().ok())
            .map(|meta| meta.len())
            .sum();
        if packed > BYTES_LIMIT {
            return Err(tree::source(format!(
                "the repository is larger than {}",
                bytes(BYTES_LIMIT)
            )));
        }
        check_room(self.git.folder())
    }

    /// Tells how far Git is; the last of what it said.
    fn hear(&self, mut errors: impl Read) -> String {
        let mut chunk = [0; 4096];
        let mut line = Vec::new();
        let mut said = String::new();
        while let Ok(read @ 1..) = errors.read(&mut chunk) {
            for byte in &chunk[..read] {
                // Git writes over its own progress with a carriage return.
                if !matches!(byte, b'\r' | b'\n') {
                    if line.len() < SAID_LIMIT_BYTES {
                        line.push(*byte);
                    }
                    continue;
                }
                let text = String::from_utf8_lossy(&line).into_owned();
                line.clear();
                match progress(&text) {
                    Some((done, total)) => self.context.progress(done, Some(total), "objects"),
                    // What the server says by itself is no matter of ours.
                    None if text.starts_with("remote: ") && !text.contains("ot found") => {}
                    None => {
                        said.push_str(&text);
                        said.push('\n');
                    }
                }
                let over = said.len().saturating_sub(SAID_LIMIT_BYTES);
                if over > 0 {
                    said = said.chars().skip(over).collect();
                }
            }
        }
        said
    }

    /// The first line of the commit's message, and who wrote it.
    fn words(&self) -> Result<(Option<String>, Option<String>)> {
        let format = "--format=%s%n%an <%ae>";
        let log = [
            "log",
            "-1",
            "--no-show-signature",
            "--no-mailmap",
            "--encoding=UTF-8",
            format,
            self.commit,
        ];
        let seen = run::run(&mut self.at(&log), b"")?;
        let mut lines = seen.output.lines().map(|line| {
            let text: String = line.chars().filter(|c| !c.is_control()).collect();
            crate::fault::first_bytes(&text, TEXT_LIMIT_BYTES)
        });
        Ok((lines.next(), lines.next()))
    }

    /// Git packs the commit's tree, and what comes is unpacked by the rules of a source: so root opens nothing that Git's
    /// user has made.
    fn unpack(&self, beside: &Path) -> Result<(u64, u64)> {
        let mut command = self.at(&["archive", "--format=tar", self.commit]);
        let mut child = run::start(&mut command)?;
        let output = child
            .stdout
            .take()
            .ok_or_else(|| broken("program_lost", "A program was started without its pipes."))?;
        let mut tree = Tree::new(beside, Links::Kept, BYTES_LIMIT)?;
        let unpacked = tarball::unpack(&mut tree, output, |entries| {
            self.context.progress(entries, None, "files");
            self.context.check()
        });
        if unpacked.is_err() {
            // It waits for a reader that will not come.
            let _ = child.kill();
        }
        let seen = run::finish(child)?;
        unpacked?;
        if !seen.ok {
            return Err(broken(
                "git_failed",
                "Git could not pack the commit that it fetched.",
            ));
        }
        tree.finish()
    }
}

/// `Receiving objects:  42% (420/1000), 1.00 MiB | 2.00 MiB/s`
fn progress(line: &str) -> Option<(u64, u64)> {
    let (what, rest) = line.split_once(':')?;
    if !matches!(what, "Receiving objects" | "Resolving deltas") && !what.starts_with("remote") {
        return None;
    }
    let (_, counts) = rest.split_once('(')?;
    let (counts, _) = counts.split_once(')')?;
    let (done, total) = counts.split_once('/')?;
    Some((done.parse().ok()?, total.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_git_is_is_read_from_its_own_words() {
        assert_eq!(
            progress("Receiving objects:  42% (420/1000), 1.00 MiB | 2.00 MiB/s"),
            Some((420, 1000))
        );
        assert_eq!(
            progress("remote: Counting objects: 100% (3/3), done."),
            Some((3, 3))
        );
        assert_eq!(progress("fatal: not (1/2)"), None);
    }
}
