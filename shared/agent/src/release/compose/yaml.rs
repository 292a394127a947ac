//! A Compose file's YAML as a plain tree, and the tree as a text that every YAML parser reads alike.
//!
//! Promise: anchors and merge keys are resolved, a name stands once in a mapping, and what the tree costs is bounded. Only
//! the written tree is given to Compose, so that nothing in the original can mean one thing here and another one there.

use crate::fault::{Result, refused};
use saphyr_parser::{Event, Parser, ScalarStyle, StrInput, Tag};
use std::borrow::Cow;
use std::collections::HashMap;

/// Compose files of whole data centres stay far below.
const TEXT_LIMIT_BYTES: usize = 256 * 1024;
/// What all nodes may take, aliases resolved and variables filled in: a bomb of aliases ends here.
pub const COST_LIMIT_BYTES: usize = 8 * 1024 * 1024;
/// A node's own share of the cost, so that empty ones are not free.
const NODE_COST_BYTES: usize = 32;
/// The Compose specification nests some ten levels.
const DEPTH_LIMIT: usize = 64;

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

    fn cost(&self) -> usize {
        NODE_COST_BYTES
            + match self {
                Self::Scalar(scalar) => scalar.text.len(),
                Self::List(items) => items.iter().map(Node::cost).sum(),
                Self::Map(entries) => entries.iter().map(|(k, v)| k.len() + v.cost()).sum(),
            }
    }
}

/// What is not a Compose file is refused, told by its line.
pub fn invalid(message: impl std::fmt::Display) -> protocol::AgentError {
    refused(
        "compose_invalid",
        format!("The Compose file is not valid: {message}"),
    )
}

/// The file costs more than it may.
pub fn too_large() -> protocol::AgentError {
    refused(
        "compose_too_large",
        "The Compose file is too large: at most 256 KiB of text, and 8 MiB with its aliases and variables filled in.",
    )
}

