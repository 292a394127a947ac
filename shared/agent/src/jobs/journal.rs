//! What a job logs, until the callback has taken it.
//!
//! Promise: bounded, in lines and in all; what had to be left out is said. A line keeps its number however often it is
//! sent.

use crate::fault::first_bytes;
use protocol::job::{LOG_LIMIT_BYTES, LogLine, Stream};
use std::collections::VecDeque;

/// As the protocol says.
const LINE_LIMIT_BYTES: usize = 8 * 1024;
/// What waits in memory while the callback is away: an hour of a talkative job.
const WAITING_LIMIT_BYTES: usize = 4 * 1024 * 1024;
/// A line's number, time and stream as JSON.
const LINE_COST_BYTES: usize = 96;

/// The lines that wait.
#[derive(Debug)]
pub struct Journal {
    waiting: VecDeque<LogLine>,
    waiting_bytes: usize,
    next: u64,
    taken: u64,
    left_out: u64,
    full: bool,
}

impl Journal {
    /// Whose first line has this number.
    pub fn from(number: u64) -> Self {
        Self {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            next: number,
            taken: 0,
            left_out: 0,
            full: false,
        }
    }

    /// Add a line, or several when it holds line ends.
    pub fn push(&mut self, at_ms: i64, stream: Stream, text: &str) {
        for line in text.lines() {
            self.line(at_ms, stream, line);
        }
    }

    fn line(&mut self, at_ms: i64, stream: Stream, text: &str) {
        if self.full {
            return;
        }
        if self.taken >= LOG_LIMIT_BYTES {
            return self.close(at_ms);
        }
        if self.waiting_bytes >= WAITING_LIMIT_BYTES {
            self.left_out += 1;
            return;
        }
        if self.left_out > 0 {
            let said = format!("truncated: {} lines were left out here", self.left_out);
            self.left_out = 0;
            self.put(at_ms, Stream::Err, said);
        }
        let cut = if text.len() > LINE_LIMIT_BYTES {
            first_bytes(text, LINE_LIMIT_BYTES - 4) + " ..."
        } else {
            text.to_string()
        };
        self.put(at_ms, stream, cut);
    }

    fn put(&mut self, at_ms: i64, stream: Stream, text: String) {
        self.taken += text.len() as u64;
        let line = LogLine {
            number: self.next,
            at_ms,
            stream,
            text,
        };
        self.next += 1;
        self.waiting_bytes += weight(&line);
        self.waiting.push_back(line);
    }

    /// No more is taken: one last line says so.
    pub fn close(&mut self, at_ms: i64) {
        if self.full {
            return;
        }
        self.full = true;
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.put(at_ms, Stream::Err, "truncated".into());
    }

    /// The oldest lines, as many as weigh no more than this, but at least one.
    pub fn first(&self, limit: usize) -> Vec<LogLine> {
        let mut bytes = 0;
        let fits = |line: &&LogLine| {
            let before = bytes;
            bytes += weight(line);
            before == 0 || bytes <= limit
        };
        self.waiting.iter().take_while(fits).cloned().collect()
    }

    /// Lines up to this number were heard.
    pub fn heard(&mut self, number: u64) {
        while self
            .waiting
            .front()
            .is_some_and(|line| line.number <= number)
        {
            if let Some(line) = self.waiting.pop_front() {
                self.waiting_bytes -= weight(&line);
            }
        }
    }

    /// Take the newest lines out, as many as weigh no more than this.
    pub fn take_last(&mut self, limit: usize) -> Vec<LogLine> {
        let mut last = VecDeque::new();
        let mut bytes = 0;
        while let Some(line) = self.waiting.pop_back() {
            bytes += weight(&line);
            if bytes > limit {
                self.waiting.push_back(line);
                break;
            }
            self.waiting_bytes -= weight(&line);
            last.push_front(line);
        }
        last.into()
    }

    /// What waits, as it weighs in a report.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }
}

/// As JSON: a control character takes six bytes.
fn weight(line: &LogLine) -> usize {
    let escaped = |b: u8| {
        if b < 0x20 || b == 0x7f {
            6
        } else {
            1 + usize::from(b == b'"' || b == b'\\')
        }
    };
    LINE_COST_BYTES + line.text.bytes().map(escaped).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &[LogLine]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn what_was_heard_is_not_said_again_and_the_rest_keeps_its_number() {
        let mut journal = Journal::from(7);
        journal.push(1, Stream::Out, "a\nb\nc");
        assert_eq!(texts(&journal.first(usize::MAX)), ["a", "b", "c"]);
        assert_eq!(journal.first(1).len(), 1);
        journal.heard(8);
        let rest = journal.first(usize::MAX);
        assert_eq!((rest[0].number, texts(&rest)), (9, vec!["c"]));
        journal.heard(9);
        assert_eq!(journal.waiting_bytes(), 0);
    }

    #[test]
    fn a_long_line_is_cut_and_a_heavy_one_is_weighed_as_json() {
        let mut journal = Journal::from(0);
        journal.push(1, Stream::Out, &"\u{1}".repeat(20_000));
        let lines = journal.first(usize::MAX);
        assert!(lines[0].text.len() <= LINE_LIMIT_BYTES && lines[0].text.ends_with(" ..."));
        let json = serde_json::to_string(&lines[0]).expect("written");
        assert!(json.len() <= journal.waiting_bytes());
    }

    #[test]
    fn lines_that_nobody_takes_do_not_fill_the_memory_and_that_is_said() {
        let mut journal = Journal::from(0);
        for _ in 0..2000 {
            journal.push(1, Stream::Out, &"x".repeat(8000));
        }
        assert!(journal.waiting_bytes() < WAITING_LIMIT_BYTES + 2 * LINE_LIMIT_BYTES);
        let held = journal.first(usize::MAX);
        journal.heard(held.last().expect("some").number);
        journal.push(1, Stream::Out, "after");
        let said = journal.first(usize::MAX);
        assert_eq!(
            texts(&said),
            [
                format!("truncated: {} lines were left out here", 2000 - held.len()).as_str(),
                "after"
            ]
        );
    }

    #[test]
    fn a_full_log_gets_one_last_line() {
        let mut journal = Journal::from(0);
        journal.push(1, Stream::Out, "a");
        journal.close(2);
        journal.close(3);
        journal.push(4, Stream::Out, "b");
        assert_eq!(texts(&journal.first(usize::MAX)), ["truncated"]);
    }

    #[test]
    fn the_last_lines_go_with_the_result_in_order() {
        let mut journal = Journal::from(0);
        journal.push(1, Stream::Out, "a\nb\nc");
        assert_eq!(
            texts(&journal.take_last(2 * (LINE_COST_BYTES + 1))),
            ["b", "c"]
        );
        assert_eq!(texts(&journal.first(usize::MAX)), ["a"]);
    }
}
