//! Where a service comes from, as it was typed.
//!
//! Promise: what is not given stays as it is, as long as the source stays of its kind; what opens a repository is not
//! carried to another address.

use super::services::{secret, text};
use crate::args::SourceArgs;
use crate::ending::Fault;
use crate::invocation::Invocation;
use contract::{GitAccessAsked, SourceAsked, SourceView};
use domain::release::Build;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Image,
    Compose,
    Repository,
    Archive,
}

impl Kind {
    fn of(view: &SourceView) -> Self {
        match view {
            SourceView::Image { .. } => Self::Image,
            SourceView::Compose { .. } => Self::Compose,
            SourceView::Repository { .. } => Self::Repository,
            SourceView::Archive { .. } => Self::Archive,
        }
    }
}

/// What is said; none when nothing is.
pub async fn source(
    invocation: &Invocation,
    asked: &SourceArgs,
    before: Option<&SourceView>,
) -> Result<Option<SourceAsked>, Fault> {
    let Some(kind) = kind(asked, before)? else {
        return Ok(None);
    };
    Ok(Some(match kind {
        Kind::Image => SourceAsked::Image {
            image: asked.image.clone().unwrap_or_default(),
        },
        Kind::Compose => {
            let (file, profiles) = match before {
                Some(SourceView::Compose { file, profiles }) => (file.clone(), profiles.clone()),
                _ => Default::default(),
            };
            SourceAsked::Compose {
                file: asked.compose.as_deref().map_or(Ok(file), text)?,
                profiles: given(&asked.profiles).unwrap_or(profiles),
            }
        }
        Kind::Archive => SourceAsked::Archive {
            build: build(asked, before),
        },
        Kind::Repository => {
            let (url, reference) = match before {
                Some(SourceView::Repository { url, reference, .. }) => (url, reference.as_str()),
                _ => (&String::new(), "main"),
            };
            let url = asked.repo.as_ref().unwrap_or(url);
            SourceAsked::Repository {
                url: url.clone(),
                reference: asked.branch.as_deref().unwrap_or(reference).to_string(),
                access: access(invocation, asked, url, before).await?,
                build: build(asked, before),
            }
        }
    }))
}

/// The kind that is named, or the one that it is of when only some of it is to change.
fn kind(asked: &SourceArgs, before: Option<&SourceView>) -> Result<Option<Kind>, Fault> {
    let is_compose = !asked.profiles.is_empty();
    let is_repository = asked.branch.is_some() || asked.git_token || asked.deploy_key.is_some();
    let is_built = asked.dockerfile.is_some()
        || asked.context.is_some()
        || asked.build_target.is_some()
        || !asked.build_arguments.is_empty();
    let named = [
        (asked.image.is_some(), Kind::Image),
        (asked.compose.is_some(), Kind::Compose),
        (asked.repo.is_some(), Kind::Repository),
        (asked.archive, Kind::Archive),
    ];
    let named = named.into_iter().find(|(is_named, _)| *is_named);
    let named = named.map(|(_, kind)| kind);
    let kind = named.or(before.map(Kind::of));
    for (is_said, of, what) in [
        (
            is_compose,
            &[Kind::Compose][..],
            "--profile-wanted goes with --compose",
        ),
        (
            is_repository,
            &[Kind::Repository],
            "--branch, --git-token and --deploy-key go with --repo",
        ),
        (
            is_built,
            &[Kind::Repository, Kind::Archive],
            "how it is built goes with --repo or --archive",
        ),
    ] {
        if is_said && !kind.is_some_and(|kind| of.contains(&kind)) {
            return Err(Fault::said(format!("{what}: name the source as well")));
        }
    }
    let is_said = named.is_some() || is_compose || is_repository || is_built;
    Ok(kind.filter(|_| is_said))
}

fn given<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}

fn build(asked: &SourceArgs, before: Option<&SourceView>) -> Build {
    let usual = match before {
        Some(SourceView::Repository { build, .. } | SourceView::Archive { build }) => build.clone(),
        _ => Build::default(),
    };
    let arguments = given(&asked.build_arguments).map(|all| all.into_iter().collect());
    Build {
        dockerfile: asked.dockerfile.clone().unwrap_or(usual.dockerfile),
        context: asked.context.clone().unwrap_or(usual.context),
        target: asked.build_target.clone().or(usual.target),
        arguments: arguments.unwrap_or(usual.arguments),
    }
}

/// What opens the repository at this address.
async fn access(
    invocation: &Invocation,
    asked: &SourceArgs,
    url: &str,
    before: Option<&SourceView>,
) -> Result<Option<GitAccessAsked>, Fault> {
    if asked.git_token {
        let username = asked.git_user.as_deref().unwrap_or("x-access-token");
        let (what, variable) = ("token of the repository", "TRIPHAMMER_GIT_TOKEN");
        return Ok(Some(GitAccessAsked::Token {
            username: username.to_string(),
            token: secret(invocation, what, variable, false, None).await?,
        }));
    }
    if let Some(path) = &asked.deploy_key {
        return Ok(Some(GitAccessAsked::DeployKey {
            private_key: text(path)?,
        }));
    }
    let keeps = matches!(before, Some(SourceView::Repository { url: same, access: Some(_), .. }) if same == url);
    Ok(keeps.then_some(GitAccessAsked::Keep {}))
}
