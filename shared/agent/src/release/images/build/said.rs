//! What the builder's program says.
//!
//! Promise: all of it is logged, and its last lines tell why a build failed; of those, only kinds and numbers are passed on.

use super::super::reference::Reference;
use super::super::registry::{self, Trouble};
use crate::jobs::context::Context;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Mutex, PoisonError};

/// A line of a log is no longer.
const LINE_LIMIT_BYTES: u64 = 8 * 1024;
/// Why a build failed stands in its last lines.
const LAST_LINES: usize = 60;

/// What the program said on stderr, which is where the builder's progress goes.
#[derive(Debug, Default)]
pub struct Said(Mutex<Heard>);

#[derive(Debug, Default)]
struct Heard {
    last: VecDeque<String>,
    steps: u64,
}

impl Said {
    /// A line.
    pub fn hear(&self, context: &Context, line: &str) {
        let step = line
            .strip_prefix('#')
            .and_then(|rest| rest.split_once(' '))
            .map(|(_, said)| said);
        // Docker 20.10 names each step by its digest too, which tells people nothing.
        if step.is_some_and(|said| said.starts_with("sha256:") && said.len() == 71) {
            return;
        }
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if step.is_some_and(|said| said.starts_with("DONE") || said == "CACHED") {
            heard.steps += 1;
            context.progress(heard.steps, None, "steps");
        }
        heard.last.push_back(line.to_string());
        if heard.last.len() > LAST_LINES {
            heard.last.pop_front();
        }
        drop(heard);
        // A step's own output comes with its number and does not say which stream it came from.
        let is_complaint = step.map_or(!line.is_empty(), |said| said.starts_with("ERROR"));
        if is_complaint {
            context.complain(line)
        } else {
            context.log(line)
        }
    }

    /// The last lines.
    pub fn last(&self) -> Vec<String> {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.last.iter().cloned().collect()
    }
}

/// `… did not complete successfully: exit code: 3`, or `executor failed running […]: exit code: 3`.
pub fn exit_code(line: &str) -> Option<i64> {
    if !line.contains("failed to solve") && !line.contains("ERROR") {
        return None;
    }
    let (_, after) = line.rsplit_once("exit code: ")?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// A base image that was not had, and why.
pub fn base_trouble(last: &[String]) -> Option<(Reference, Trouble)> {
    let named = last
        .iter()
        .rev()
        .find_map(|line| line.rsplit_once("load metadata for ").map(|(_, rest)| rest))?;
    let reference = Reference::parse(named.trim().trim_end_matches(':')).ok()?;
    let said = last
        .iter()
        .rev()
        .find(|line| line.contains("failed to solve"))?;
    let trouble = registry::trouble_of(&reference, said)?;
    Some((reference, trouble))
}

/// Each line of what is printed, however long the program makes it.
pub fn lines(from: impl Read, mut on: impl FnMut(&str)) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut from)
            .take(LINE_LIMIT_BYTES)
            .read_until(b'\n', &mut line)
        {
            Ok(0) | Err(_) => return,
            Ok(_) => on(String::from_utf8_lossy(&line).trim_end()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Docker 20.10 and 28 say it.
    #[test]
    fn the_exit_code_is_that_of_the_step() {
        for line in [
            "executor failed running [/bin/sh -c echo exit code: 9; exit 3]: exit code: 3",
            "ERROR: failed to solve: process \"/bin/sh -c exit 3\" did not complete successfully: exit code: 3",
        ] {
            let line = format!("failed to solve: {line}");
            assert_eq!(exit_code(&line), Some(3), "{line}");
        }
        assert_eq!(exit_code("#5 0.1 exit code: 4"), None);
    }

    #[test]
    fn a_base_image_that_is_not_there_is_named() {
        let last = [
            "#3 [internal] load metadata for registry.test:5000/lab/nope:1",
            "#3 ERROR: registry.test:5000/lab/nope:1: not found",
            " > [internal] load metadata for registry.test:5000/lab/nope:1:",
            "ERROR: failed to solve: registry.test:5000/lab/nope:1: not found",
        ];
        let last: Vec<String> = last.iter().map(ToString::to_string).collect();
        let (base, trouble) = base_trouble(&last).expect("told");
        assert_eq!(
            (base.tagged().as_str(), trouble),
            ("registry.test:5000/lab/nope:1", Trouble::NotFound)
        );
    }
}
