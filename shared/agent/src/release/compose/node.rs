//! A Compose file as a plain tree, and the tree as a text that every YAML parser reads alike.
//!
//! Promise: only the written tree is given to Compose, so that nothing in the original can mean one thing here and another
//! one there.

/// A node's own share of the cost, so that empty ones are not free.
pub const NODE_COST_BYTES: usize = 32;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// Text, number, truth or nothing.
    Scalar(Scalar),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<(String, Node)>),
}

/// A leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// Its text, without quotes.
    pub text: String,
    /// Was it written without quotes? Then it may be a number, a truth or nothing.
    pub plain: bool,
}

impl Node {
    /// Quoted text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Scalar(Scalar {
            text: text.into(),
            plain: false,
        })
    }

    /// Of a mapping.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entries()
            .iter()
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// Of a mapping; of anything else none.
    pub fn entries(&self) -> &[(String, Node)] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Of a sequence; a single text is a sequence of one, as Compose has it in most places.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::List(items) => items.iter().filter_map(Node::as_text).collect(),
            other => other.as_text().into_iter().collect(),
        }
    }

    /// A leaf's text, unless it is nothing.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Scalar(scalar) if !self.is_nothing() => Some(&scalar.text),
            _ => None,
        }
    }

    /// `null`, `~`, an empty value.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Scalar(Scalar { text, plain: true })
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Nothing, or a collection without entries.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Scalar(_) => self.is_nothing(),
            Self::List(items) => items.is_empty(),
            Self::Map(entries) => entries.is_empty(),
        }
    }

    /// What it takes of [`super::yaml::COST_LIMIT_BYTES`].
    pub fn cost(&self) -> usize {
        NODE_COST_BYTES
            + match self {
                Self::Scalar(scalar) => scalar.text.len(),
                Self::List(items) => items.iter().map(Node::cost).sum(),
                Self::Map(entries) => entries.iter().map(|(k, v)| k.len() + v.cost()).sum(),
            }
    }
}

/// The tree as YAML that is nearly JSON. A `$` in a value is doubled, for Compose reads one as a variable.
pub fn write(node: &Node) -> String {
    let mut text = String::new();
    put(node, &mut text);
    text
}

fn put(node: &Node, text: &mut String) {
    match node {
        // As it was: only Compose's own parser knows whether `0440` or `1_000` is a number.
        Node::Scalar(scalar) if scalar.plain && may_be_no_text(&scalar.text) => {
            text.push_str(if scalar.text.is_empty() {
                "null"
            } else {
                &scalar.text
            });
        }
        Node::Scalar(scalar) => quote(&scalar.text.replace('$', "$$"), text),
        Node::List(items) => {
            text.push('[');
            for item in items {
                put(item, text);
                text.push_str(", ");
            }
            text.push(']');
        }
        Node::Map(entries) => {
            text.push('{');
            for (name, value) in entries {
                quote(name, text);
                text.push_str(": ");
                put(value, text);
                text.push_str(",\n");
            }
            text.push('}');
        }
    }
}

fn may_be_no_text(text: &str) -> bool {
    let words = [
        "", "~", "null", "true", "false", ".inf", "-.inf", "+.inf", ".nan",
    ];
    words.contains(&text.to_ascii_lowercase().as_str())
        || text.bytes().any(|b| b.is_ascii_digit())
            && text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(&b))
}

/// In double quotes, as JSON and YAML both have it. Only what is printable in either stands as it is: other characters are
/// line breaks, or refused, to some parsers.
pub fn quote(value: &str, text: &mut String) {
    text.push('"');
    for letter in value.chars() {
        match letter {
            '"' | '\\' => text.extend(['\\', letter]),
            ' '..='~' | '\u{10000}'.. => text.push(letter),
            _ => text.push_str(&format!("\\u{:04x}", u32::from(letter))),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::super::yaml::parse;
    use super::*;

    #[test]
    fn a_dollar_is_doubled_in_values_and_left_in_names() {
        let text = write(&parse("{a$b: c$d}").expect("parsed"));
        assert_eq!(text.replace('\n', ""), r#"{"a$b": "c$$d",}"#);
    }

    #[test]
    fn every_character_is_written_so_that_it_is_read_again() {
        let text = "\"\\\u{7f}\u{85}\u{2028}\u{feff}\u{1f600}ü\n\t\r\0 #'";
        let node = Node::Map(vec![("a".into(), Node::text(text))]);
        assert!(!write(&node).contains(['ü', '\u{85}', '\u{2028}']));
        assert_eq!(parse(&write(&node)).expect("parsed"), node);
    }
}
