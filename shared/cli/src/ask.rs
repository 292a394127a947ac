//! Questions on the terminal.
//!
//! Promise: nothing but a `y` or `yes` is a yes; Ctrl-C ends the program even while a question waits.

use crate::ending::Fault;
use std::io::{BufRead, Write};

/// Ask; true for yes.
pub async fn yes(question: &str) -> Result<bool, Fault> {
    let mut to = std::io::stderr();
    write!(to, "{question} [y/N] ")?;
    to.flush()?;
    // Reading the keyboard blocks, and is left behind when Ctrl-C comes first.
    let line = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    tokio::select! {
        line = line => {
            let line = line.map_err(std::io::Error::other)??;
            if !line.ends_with('\n') {
                writeln!(to)?;
            }
            Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
        }
        _ = tokio::signal::ctrl_c() => {
            writeln!(to)?;
            Err(Fault::Interrupted)
        }
    }
}

/// Ask for a secret, which is not shown while it is typed.
pub async fn secret(what: &str) -> Result<String, Fault> {
    let mut to = std::io::stderr();
    write!(to, "{what}: ")?;
    to.flush()?;
    let typed = tokio::task::spawn_blocking(|| console::Term::stderr().read_secure_line());
    tokio::select! {
        typed = typed => Ok(typed.map_err(std::io::Error::other)??),
        _ = tokio::signal::ctrl_c() => {
            writeln!(to)?;
            Err(Fault::Interrupted)
        }
    }
}
