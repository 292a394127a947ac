//! One call of the program: the API it talks to, what was asked of it in general, and where its words go.
//!
//! Promise: a command reads flags and terminals here only.

use crate::ending::Fault;
use crate::output::Output;
use client::Client;

/// See the module.
pub struct Invocation {
    /// The API.
    pub client: Client,
    /// Where words go.
    pub output: Output,
    /// Change nothing.
    pub dry_run: bool,
    /// Ask nothing.
    pub yes: bool,
    /// Until the end.
    pub follow: bool,
}

impl Invocation {
    /// Before something that cannot be taken back: ask, unless `--yes`. False when the answer is no.
    pub async fn sure(&self, question: &str) -> Result<bool, Fault> {
        if self.yes {
            return Ok(true);
        }
        if !self.output.can_ask() {
            return Err(Fault::said(
                "this asks first, and there is no terminal to ask on: pass --yes",
            ));
        }
        crate::ask::yes(question).await
    }
}
