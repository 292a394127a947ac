//! What is changed in a script on its way.
//!
//! Promise: another server's definers and collations become this one's, and each change of a collation is noted.

use std::collections::BTreeSet;

/// What is done with the definers that a script names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Definer {
    /// As they are.
    Keep,
    /// Left out: whoever runs the script is the definer.
    Strip,
    /// This account, as SQL takes it.
    Be(String),
}

/// What is done with events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Events {
    /// As they are.
    Keep,
    /// Made disabled, and remembered: none must run beside the live site.
    Sleep,
    /// Made enabled.
    Wake,
}

/// What is changed on the way.
#[derive(Debug, Clone)]
pub struct Changes {
    /// Of views, triggers, routines and events.
    pub definer: Definer,
    /// Collations that the server has; empty for no look at them.
    pub collations: BTreeSet<String>,
    /// Whether they run.
    pub events: Events,
}

impl Changes {
    /// The collation nearest to one that the server lacks, and the note that says so.
    pub fn nearest(&self, word: &[u8]) -> Option<(String, &'static str)> {
        let name = String::from_utf8_lossy(word).to_ascii_lowercase();
        if self.collations.is_empty() || self.collations.contains(&name) {
            return None;
        }
        // Case or accents that counted must go on counting, or a unique key would find twins.
        let exact = name.ends_with("_bin") || name.ends_with("_cs");
        let nearest = match (
            name.starts_with("utf8mb4_"),
            name.starts_with("utf8"),
            exact,
        ) {
            (true, _, true) => "utf8mb4_bin",
            (true, _, false) => "utf8mb4_unicode_520_ci",
            (false, true, true) => "utf8_bin",
            (false, true, false) => "utf8_unicode_520_ci",
            (false, false, _) => return None,
        };
        let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
        let name: String = name.chars().filter(plain).collect();
        let note = format!("this server has no collation {name}: {nearest} is used instead");
        Some((note, nearest))
    }
}
