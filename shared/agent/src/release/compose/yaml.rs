//! A Compose file's YAML, read.
//!
//! Promise: anchors and merge keys are resolved, a name stands once in a mapping, and what the tree costs is bounded.

use super::node::{NODE_COST_BYTES, Node, Scalar};
use crate::fault::{Result, refused};
use saphyr_parser::{Event, Parser, ScalarStyle, StrInput, Tag};
use std::borrow::Cow;
use std::collections::HashMap;

/// Compose files of whole data centres stay far below.
const TEXT_LIMIT_BYTES: usize = 256 * 1024;
/// What all nodes may take, aliases resolved and variables filled in: a bomb of aliases ends here.
pub const COST_LIMIT_BYTES: usize = 8 * 1024 * 1024;
/// The Compose specification nests some ten levels.
const DEPTH_LIMIT: usize = 64;

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

#[cfg(test)]
mod tests {
    use super::super::node::write;
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
