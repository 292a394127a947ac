//! The grammar of variables in a Compose file's texts: `$NAME`, `${NAME}`, and those with a default, a demand or an alternative.
//!
//! Promise: that of Compose, held against it in the tests; what it refuses may be understood here, what it understands has the
//! same meaning.

/// Defaults within defaults: nobody reads deeper ones.
const DEPTH_LIMIT: usize = 16;
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Text(String),
    /// Its name, and what else there is to it.
    Variable(String, Option<Otherwise>),
}

/// What a variable says beside its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Otherwise {
    /// Which operator.
    pub what: What,
    /// With a colon, an empty value counts as none.
    pub or_empty: bool,
    /// What stands behind the operator.
    pub parts: Vec<Part>,
}

/// An operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// `-`
    Default,
    /// `?`
    Demand,
    /// `+`
    Alternative,
}

/// The parts of a text; none when it is no template.
pub fn parse(text: &str) -> Option<Vec<Part>> {
    parts(text, 0)
}

fn parts(text: &str, depth: usize) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        if at > 0 {
            parts.push(Part::Text(rest[..at].to_string()));
        }
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            parts.push(Part::Text("$".into()));
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let end = closing(after)?;
            parts.push(braced(&after[..end], depth)?);
            rest = &after[end + 1..];
        } else if let Some(name) = name(rest) {
            parts.push(Part::Variable(name.to_string(), None));
            rest = &rest[name.len()..];
        } else {
            // Compose lets it stand: `^/a$`, `$(pwd)`.
            parts.push(Part::Text("$".into()));
        }
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_string()));
    }
    Some(parts)
}

fn braced(inside: &str, depth: usize) -> Option<Part> {
    let name = name(inside)?;
    let rest = &inside[name.len()..];
    let (or_empty, operation) = match rest.strip_prefix(':') {
        Some(operation) => (true, operation),
        None => (false, rest),
    };
    let what = match operation.chars().next() {
        None if !or_empty => return Some(Part::Variable(name.into(), None)),
        Some('-') => What::Default,
        Some('?') => What::Demand,
        Some('+') => What::Alternative,
        _ => return None,
    };
    if depth == DEPTH_LIMIT {
        return None;
    }
    let parts = parts(&operation[1..], depth + 1)?;
    let otherwise = Otherwise {
        what,
        or_empty,
        parts,
    };
    Some(Part::Variable(name.into(), Some(otherwise)))
}

fn name(text: &str) -> Option<&str> {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(text.len());
    (end > 0 && !text.starts_with(|c: char| c.is_ascii_digit())).then(|| &text[..end])
}

/// Where the brace of a variable closes; those of variables inside it are counted, as Compose does.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1;
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'}' {
            open -= 1;
            if open == 0 {
                return Some(at);
            }
        } else if bytes[at..].starts_with(b"${") {
            open += 1;
            at += 1;
        }
        at += 1;
    }
    None
}
