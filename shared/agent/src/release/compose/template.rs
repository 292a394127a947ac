//! Variables in a Compose file's texts, filled in.
//!
//! Promise: done here and not by Compose, so that a value goes to Compose as a text and never as a variable of
//! the environment, where its name could have a meaning to a program. A name is told, a value never.

use super::grammar::{self, Part, What};
use super::node::{Node, Scalar};
use super::yaml;
use crate::fault::Result;
use protocol::release::{ValueFrom, Variable};
use std::collections::{BTreeMap, BTreeSet};

/// The one variable that Compose itself gives.
const PROJECT: &str = "COMPOSE_PROJECT_NAME";

/// Fills variables in, and remembers which there were.
pub struct Filling<'a> {
    given: &'a BTreeMap<String, String>,
    project: &'a str,
    seen: BTreeSet<String>,
    blank: BTreeSet<String>,
    left: usize,
}

/// What could not be filled in, and where: the names of the way there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// From the outermost name on.
    pub path: Vec<String>,
    /// The variable that is demanded and has no value; none when it is no template at all.
    pub demanded: Option<String>,
}

impl<'a> Filling<'a> {
    /// With the environment's values.
    pub fn new(given: &'a BTreeMap<String, String>, project: &'a str) -> Self {
        Self {
            given,
            project,
            seen: BTreeSet::new(),
            blank: BTreeSet::new(),
            left: yaml::COST_LIMIT_BYTES,
        }
    }

    /// Where each variable's value came from.
    pub fn variables(&self) -> Vec<Variable> {
        self.seen
            .iter()
            .map(|name| Variable {
                name: name.clone(),
                from: if self.given.contains_key(name) {
                    ValueFrom::Given
                } else if self.blank.contains(name) {
                    ValueFrom::Missing
                } else {
                    ValueFrom::Default
                },
            })
            .collect()
    }

    /// Given, and not used by the file.
    pub fn unused(&self) -> Vec<&str> {
        self.given
            .keys()
            .filter(|name| !self.seen.contains(*name))
            .map(String::as_str)
            .collect()
    }

    /// All texts of a tree; names are left as they are, as Compose does. What is wrong is added to `problems`.
    pub fn tree(
        &mut self,
        node: &Node,
        path: &mut Vec<String>,
        problems: &mut Vec<Problem>,
    ) -> Result<Node> {
        Ok(match node {
            Node::Scalar(scalar) => self.scalar(scalar, path, problems)?,
            Node::List(items) => {
                let mut filled = Vec::with_capacity(items.len());
                for item in items {
                    filled.push(self.tree(item, path, problems)?);
                }
                Node::List(filled)
            }
            Node::Map(entries) => {
                let mut filled = Vec::with_capacity(entries.len());
                for (name, value) in entries {
                    path.push(name.clone());
                    filled.push((name.clone(), self.tree(value, path, problems)?));
                    path.pop();
                }
                Node::Map(filled)
            }
        })
    }

    /// A name that stands for its own value: `environment: [NAME]`.
    pub fn passed(&mut self, name: &str) -> Option<String> {
        self.seen.insert(name.to_string());
        let value = self.value(name).map(str::to_string);
        if value.is_none() {
            self.blank.insert(name.to_string());
        }
        value
    }

    fn scalar(
        &mut self,
        scalar: &Scalar,
        path: &[String],
        problems: &mut Vec<Problem>,
    ) -> Result<Node> {
        if !scalar.text.contains('$') {
            return Ok(Node::Scalar(scalar.clone()));
        }
        let mut problem = |demanded| {
            problems.push(Problem {
                path: path.to_vec(),
                demanded,
            });
        };
        let Some(parts) = grammar::parse(&scalar.text) else {
            problem(None);
            return Ok(Node::text(""));
        };
        self.note(&parts);
        let mut text = String::new();
        self.fill(&parts, &mut text, &mut |name| problem(Some(name)))?;
        Ok(Node::text(text))
    }

    fn note(&mut self, parts: &[Part]) {
        for part in parts {
            if let Part::Variable(name, otherwise) = part {
                self.seen.insert(name.clone());
                if let Some(otherwise) = otherwise {
                    self.note(&otherwise.parts);
                }
            }
        }
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        let given = self.given.get(name).map(String::as_str);
        given.or((name == PROJECT).then_some(self.project))
    }

    fn add(&mut self, more: &str, text: &mut String) -> Result<()> {
        self.left = self
            .left
            .checked_sub(more.len())
            .ok_or_else(yaml::too_large)?;
        text.push_str(more);
        Ok(())
    }

