//! The worker itself: runs as the site's user and does one job beneath its home.
//!
//! Promise: nothing is reached outside the home, whatever links stand in it; a web root appears whole or not at all.

use crate::tree::{Done, Failure, INCOMING, Job, PUBLIC, TMP, copy, remove, unpack};
use cap_std::ambient_authority;
use cap_std::fs::{
    Dir, DirBuilder, DirBuilderExt, OpenOptions, OpenOptionsExt, Permissions, PermissionsExt,
};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};

/// A job line carries a wp-config at most.
const LINE_LIMIT_BYTES: u64 = 256 * 1024;
const CONFIG: &str = "wp-config.php";
const CONFIG_NEW: &str = "wp-config.php.triphammer-new";
const MAINTENANCE: &str = ".maintenance";
/// Our mark stands in the first lines.
const MARK_WITHIN_BYTES: u64 = 400;

/// Read the job, do it, and print how it went.
pub fn main(input: impl Read, mut output: impl Write) {
    let mut input = BufReader::new(input);
    let done = read_job(&mut input)
        .and_then(|job| perform(&job, input))
        .unwrap_or_else(Done::Failed);
    if let Ok(text) = serde_json::to_vec(&done) {
        // Nobody left to tell is no reason to fail.
        let _ = output.write_all(&text).and_then(|()| output.flush());
    }
}

fn read_job(input: &mut impl BufRead) -> Result<Job, Failure> {
    let mut line = Vec::new();
    input.take(LINE_LIMIT_BYTES).read_until(b'\n', &mut line)?;
    serde_json::from_slice(&line).map_err(|_| Failure::source("the job was not understood"))
}

/// Do one job; `stream` is what follows it on stdin.
pub fn perform(job: &Job, stream: impl Read) -> Result<Done, Failure> {
    // Readable for the web server, whatever the parent had; wp-config gets its own mode.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let home = Dir::open_ambient_dir(job.home(), ambient_authority())?;
    match job {
        Job::Look { mark, .. } => {
            return Ok(Done::Looked {
                public: home.symlink_metadata(PUBLIC).is_ok(),
                config: is_marked(&home, mark),
            });
        }
        Job::Unpack { .. } => fill(&home, |incoming| unpack::unpack(incoming, stream))?,
        Job::Copy { source, .. } => fill(&home, |incoming| copy::copy(source.as_ref(), incoming))?,
        Job::Publish { .. } => publish(&home)?,
        Job::Discard { .. } => remove::entry(&home, INCOMING)?,
        Job::Config { content, .. } => config(&home, content)?,
        Job::Maintenance { on, .. } => maintenance(&home, *on)?,
        Job::Clear { .. } => remove::contents(&home)?,
    }
    Ok(Done::Yes)
}

/// A fresh incoming tree; after a failure nothing of it is left to take room.
fn fill(home: &Dir, with: impl FnOnce(&Dir) -> Result<(), Failure>) -> Result<(), Failure> {
    remove::entry(home, INCOMING)?;
    let filled = home
        .create_dir(INCOMING)
        .and_then(|()| home.open_dir(INCOMING))
        .map_err(Failure::from)
        .and_then(|incoming| {
            with(&incoming)?;
            for file in [
                "wp-load.php",
                "wp-settings.php",
                "wp-includes/version.php",
                "wp-admin/includes/upgrade.php",
            ] {
                if !incoming.metadata(file).is_ok_and(|meta| meta.is_file()) {
                    return Err(Failure::source(format!(
                        "it holds no {file}, so it is not WordPress"
                    )));
                }
            }
            Ok(())
        });
    if filled.is_err() {
        let _ = remove::entry(home, INCOMING);
    }
    filled
}

fn publish(home: &Dir) -> Result<(), Failure> {
    match home.create_dir_with(TMP, DirBuilder::new().mode(0o700)) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    if home.symlink_metadata(PUBLIC).is_ok() {
        return Ok(());
    }
    // Before the rename: after a power cut a web root must not be there with empty files in it.
    // The handle of a directory opened by path alone cannot be synced; this one can.
    rustix::fs::syncfs(home.open(".")?).map_err(io::Error::from)?;
    home.rename(INCOMING, home, PUBLIC)?;
    Ok(())
}

/// As WordPress has it: the file says since when, and is passed over after ten minutes.
fn maintenance(home: &Dir, on: bool) -> Result<(), Failure> {
    let public = match home.open_dir(PUBLIC) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        public => public?,
    };
    remove::entry(&public, MAINTENANCE)?;
    if on {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let since = since.map_or(0, |since| since.as_secs());
        let new = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .clone();
        let mut file = public.open_with(MAINTENANCE, &new)?;
        file.write_all(format!("<?php $upgrading = {since};\n").as_bytes())?;
    }
    Ok(())
}

