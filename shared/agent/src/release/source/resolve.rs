//! The commit that a branch or tag of a repository stands for now.
//!
//! Promise: only asks. A branch goes before a tag of the same name; a commit is itself, without asking.

use super::address::Address;
use super::git::Git;
use crate::fault::{Result, bad_request, refused};
use crate::paths::Paths;
use protocol::release::{SourceResolve, SourceResolved};

/// Git's own names are no longer in practice, and a path has a limit.
const REFERENCE_LIMIT: usize = 250;
/// Hex digits of a commit.
const COMMIT_DIGITS: usize = 40;
/// More than these nobody reads.
const NEAR_LIMIT: usize = 3;
/// A name that differs in more letters is another one.
const NEAR_LETTERS: usize = 3;

/// See [`protocol::Call::SourceResolve`].
pub fn resolve(paths: &Paths, asked: &SourceResolve) -> Result<SourceResolved> {
    let address = Address::parse(&asked.url)?;
    if is_commit(&asked.reference) {
        return Ok(SourceResolved {
            commit: asked.reference.to_ascii_lowercase(),
            reference: None,
        });
    }
    check_reference(&asked.reference)?;
    let git = Git::new(paths, &address, asked.credential.as_ref())?;
    let wanted = wanted(&asked.reference);
    let mut arguments = vec!["ls-remote", "--symref", "--", &address.url];
    // A tag that has a message is an object of its own; the commit is behind it.
    let peeled: Vec<String> = wanted.iter().map(|name| format!("{name}^{{}}")).collect();
    arguments.extend(wanted.iter().chain(&peeled).map(String::as_str));
    let seen = git.run(&arguments)?;
    if !seen.ok {
        return Err(git.fault(&seen.errors));
    }
    if let Some(found) = choose(&seen.output, &wanted) {
        return Ok(found);
    }
    let all = git.run(&[
        "ls-remote",
        "--heads",
        "--tags",
        "--refs",
        "--",
        &address.url,
    ])?;
    if !all.ok {
        return Err(git.fault(&all.errors));
    }
    Err(not_found(&asked.reference, &all.output))
}

/// 40 hex digits.
pub fn is_commit(text: &str) -> bool {
    text.len() == COMMIT_DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// `git check-ref-format`'s rules, as far as they keep a name from meaning something else.
fn check_reference(text: &str) -> Result<()> {
    let ok = (1..=REFERENCE_LIMIT).contains(&text.len())
        && !text.starts_with(['-', '/', '.'])
        && !text.ends_with(['/', '.'])
        && !text.contains("..")
        && !text.contains("//")
        && !text.contains("@{")
        && !text
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c));
    if ok {
        return Ok(());
    }
    Err(bad_request(
        "The branch, tag or commit is not one that Git could have.",
    ))
}

fn wanted(reference: &str) -> Vec<String> {
    if reference == "HEAD" || reference.starts_with("refs/") {
        return vec![reference.to_string()];
    }
    vec![
        format!("refs/heads/{reference}"),
        format!("refs/tags/{reference}"),
    ]
}

/// The first wanted one that the server has. Its patterns match ends of names too, which do not count.
fn choose(output: &str, wanted: &[String]) -> Option<SourceResolved> {
    let commit_of = |name: &str| {
        output.lines().find_map(|line| {
            let (commit, found) = line.split_once('\t')?;
            (found == name && is_commit(commit)).then(|| commit.to_ascii_lowercase())
        })
    };
    wanted.iter().find_map(|name| {
        let commit = commit_of(&format!("{name}^{{}}")).or_else(|| commit_of(name))?;
        let behind = output.lines().find_map(|line| {
            let (target, found) = line.strip_prefix("ref: ")?.split_once('\t')?;
            (found == name).then(|| target.to_string())
        });
        let reference = behind.or_else(|| (name != "HEAD").then(|| name.clone()));
        Some(SourceResolved { commit, reference })
    })
}

