//! A source into the deployment's checkout.
//!
//! Promise: the checkout is all of the source or not there. One that is there is found by what it was made of; a repeat
//! of a fetch that was cut short starts over.

use super::address::Address;
use super::archive;
use super::git::Git;
use super::repository::{Repository, check_room};
use super::resolve::is_commit;
use super::tree;
use crate::fault::{Result, bad_request};
use crate::files;
use crate::jobs::context::Context;
use crate::jobs::work::Finished;
use crate::release::folder::{self, Environment, Release};
use protocol::release::{ArchiveFormat, FetchSource, Source, SourceFetched};
use protocol::text::bytes;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What a checkout was made of.
#[derive(Debug, Serialize, Deserialize)]
struct Made {
    /// A commit, or the SHA-256 of an archive.
    of: String,
    fetched: SourceFetched,
}

/// See [`protocol::job::Work::FetchSource`].
pub fn fetch(context: &Context, asked: &FetchSource) -> Result<Finished> {
    let environment = Environment::of(context.paths(), &asked.environment)?;
    let release = environment.release(context.deployment_id())?;
    let of = match &asked.source {
        Source::Git { commit, .. } if is_commit(commit) => commit.to_ascii_lowercase(),
        Source::Git { .. } => return Err(bad_request("The commit must be 40 hex digits.")),
        Source::Archive { sealed, .. } => sealed.sha256.to_ascii_lowercase(),
    };
    let marker = release.path().join("checkout.json");
    if let Some(made) = folder::load::<Made>(&marker)?
        && made.of == of
        && release.checkout().is_dir()
    {
        return done(made.fetched);
    }
    for folder in [release.path().parent(), Some(release.path())]
        .into_iter()
        .flatten()
    {
        files::directory(folder, 0o700)?;
    }
    files::remove(&marker)?;
    tree::remove(&release.checkout())?;
    let beside = release.path().join("checkout.new");
    let result = check_room(&beside).and_then(|()| taken(context, &release, asked, &of, &beside));
    // A cancel ends the program, which is then seen as a failed one.
    let result = context.check().and(result);
    if result.is_err() {
        // The first error is the one to tell.
        let _ = tree::remove(&beside);
    }
    let fetched = result?;
    folder::store(
        &marker,
        &Made {
            of,
            fetched: fetched.clone(),
        },
    )?;
    done(fetched)
}

fn done(fetched: SourceFetched) -> Result<Finished> {
    let what = match &fetched.commit {
        Some(commit) => format!("Fetched commit {}", &commit[..7.min(commit.len())]),
        None => "Unpacked the source".into(),
    };
    let summary = format!(
        "{what}: {} files, {}",
        fetched.files,
        bytes(fetched.size_bytes)
    );
    Finished::new(fetched, summary)
}

fn taken(
    context: &Context,
    release: &Release,
    asked: &FetchSource,
    of: &str,
    beside: &Path,
) -> Result<SourceFetched> {
    match &asked.source {
        Source::Git {
            url, credential, ..
        } => {
            let address = Address::parse(url)?;
            let git = Git::new(context.paths(), &address, credential.as_ref())?;
            context.log(&format!("fetching {of} of {url}"));
            let fetched = Repository {
                context,
                git: &git,
                commit: of,
            }
            .take(beside)?;
            tree::publish(beside, &release.checkout(), false)?;
            Ok(fetched)
        }
        Source::Archive { sealed, format } => {
            context.log(&format!("fetching {}", bytes(sealed.size_bytes)));
            let (files, size_bytes) = match format {
                ArchiveFormat::TarGz => archive::tar_gz(context, sealed, beside)?,
                ArchiveFormat::Zip => {
                    archive::zip(context, sealed, beside, &release.path().join("source.zip"))?
                }
            };
            tree::publish(beside, &release.checkout(), true)?;
            Ok(SourceFetched {
                commit: None,
                subject: None,
                author: None,
                files,
                size_bytes,
            })
        }
    }
}