fn config(home: &Dir, content: &str) -> Result<(), Failure> {
    let public = home.open_dir(PUBLIC)?;
    remove::entry(&public, CONFIG_NEW)?;
    let written = public
        .open_with(
            CONFIG_NEW,
            OpenOptions::new().write(true).create_new(true).mode(0o600),
        )
        .and_then(|mut file| {
            file.set_permissions(Permissions::from_mode(0o600))?;
            file.write_all(content.as_bytes())?;
            file.sync_all()
        });
    if written.is_err() {
        let _ = public.remove_file(CONFIG_NEW);
    }
    written?;
    public.rename(CONFIG_NEW, &public, CONFIG)?;
    Ok(())
}

fn is_marked(home: &Dir, mark: &str) -> bool {
    let mut first = Vec::new();
    let read = home
        .open_dir(PUBLIC)
        .and_then(|public| public.open(CONFIG))
        .and_then(|file| file.take(MARK_WITHIN_BYTES).read_to_end(&mut first));
    read.is_ok()
        && String::from_utf8_lossy(&first)
            .lines()
            .any(|line| line.trim_start_matches('/').trim() == mark)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn home() -> (tempfile::TempDir, String) {
        let root = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(root.path().join("home")).expect("made");
        let path = root.path().join("home").display().to_string();
        (root, path)
    }

    fn wordpress(at: &std::path::Path) {
        for file in [
            "wp-load.php",
            "wp-settings.php",
            "wp-includes/version.php",
            "wp-admin/includes/upgrade.php",
            "wp-config.php",
        ] {
            fs::create_dir_all(at.join(file).parent().expect("a parent")).expect("made");
            fs::write(at.join(file), file).expect("written");
        }
    }

    #[test]
    fn a_copied_tree_appears_whole_and_without_the_sources_config() {
        let (root, home) = home();
        let source = root.path().join("source");
        wordpress(&source);
        fs::rename(source.join("wp-load.php"), root.path().join("elsewhere")).expect("moved");
        symlink("../elsewhere", source.join("wp-load.php")).expect("linked");
        let source = source.display().to_string();
        perform(
            &Job::Copy {
                home: home.clone(),
                source,
            },
            io::empty(),
        )
        .expect("copied");
        assert!(!std::path::Path::new(&home).join(PUBLIC).exists());
        perform(&Job::Publish { home: home.clone() }, io::empty()).expect("published");
        let public = std::path::Path::new(&home).join(PUBLIC);
        assert!(
            fs::symlink_metadata(public.join("wp-load.php"))
                .expect("there")
                .is_file()
        );
        assert!(!public.join("wp-config.php").exists());
    }

    #[test]
    fn a_source_that_is_no_wordpress_leaves_nothing() {
        let (root, home) = home();
        let source = root.path().join("source");
        fs::create_dir(&source).expect("made");
        let failed = perform(
            &Job::Copy {
                home: home.clone(),
                source: source.display().to_string(),
            },
            io::empty(),
        )
        .expect_err("refused");
        assert_eq!(failed.code, crate::tree::Code::SourceRefused);
        assert_eq!(fs::read_dir(&home).expect("listed").count(), 0);
    }

    #[test]
    fn a_config_is_written_for_its_owner_alone_and_its_mark_found() {
        let (_root, home) = home();
        fs::create_dir(format!("{home}/public")).expect("made");
        let content = "<?php\n// managed by triphammer, deployment d1\n".to_string();
        perform(
            &Job::Config {
                home: home.clone(),
                content,
            },
            io::empty(),
        )
        .expect("written");
        let mode = fs::metadata(format!("{home}/public/wp-config.php"))
            .expect("there")
            .permissions();
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
            0o600
        );
        let look = |mark: &str| {
            perform(
                &Job::Look {
                    home: home.clone(),
                    mark: mark.into(),
                },
                io::empty(),
            )
            .expect("looked")
        };
        assert_eq!(
            look("managed by triphammer, deployment d1"),
            Done::Looked {
                public: true,
                config: true
            }
        );
        assert_eq!(
            look("managed by triphammer, deployment d2"),
            Done::Looked {
                public: true,
                config: false
            }
        );
    }

    #[test]
    fn a_web_root_that_points_elsewhere_is_not_written_through() {
        let (root, home) = home();
        let outside = root.path().join("outside");
        fs::create_dir(&outside).expect("made");
        symlink(&outside, format!("{home}/public")).expect("linked");
        assert!(
            perform(
                &Job::Config {
                    home,
                    content: "x".into()
                },
                io::empty()
            )
            .is_err()
        );
        assert_eq!(fs::read_dir(&outside).expect("listed").count(), 0);
    }

    #[test]
    fn clearing_takes_links_and_leaves_what_they_point_to() {
        let (root, home) = home();
        let outside = root.path().join("outside");
        fs::create_dir(&outside).expect("made");
        fs::write(outside.join("kept"), "kept").expect("written");
        symlink(&outside, format!("{home}/link")).expect("linked");
        let mut deep = std::path::PathBuf::from(&home);
        for _ in 0..200 {
            deep.push("d");
        }
        fs::create_dir_all(&deep).expect("made");
        perform(&Job::Clear { home: home.clone() }, io::empty()).expect("cleared");
        assert_eq!(fs::read_dir(&home).expect("listed").count(), 0);
        assert!(outside.join("kept").exists());
    }
}