    fn fill(
        &mut self,
        parts: &[Part],
        text: &mut String,
        demanded: &mut dyn FnMut(String),
    ) -> Result<()> {
        for part in parts {
            let (name, otherwise) = match part {
                Part::Text(more) => {
                    self.add(more, text)?;
                    continue;
                }
                Part::Variable(name, otherwise) => (name, otherwise),
            };
            let value = self.value(name);
            let Some(otherwise) = otherwise else {
                if value.is_none() {
                    self.blank.insert(name.clone());
                }
                self.add(value.unwrap_or_default(), text)?;
                continue;
            };
            let there = value.filter(|value| !(otherwise.or_empty && value.is_empty()));
            match (otherwise.what, there) {
                (What::Default, None) | (What::Alternative, Some(_)) => {
                    self.fill(&otherwise.parts, text, demanded)?;
                }
                (What::Alternative, None) => {}
                (What::Default | What::Demand, Some(value)) => self.add(value, text)?,
                (What::Demand, None) => demanded(name.clone()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> BTreeMap<String, String> {
        [("A", "a"), ("E", ""), ("D", "$B ${C} $$")]
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .into()
    }

    fn filled(text: &str) -> std::result::Result<String, Option<String>> {
        let given = given();
        let mut problems = Vec::new();
        let node = Filling::new(&given, "shop")
            .tree(&Node::text(text), &mut Vec::new(), &mut problems)
            .expect("small enough");
        match problems.pop() {
            None => Ok(node.as_text().unwrap_or_default().to_string()),
            Some(problem) => Err(problem.demanded),
        }
    }

    #[test]
    fn every_form_is_filled_as_compose_does() {
        for (text, wanted) in [
            ("no", "no"),
            ("$A-${A}", "a-a"),
            ("$AB", ""),
            ("$$A $$", "$A $"),
            ("${B}", ""),
            ("${E:-d}${E-d}${B:-d}${B-d}${A:-d}${A-d}", "dddaa"),
            ("${E:+y}|${E+y}|${B:+y}|${B+y}|${A:+y}|${A+y}", "|y|||y|y"),
            ("${A:?m}${A?m}${E?m}", "aa"),
            ("${B:-${A}}", "a"),
            ("${B:-${C:-${A}x}y}z", "axyz"),
            ("${A:-${B:?never asked}}", "a"),
            ("${B:-a:-b?c}", "a:-b?c"),
            ("${B-}", ""),
            ("${D}", "$B ${C} $$"),
            ("${B:-$$}", "$"),
            ("${COMPOSE_PROJECT_NAME}_x", "shop_x"),
            ("}{", "}{"),
            ("$ a$ ^/b$ $1 $(pwd) $-$", "$ a$ ^/b$ $1 $(pwd) $-$"),
            ("${B:-a$}b", "a$b"),
            ("${B:-$$${A}}", "$a"),
            ("${A:-$${B}}z", "az"),
            ("${B:-{\"x\":1}}", "{\"x\":1}"),
        ] {
            assert_eq!(filled(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for text in [
            "${",
            "${}",
            "${A",
            "${1}",
            "${A:}",
            "${A:x}",
            "${A/x/y}",
            "${A b}",
            "${A.b}",
            "${B:-${}}",
            "$ ${A",
        ] {
            assert_eq!(filled(text), Err(None), "{text}");
        }
        assert_eq!(filled(&"${B:-".repeat(1000)), Err(None));
        let deep = format!("{}x{}", "${B:-".repeat(500), "}".repeat(500));
        assert_eq!(filled(&deep), Err(None));
    }

    #[test]
    fn a_demand_is_told_by_its_name() {
        assert_eq!(filled("${B:?hush $A}"), Err(Some("B".into())));
        assert_eq!(filled("${E:?}"), Err(Some("E".into())));
        assert_eq!(filled("${B?}"), Err(Some("B".into())));
    }

    #[test]
    fn each_variable_says_where_its_value_came_from() {
        let given = given();
        let mut filling = Filling::new(&given, "shop");
        let text = Node::text("$A ${B:-x} ${C} ${F:-${G}} ${A:-${H}}");
        filling
            .tree(&text, &mut Vec::new(), &mut Vec::new())
            .expect("small");
        let seen: Vec<_> = filling
            .variables()
            .into_iter()
            .map(|variable| (variable.name, variable.from))
            .collect();
        use ValueFrom::{Default, Given, Missing};
        let wanted = [
            ("A", Given),
            ("B", Default),
            ("C", Missing),
            ("F", Default),
            ("G", Missing),
            ("H", Default),
        ];
        assert_eq!(seen, wanted.map(|(name, from)| (name.to_string(), from)));
        assert_eq!(filling.unused(), ["D", "E"]);
    }

    #[test]
    fn values_that_multiply_end_early() {
        let given = [("A".to_string(), "x".repeat(100_000))].into();
        let text = Node::text("$A".repeat(1000));
        let error = Filling::new(&given, "shop")
            .tree(&text, &mut Vec::new(), &mut Vec::new())
            .expect_err("refused");
        assert_eq!(error.code, "compose_too_large");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[$A-D{}:?+a-]{0,24}") {
            let _ = filled(&text);
        }
    }
}