fn not_found(reference: &str, output: &str) -> protocol::AgentError {
    let names: Vec<&str> = output
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .filter_map(|(_, name)| {
            name.strip_prefix("refs/heads/")
                .or_else(|| name.strip_prefix("refs/tags/"))
        })
        .collect();
    let near = near(reference, &names);
    let hint = match (near.as_slice(), names.is_empty()) {
        (_, true) => " It has none yet: push one.".to_string(),
        ([], false) => String::new(),
        (near, false) => format!(" Near it: {}.", near.join(", ")),
    };
    refused(
        "branch_not_found",
        format!("The repository has no branch or tag {reference:?}.{hint}"),
    )
}

/// Names that differ in few letters, or only in how they are written, the nearest first.
fn near<'a>(wanted: &str, names: &[&'a str]) -> Vec<&'a str> {
    let wanted = wanted.to_lowercase();
    let mut found: Vec<(usize, &str)> = names
        .iter()
        .filter(|name| name.len() <= REFERENCE_LIMIT && !name.chars().any(char::is_control))
        .map(|name| (distance(&wanted, &name.to_lowercase()), *name))
        .filter(|(letters, name)| {
            let part = |one: &str, other: &str| one.rsplit('/').next() == Some(other);
            *letters <= NEAR_LETTERS.min(wanted.len() / 2)
                || part(name, &wanted)
                || part(&wanted, name)
        })
        .collect();
    // The main branches are what a newcomer means.
    let main = names
        .iter()
        .filter(|name| matches!(**name, "main" | "master"));
    found.extend(main.map(|name| (usize::MAX, *name)));
    found.sort();
    found.dedup_by_key(|(_, name)| *name);
    found
        .into_iter()
        .map(|(_, name)| name)
        .take(NEAR_LIMIT)
        .collect()
}

/// Levenshtein's.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let swapped = before + usize::from(a != *b);
            before = row[j + 1];
            row[j + 1] = swapped.min(row[j] + 1).min(before + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: [&str; 3] = [
        "1111111111111111111111111111111111111111",
        "2222222222222222222222222222222222222222",
        "3333333333333333333333333333333333333333",
    ];

    #[test]
    fn a_branch_goes_before_a_tag_and_a_tag_stands_for_its_commit() {
        let output = format!(
            "{}\trefs/heads/old/refs/heads/v1\n{}\trefs/tags/v1\n{}\trefs/tags/v1^{{}}\n",
            SHA[0], SHA[1], SHA[2]
        );
        let found = choose(&output, &wanted("v1")).expect("found");
        assert_eq!(
            (found.commit.as_str(), found.reference.as_deref()),
            (SHA[2], Some("refs/tags/v1"))
        );
        let output = format!("{}\trefs/heads/v1\n{output}", SHA[0]);
        let found = choose(&output, &wanted("v1")).expect("found");
        assert_eq!(found.reference.as_deref(), Some("refs/heads/v1"));
    }

    #[test]
    fn the_head_names_the_branch_behind_it() {
        let output = format!("ref: refs/heads/trunk\tHEAD\n{}\tHEAD\n", SHA[0]);
        let found = choose(&output, &wanted("HEAD")).expect("found");
        assert_eq!(found.reference.as_deref(), Some("refs/heads/trunk"));
        assert_eq!(choose("", &wanted("HEAD")), None);
    }

    #[test]
    fn a_name_that_is_not_there_is_told_with_its_like() {
        let names = ["main", "develop", "feature/cart", "release-1.2", "zzz"];
        assert_eq!(near("devlop", &names), ["develop", "main"]);
        assert_eq!(near("cart", &names), ["feature/cart", "main"]);
        assert_eq!(near("nothing-like-it", &names), ["main"]);
    }

    #[test]
    fn a_reference_is_no_option_and_no_pattern() {
        for bad in [
            "",
            "-x",
            "--upload-pack=id",
            "a b",
            "a..b",
            "a^",
            "a:b",
            "*",
            "a\nb",
            "/a",
            "a@{1}",
            &"a".repeat(251),
        ] {
            assert!(check_reference(bad).is_err(), "{bad:?}");
        }
        for good in [
            "main",
            "feature/cart-2",
            "v1.0",
            "HEAD",
            "refs/heads/x",
            "größe",
        ] {
            assert!(check_reference(good).is_ok(), "{good:?}");
        }
    }
}
