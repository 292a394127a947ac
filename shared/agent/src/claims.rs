//! What the agent created, and for which deployment: one root-only file for each thing.
//!
//! Promise: the claim is written before the thing and removed after it, so whatever stands without one is not ours.

use crate::fault::{Result, already_exists, broken, io_at};
use crate::files;
use crate::paths::Paths;
use protocol::Lease;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// The kinds of things that are claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A database and its user.
    Database,
    /// A site's user, home, pool and server block.
    Site,
    /// The domain a site was given.
    Domain,
    /// A site's configuration directories and cron line.
    Conf,
    /// The key a server's record logs in with.
    Key,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 5] = [
        Kind::Database,
        Kind::Site,
        Kind::Domain,
        Kind::Conf,
        Kind::Key,
    ];

    fn directory(self) -> &'static str {
        match self {
            Kind::Database => "databases",
            Kind::Site => "sites",
            Kind::Domain => "domains",
            Kind::Conf => "conf",
            Kind::Key => "keys",
        }
    }
}

/// One claim; `facts` is what a repeat or the undo must know of the thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim<F> {
    /// Whose it is.
    pub deployment_id: String,
    /// On which target.
    pub target: String,
    /// Seconds since 1970.
    pub created_at: u64,
    /// As the kind has it.
    pub facts: F,
}

impl<F> Claim<F> {
    /// Made now.
    pub fn new(deployment_id: &str, target: &str, facts: F) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            deployment_id: deployment_id.to_string(),
            target: target.to_string(),
            created_at: now.map_or(0, |since| since.as_secs()),
            facts,
        }
    }
}

/// Nothing more to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoFacts {}

/// What stands under a name, for one deployment.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing<F> {
    /// Claimed by it: begun or done.
    Ours(Claim<F>),
    /// Claimed by another one.
    Theirs(Claim<F>),
    /// Not claimed.
    Unclaimed,
}

fn path(paths: &Paths, kind: Kind, name: &str) -> PathBuf {
    paths
        .claims()
        .join(kind.directory())
        .join(format!("{name}.json"))
}

/// Read what is claimed under `name`.
pub fn read<F: DeserializeOwned>(
    paths: &Paths,
    kind: Kind,
    name: &str,
) -> Result<Option<Claim<F>>> {
    let path = path(paths, kind, name);
    let Some(text) = files::read(&path)? else {
        return Ok(None);
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|_| broken("claim_damaged", format!("{} is damaged.", path.display())))
}

/// Whose is `name`, seen from the lease's deployment?
pub fn standing<F: DeserializeOwned>(
    paths: &Paths,
    kind: Kind,
    name: &str,
    lease: &Lease,
) -> Result<Standing<F>> {
    Ok(match read(paths, kind, name)? {
        None => Standing::Unclaimed,
        Some(claim) if claim.deployment_id == lease.deployment_id => Standing::Ours(claim),
        Some(claim) => Standing::Theirs(claim),
    })
}

/// Claim `name` before it is made. `existing` names what of it stands already: then only this deployment's own claim will do.
pub fn begin<F>(
    paths: &Paths,
    kind: Kind,
    name: &str,
    lease: &Lease,
    existing: Option<&str>,
    facts: F,
) -> Result<Claim<F>>
where
    F: Serialize + DeserializeOwned,
{
    match (standing(paths, kind, name, lease)?, existing) {
        (Standing::Ours(claim), _) => Ok(claim),
        (_, Some(what)) => Err(already_exists(what)),
        (Standing::Theirs(_) | Standing::Unclaimed, None) => {
            let claim = Claim::new(&lease.deployment_id, &lease.target, facts);
            write(paths, kind, name, &claim)?;
            Ok(claim)
        }
    }
}

/// Store a claim with other facts.
pub fn write<F: Serialize>(paths: &Paths, kind: Kind, name: &str, claim: &Claim<F>) -> Result<()> {
    files::directory(&paths.state(), 0o700)?;
    files::directory(&paths.claims(), 0o700)?;
    files::directory(&paths.claims().join(kind.directory()), 0o700)?;
    let text = serde_json::to_vec(claim)
        .map_err(|_| broken("claim_damaged", "A claim could not be written."))?;
    files::write(&path(paths, kind, name), &text, 0o600)
}

/// The thing is gone: so is its claim.
pub fn end(paths: &Paths, kind: Kind, name: &str) -> Result<bool> {
    let path = path(paths, kind, name);
    files::remove(&files::beside(&path))?;
    files::remove(&path)
}

/// All names claimed of a kind, in order.
pub fn names(paths: &Paths, kind: Kind) -> Result<Vec<String>> {
    let directory = paths.claims().join(kind.directory());
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| io_at(&directory, &error))?,
    };
    let file = |entry: fs::DirEntry| entry.file_name().into_string().ok();
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(file)
        .filter_map(|name| name.strip_suffix(".json").map(str::to_string))
        .collect();
    names.sort();
    Ok(names)
}

/// Is anything claimed on this host?
pub fn any(paths: &Paths) -> Result<bool> {
    for kind in Kind::ALL {
        if !names(paths, kind)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(deployment: &str) -> Lease {
        Lease {
            target: "site:1".into(),
            fence: 1,
            deployment_id: deployment.into(),
        }
    }

    fn begin_shop(
        paths: &Paths,
        deployment: &str,
        existing: Option<&str>,
    ) -> Result<Claim<NoFacts>> {
        begin(
            paths,
            Kind::Database,
            "shop",
            &lease(deployment),
            existing,
            NoFacts {},
        )
    }

    #[test]
    fn what_stands_without_our_claim_is_never_adopted() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        let error = begin_shop(&paths, "d1", Some("The database shop")).expect_err("not ours");
        assert_eq!(error.code, "already_exists");
        assert!(error.message.contains("The database shop"));
        assert!(!any(&paths).expect("looked"));
    }

    #[test]
    fn a_repeat_finds_its_own_claim() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        let first = begin_shop(&paths, "d1", None).expect("claimed");
        assert_eq!(
            begin_shop(&paths, "d1", Some("The database shop")).expect("a repeat"),
            first
        );
    }

    #[test]
    fn another_deployments_claim_holds_while_the_thing_stands_and_not_longer() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        begin_shop(&paths, "d1", None).expect("claimed");
        assert_eq!(
            begin_shop(&paths, "d2", Some("The database shop"))
                .expect_err("theirs")
                .code,
            "already_exists"
        );
        assert_eq!(
            begin_shop(&paths, "d2", None)
                .expect("taken over")
                .deployment_id,
            "d2"
        );
    }

    #[test]
    fn an_ended_claim_is_gone_and_ending_it_again_is_nothing() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        begin_shop(&paths, "d1", None).expect("claimed");
        assert!(any(&paths).expect("looked"));
        assert!(end(&paths, Kind::Database, "shop").expect("ended"));
        assert!(!end(&paths, Kind::Database, "shop").expect("ended again"));
        assert!(!any(&paths).expect("looked"));
    }
}
