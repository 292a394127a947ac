//! Children: their words are heard, their bytes come out as they went in, and a cancel kills them.

use crate::world::World;
use agent::jobs::child::{Child, Word};
use agent::jobs::line::Verdict;
use agent::run::{self, As};
use serde_json::json;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

fn program(name: &str, arguments: &[&str]) -> std::process::Command {
    let mut command = run::command(&run::find(name).expect("every host has it"), As::Root);
    command.args(arguments);
    command
}

#[test]
fn what_goes_in_comes_out_and_words_are_heard() {
    let world = World::new();
    let line = world.line();
    let mut child = Child::spawn(&line, program("tee", &["/dev/stderr"])).expect("started");
    let (mut input, mut output) = (child.input().expect("one"), child.output().expect("one"));
    let mut words = Vec::new();
    for word in [
        Word::Log("from the child".into()),
        Word::Done(json!({ "entries": 3 })),
    ] {
        words.extend(serde_json::to_vec(&word).expect("written"));
        words.push(b'\n');
    }
    words.extend(b"no word \xff\n");
    input.write_all(&words).expect("written");
    input.shutdown(Shutdown::Write).expect("shut");
    let mut out = Vec::new();
    output.read_to_end(&mut out).expect("read");
    assert_eq!(out, words);
    assert_eq!(child.finish().expect("done"), json!({ "entries": 3 }));
    let said: Vec<String> = line
        .last_lines()
        .into_iter()
        .map(|line| line.text)
        .collect();
    assert_eq!(said, ["from the child", "no word \u{fffd}"]);
}

#[test]
fn a_child_that_ends_without_a_word_is_an_error() {
    let world = World::new();
    let child = Child::spawn(&world.line(), program("true", &[])).expect("started");
    assert_eq!(child.finish().expect_err("lost").code, "child_lost");
}

#[test]
fn a_cancel_kills_the_child_while_its_output_is_read() {
    let world = World::new();
    let line = world.line();
    let mut child = Child::spawn(&line, program("sleep", &["600"])).expect("started");
    let mut output = child.output().expect("one");
    let begin = Instant::now();
    line.decide(Verdict::Cancelled);
    output.read_to_end(&mut Vec::new()).expect("read");
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(child.finish().expect_err("stopped").code, "cancelled");
    assert!(Child::spawn(&line, program("sleep", &["600"])).is_err());
}

#[test]
fn a_child_gets_no_file_of_ours_but_its_three_ways_to_speak() {
    let world = World::new();
    let line = world.line();
    let _held = line.clone();
    let _open = std::fs::File::open("/etc/passwd").expect("open");
    let mut child = Child::spawn(&line, program("ls", &["-l", "/proc/self/fd"])).expect("started");
    let mut listed = String::new();
    let mut output = child.output().expect("one");
    output.read_to_string(&mut listed).expect("read");
    assert!(!listed.contains("/etc/passwd"), "{listed}");
    // Its stdin; those of the server and its clients stay here.
    assert_eq!(listed.matches("socket:").count(), 1, "{listed}");
}
