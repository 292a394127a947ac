//! The command line, as a person has it.
//!
//! Promise: a run has a folder of its own as its home, so that nothing of this machine's is read.

use crate::Stack;
use std::ffi::OsString;
use std::process::{Command, Stdio};

/// What a run came to.
#[derive(Debug)]
pub struct Said {
    /// Its exit code.
    pub code: i32,
    /// Its output.
    pub out: String,
    /// Its notes and errors.
    pub err: String,
}

impl Said {
    /// All that a person sees.
    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// A line of its output that has this word, without what stands around it.
    pub fn line(&self, word: &str) -> &str {
        let found = self.out.lines().find(|line| line.contains(word));
        found
            .unwrap_or_else(|| panic!("no {word:?} in {}", self.all()))
            .trim()
    }
}

/// Somebody at a terminal.
pub struct Person<'a> {
    stack: &'a Stack,
    token: String,
    variables: Vec<(&'static str, String)>,
}

impl Stack {
    /// Who has this token.
    pub fn person(&self, token: &str) -> Person<'_> {
        Person {
            stack: self,
            token: token.to_string(),
            variables: Vec::new(),
        }
    }

    /// The owner.
    pub fn owner(&self) -> Person<'_> {
        self.person(&self.token)
    }
}

impl Person<'_> {
    /// With this in the environment: secrets are given so.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_string()));
        self
    }

    /// Run `triphammer` with these words.
    pub fn runs(&self, words: &[&str]) -> Said {
        let program: OsString =
            std::env::var_os("TRIPHAMMER_E2E_CLI").expect("TRIPHAMMER_E2E_CLI is not set");
        let home = tempfile::tempdir().expect("a folder");
        let ran = Command::new(program)
            .args(words)
            .env_clear()
            .env("HOME", home.path())
            .env("TRIPHAMMER_API_URL", self.stack.api())
            .env("TRIPHAMMER_TOKEN", &self.token)
            .env("NO_COLOR", "1")
            .envs(self.variables.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .output()
            .expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = Said {
            code: ran.status.code().unwrap_or(-1),
            out: text(&ran.stdout),
            err: text(&ran.stderr),
        };
        println!(
            "$ triphammer {}\n{}{}({})\n",
            words.join(" "),
            said.out,
            said.err,
            said.code
        );
        said
    }

    /// The same, and it ends well.
    pub fn does(&self, words: &[&str]) -> Said {
        let said = self.runs(words);
        assert_eq!(said.code, 0, "{words:?}: {}", said.all());
        said
    }
}
