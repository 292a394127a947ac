//! Values of a release, taken out of what programs print.
//!
//! Promise: no value of at least six characters passes, nor a line of one; shorter ones are words that logs are full of.

use std::collections::BTreeMap;

/// Shorter values are `true`, `80` or `admin`: without them nothing of a log could be read.
const LEAST_CHARACTERS: usize = 6;
/// What stands in a value's place.
const STARS: &str = "***";
/// A line of a log; longer ones are cut.
const LINE_LIMIT_BYTES: usize = 2000;

/// What is not to be seen.
#[derive(Clone, Default)]
pub struct Mask {
    /// Longest first: a value may hold another.
    values: Vec<String>,
}

impl Mask {
    /// Of these values.
    pub fn of(values: &BTreeMap<String, String>) -> Self {
        let whole = values.values().map(String::as_str);
        let lines = values
            .values()
            .flat_map(|value| value.lines())
            .map(str::trim);
        let mut values: Vec<String> = whole
            .chain(lines)
            .filter(|value| value.chars().count() >= LEAST_CHARACTERS)
            .map(str::to_string)
            .collect();
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Self { values }
    }

    /// One line for people: no value, no control characters, not too long.
    pub fn line(&self, text: &str) -> String {
        let mut text = text.to_string();
        for value in &self.values {
            text = text.replace(value, STARS);
        }
        let plain: String = without_colours(&text)
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        crate::fault::first_bytes(plain.trim_end(), LINE_LIMIT_BYTES)
    }
}

/// Without the escape sequences that colour a terminal.
fn without_colours(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\u{1b}' {
            plain.push(c);
        } else if rest.clone().next() == Some('[') {
            // To the letter that ends it.
            rest.next();
            rest.by_ref().find(|c| ('@'..='~').contains(c));
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(values: &[&str]) -> Mask {
        let named = values.iter().enumerate();
        Mask::of(
            &named
                .map(|(n, v)| (format!("V{n}"), v.to_string()))
                .collect(),
        )
    }

    #[test]
    fn a_value_is_masked_also_inside_of_another_and_line_by_line() {
        let mask = mask(&["hunter22", "xhunter22x", "-----BEGIN\nabcdefgh\n", "80"]);
        assert_eq!(mask.line("pw=hunter22 xhunter22x 80"), "pw=*** *** 80");
        assert_eq!(mask.line("abcdefgh"), "***");
    }

    #[test]
    fn a_line_brings_no_commands_for_a_terminal() {
        assert_eq!(mask(&[]).line("\u{1b}[31mred\u{1b}[0m\u{7}\r\n"), "red");
        assert_eq!(mask(&[]).line(&"ü".repeat(5000)).len(), LINE_LIMIT_BYTES);
    }
}