/// The one document of a text.
pub fn parse(text: &str) -> Result<Node> {
    if text.len() > TEXT_LIMIT_BYTES {
        return Err(too_large());
    }
    let mut reader = Reader {
        events: Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text)),
        anchors: HashMap::new(),
        left: COST_LIMIT_BYTES,
    };
    let root = loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Err(invalid("it is empty.")),
            (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
            (event, line) => break reader.node(event, line, 0)?,
        }
    };
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => break,
            (Event::DocumentEnd | Event::Nothing, _) => {}
            (_, line) => {
                return Err(invalid(format!(
                    "line {line} begins a second document. Give one."
                )));
            }
        }
    }
    if !matches!(root, Node::Map(_)) {
        return Err(invalid("its outermost level must be a mapping."));
    }
    Ok(root)
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    left: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, usize)> {
        match self.events.next_event() {
            Some(Ok((event, span))) => Ok((event, span.start.line())),
            // The parser's words may quote the file, which may hold a password.
            Some(Err(error)) => Err(invalid(format!(
                "line {}, column {} is no YAML. Look at its quotes, colons and indentation.",
                error.marker().line(),
                error.marker().col() + 1
            ))),
            None => Ok((Event::StreamEnd, 0)),
        }
    }

    fn spend(&mut self, cost: usize) -> Result<()> {
        self.left = self.left.checked_sub(cost).ok_or_else(too_large)?;
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, line: usize, depth: usize) -> Result<Node> {
        if depth > DEPTH_LIMIT {
            return Err(invalid(format!("line {line} is nested too deeply.")));
        }
        let (node, anchor) = match event {
            Event::Alias(anchor) => {
                // Unknown while its own anchor is still open: it would hold itself.
                let node = self.anchors.get(&anchor).cloned().ok_or_else(|| {
                    invalid(format!(
                        "line {line} has an alias inside of what it stands for."
                    ))
                })?;
                self.spend(node.cost())?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.spend(NODE_COST_BYTES + text.len())?;
                let plain = style == ScalarStyle::Plain && !is_text(tag.as_deref(), line)?;
                let text = text.into_owned();
                (Node::Scalar(Scalar { text, plain }), anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                collection(tag, "seq", line)?;
                self.spend(NODE_COST_BYTES)?;
                (self.list(depth)?, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                collection(tag, "map", line)?;
                self.spend(NODE_COST_BYTES)?;
                (self.map(depth)?, anchor)
            }
            _ => return Err(invalid(format!("line {line} ends too early."))),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Node> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Node::List(items)),
                (event, line) => items.push(self.node(event, line, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Node> {
        let (mut own, mut merged) = (Vec::<(String, Node)>::new(), Vec::new());
        let mut known = std::collections::HashSet::new();
        loop {
            let (event, line) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let Node::Scalar(name) = self.node(event, line, depth + 1)? else {
                return Err(invalid(format!(
                    "line {line} has a list or a mapping as a name."
                )));
            };
            let (event, at) = self.next()?;
            let value = self.node(event, at, depth + 1)?;
            if name.plain && name.text == "<<" {
                merged.extend(sources(value, line)?);
            } else if known.insert(name.text.clone()) {
                self.spend(name.text.len())?;
                own.push((name.text, value));
            } else {
                return Err(invalid(format!(
                    "line {line} gives the same name a second time."
                )));
            }
        }
        // What is written in the mapping itself wins, then what is merged first.
        for (name, value) in merged {
            if known.insert(name.clone()) {
                own.push((name, value));
            }
        }
        Ok(Node::Map(own))
    }
}

fn sources(value: Node, line: usize) -> Result<Vec<(String, Node)>> {
    let maps = match value {
        Node::List(items) => items,
        other => vec![other],
    };
    let mut entries = Vec::new();
    for map in maps {
        match map {
            Node::Map(more) => entries.extend(more),
            _ => {
                return Err(invalid(format!(
                    "line {line} merges something that is no mapping."
                )));
            }
        }
    }
    Ok(entries)
}

/// Does the tag say that a plain scalar is text all the same?
fn is_text(tag: Option<&Tag>, line: usize) -> Result<bool> {
    match tag {
        None => Ok(false),
        Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => Ok(true),
        Some(tag) if tag.is_yaml_core_schema() => match tag.suffix.as_str() {
            "str" => Ok(true),
            "int" | "float" | "bool" | "null" => Ok(false),
            _ => Err(unknown_tag(line)),
        },
        Some(_) => Err(unknown_tag(line)),
    }
}

fn collection(tag: Option<Cow<'_, Tag>>, name: &str, line: usize) -> Result<()> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == name) => Err(unknown_tag(line)),
        _ => Ok(()),
    }
}

fn unknown_tag(line: usize) -> protocol::AgentError {
    invalid(format!(
        "line {line} has a tag such as !reset, which has no meaning in a file of its own. Remove it."
    ))
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
    use super::*;

    fn written(text: &str) -> String {
        write(&parse(text).expect("parsed")).replace('\n', "")
    }

    fn refusal(text: &str) -> String {
        parse(text).expect_err("refused").message
    }

    #[test]
    fn anchors_and_merge_keys_are_resolved_and_the_nearest_wins() {
        let text = "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz: {<<: [*x, *y], a: 9}\n";
        assert!(
            written(text).ends_with(r#""z": {"a": 9,"b": 2,"c": 4,},}"#),
            "{}",
            written(text)
        );
        assert!(written("a: &a [1]\nb: *a").contains(r#""b": [1, ]"#));
        assert!(
            written("a: {\"<<\": {b: 1}}").contains("<<"),
            "quoted is a name"
        );
    }

    #[test]
    fn numbers_stay_as_they_were_written_and_text_stays_text() {
        assert_eq!(
            written(
                "{a: 0440, b: '0440', c: 1_000, d: true, e: 'true', f: , g: a-1, h: 22:22, i: 1.5e3, j: !!str 7}"
            ),
            r#"{"a": 0440,"b": "0440","c": 1_000,"d": true,"e": "true","f": null,"g": "a-1","h": "22:22","i": 1.5e3,"j": "7",}"#
        );
    }

    #[test]
    fn a_dollar_is_doubled_in_values_and_left_in_names() {
        assert_eq!(written("{a$b: c$d}"), r#"{"a$b": "c$$d",}"#);
    }

    #[test]
    fn every_character_is_written_so_that_it_is_read_again() {
        let text = "\"\\\u{7f}\u{85}\u{2028}\u{feff}\u{1f600}ü\n\t\r\0 #'";
        let node = Node::Map(vec![("a".into(), Node::text(text))]);
        assert!(!write(&node).contains(['ü', '\u{85}', '\u{2028}']));
        assert_eq!(parse(&write(&node)).expect("parsed"), node);
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        assert!(refusal("a: 1\nb: 2\na: 3").contains("line 3"));
        assert!(refusal("a: 1\n---\nb: 2").contains("second document"));
        assert!(refusal("a: !reset []").contains("tag"));
        assert!(refusal("a: !!binary aGk=").contains("tag"));
        assert!(refusal("{[a]: 1}").contains("as a name"));
        assert!(refusal("a: {<<: [1]}").contains("no mapping"));
        assert!(refusal("- a").contains("outermost"));
        assert!(refusal("").contains("empty"));
        assert!(refusal("# only this").contains("empty"));
    }

    #[test]
    fn an_alias_of_what_it_stands_in_is_refused() {
        assert!(parse("a: &a [*a]").is_err());
        assert!(parse("a: *nowhere").is_err());
    }

    #[test]
    fn a_bomb_of_aliases_ends_early() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..30 {
            let last = level - 1;
            let many = vec![format!("*a{last}"); 9].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{many}]\n"));
        }
        assert_eq!(parse(&text).expect_err("refused").code, "compose_too_large");
        let long = format!(
            "a: &a {}\nb: [{}]",
            "x".repeat(100_000),
            "*a, ".repeat(1000)
        );
        assert_eq!(parse(&long).expect_err("refused").code, "compose_too_large");
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&format!("a: {}", "[".repeat(1000))).is_err());
    }

    #[test]
    fn a_broken_file_is_told_by_its_line_and_not_by_its_words() {
        let error = refusal("a: 1\nb: \"hush\nc: [");
        assert!(
            error.contains("line ") && !error.contains("hush"),
            "{error}"
        );
    }
}
