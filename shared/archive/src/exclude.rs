//! What is left out of a walk.
//!
//! Promise: a pattern is relative to the root and names a whole thing: `wp-content/cache` is that directory with all in
//! it. `?` is one character and `*` any number of them inside one name; `**` goes through directories. All else is
//! literal.

use crate::TreePath;
use crate::error::{Error, Result};
use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};
use std::path::Path;

/// A set of patterns.
#[derive(Debug, Clone, Default)]
pub struct Exclude {
    patterns: Vec<String>,
    set: GlobSet,
}

impl Exclude {
    /// Refuses patterns that are empty or lead out of the tree.
    pub fn new<P: AsRef<str>>(patterns: impl IntoIterator<Item = P>) -> Result<Self> {
        let (mut kept, mut set) = (Vec::new(), GlobSetBuilder::new());
        for pattern in patterns {
            let pattern = pattern.as_ref();
            let refused = || Error::Pattern(pattern.to_string());
            let trimmed = pattern.trim_start_matches("./").trim_matches('/');
            if trimmed
                .split('/')
                .any(|name| matches!(name, "" | "." | ".."))
            {
                return Err(refused());
            }
            let glob = GlobBuilder::new(&literal(trimmed))
                .literal_separator(true)
                .backslash_escape(true)
                .build()
                .map_err(|_| refused())?;
            set.add(glob);
            kept.push(pattern.to_string());
        }
        let set = set
            .build()
            .map_err(|error| Error::Pattern(error.to_string()))?;
        Ok(Self {
            patterns: kept,
            set,
        })
    }

    /// As they were given.
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }

    /// Is this thing itself named?
    pub fn matches(&self, path: &TreePath) -> bool {
        !self.set.is_empty()
            && self
                .set
                .is_match_candidate(&Candidate::new(Path::new(path.as_os())))
    }
}

/// Brackets, braces and backslashes stand for themselves.
fn literal(pattern: &str) -> String {
    let mut escaped = String::with_capacity(pattern.len());
    for character in pattern.chars() {
        if matches!(character, '[' | ']' | '{' | '}' | '\\' | '!') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_people_expect() {
        for (pattern, path, matches) in [
            ("wp-content/cache", "wp-content/cache", true),
            ("/wp-content/cache/", "wp-content/cache", true),
            ("wp-content/cache", "a/wp-content/cache", false),
            ("cache", "wp-content/cache", false),
            ("*.log", "debug.log", true),
            ("*.log", "a/debug.log", false),
            ("**/*.log", "debug.log", true),
            ("**/*.log", "a/b/debug.log", true),
            ("**/node_modules", "a/b/node_modules", true),
            ("wp-content/**/tmp", "wp-content/tmp", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("[ab]", "a", false),
            ("[ab]", "[ab]", true),
            ("{a,b}", "a", false),
            (".*", ".htaccess", true),
        ] {
            let exclude = Exclude::new([pattern]).expect("understood");
            let path = TreePath::new(path).expect("clean");
            assert_eq!(exclude.matches(&path), matches, "{pattern} {path}");
        }
    }

    #[test]
    fn a_name_that_is_not_utf8_matches_a_star() {
        let exclude = Exclude::new(["up/*.jpg"]).expect("understood");
        let path = TreePath::new(b"up/\xff\xfe.jpg".to_vec()).expect("clean");
        assert!(exclude.matches(&path));
    }

    #[test]
    fn a_pattern_that_leads_out_is_refused() {
        for pattern in ["", "/", "..", "a/../b", "a//b"] {
            assert!(
                matches!(Exclude::new([pattern]), Err(Error::Pattern(_))),
                "{pattern}"
            );
        }
    }
}
