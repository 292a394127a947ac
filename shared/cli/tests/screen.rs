//! A deployment that is followed on a terminal.
//!
//! The rule held: the picture moves in place while it is followed, and what stands there at the end is whole and stands there once.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod stage;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use serde_json::{Value, json};
use stage::{DEPLOYMENT, Stage, deployment, step};
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Because a test that hangs should say so soon.
const LIMIT: Duration = Duration::from_secs(20);
const SIZE: PtySize = PtySize {
    rows: 24,
    cols: 120,
    pixel_width: 0,
    pixel_height: 0,
};

/// The program on a terminal.
struct Terminal {
    screen: Arc<Mutex<vt100::Parser>>,
    program: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    _terminal: Box<dyn MasterPty + Send>,
}

impl Terminal {
    fn running(stage: &Stage, arguments: &[&str]) -> Self {
        let pair = native_pty_system().openpty(SIZE).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_triphammer"));
        command.args(arguments);
        command.env_clear();
        command.env("TERM", "xterm-256color");
        command.env("TZ", "UTC");
        command.env("TRIPHAMMER_CONFIG", stage.no_settings());
        command.env("TRIPHAMMER_API_URL", &stage.address);
        command.env("TRIPHAMMER_TOKEN", "th_canary");
        let program = pair.slave.spawn_command(command).unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(SIZE.rows, SIZE.cols, 0)));
        let mut output = pair.master.try_clone_reader().unwrap();
        let drawn = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                drawn.lock().unwrap().process(&bytes[..count]);
            }
        });
        Self {
            screen,
            program,
            keys: pair.master.take_writer().unwrap(),
            _terminal: pair.master,
        }
    }

    fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// What stands there once this does.
    fn with(&self, words: &str) -> String {
        let began = Instant::now();
        loop {
            let text = self.text();
            if text.contains(words) {
                return text;
            }
            assert!(began.elapsed() < LIMIT, "no {words:?}:\n{text}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }
}

fn copying(done: u64) -> Value {
    let mut one = step("one", "running");
    one["progress"] = json!({"done": done, "total": 100, "unit": "files", "message": "Copying"});
    one
}

fn followed() -> (Stage, Terminal) {
    let stage = Stage::new();
    let steps = [copying(50), step("two", "queued")];
    stage.looks([deployment(1, "running", "active", &steps)]);
    stage.live([]);
    let terminal = Terminal::running(&stage, &["deployments", "show", DEPLOYMENT, "--follow"]);
    (stage, terminal)
}

#[test]
fn a_bar_moves_with_each_event_and_the_last_picture_stands_there_once() {
    let (stage, mut terminal) = followed();
    let half = terminal.with("██████████░░░░░░░░░░  50%  50 of 100 files  Copying");
    assert!(half.contains("· Title of two"), "{half}");
    stage.live([deployment(
        2,
        "running",
        "active",
        &[copying(75), step("two", "queued")],
    )]);
    let more = terminal.with("███████████████░░░░░  75%  75 of 100 files  Copying");
    assert!(!more.contains("50%"), "{more}");
    stage.live([deployment(
        3,
        "completed",
        "settled",
        &[step("one", "completed"), step("two", "completed")],
    )]);
    let end = terminal.with("✓ Create site shop completed in 12.3s");
    assert_eq!(terminal.program.wait().unwrap().exit_code(), 0);
    let lines: Vec<_> = end.lines().map(str::trim_end).collect();
    assert_eq!(
        lines,
        [
            &format!("Create site shop  completed  13.0s  {DEPLOYMENT}"),
            "  ✓ Title of one    1.2s  what it did",
            "  ✓ Title of two    1.2s  what it did",
            "",
            "✓ Create site shop completed in 12.3s",
        ]
    );
    let looks = stage.lines().len();
    assert_eq!(looks, 2, "a ticket and one look");
}

#[test]
fn ctrl_c_leaves_the_deployment_alone_and_says_how_to_come_back() {
    let (stage, mut terminal) = followed();
    terminal.with("50%");
    terminal.press("\u{3}");
    let left = terminal.with("triphammer deployments cancel");
    assert_eq!(terminal.program.wait().unwrap().exit_code(), 130);
    assert!(
        left.contains("You stopped watching; the deployment goes on."),
        "{left}"
    );
    let again = format!("look again:  triphammer deployments show {DEPLOYMENT} --follow");
    assert!(left.contains(&again), "{left}");
    assert!(
        !stage.lines().iter().any(|line| line.ends_with("/cancel")),
        "nothing was cancelled"
    );
}
