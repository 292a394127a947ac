//! Releases that must fail over one that is live.
//!
//! Promise: each is judged alike, and what was wrong is told at the end, so that one run says all.

use crate::app::App;
use serde_json::{Value, json};

/// How one must fail.
pub struct Wanted<'a> {
    /// Its error's code.
    pub code: &'a str,
    /// Where it stood.
    pub phase: &'a str,
    /// Words of the error: what is wrong, and what to do.
    pub says: &'a [&'a str],
}

/// An application that stays as it is.
pub struct Unmoved {
    /// The application.
    pub app: App,
    version: String,
    containers: String,
    current: Value,
    wrong: Vec<String>,
}

impl Unmoved {
    /// As it is now.
    pub async fn new(app: App) -> Self {
        Self {
            version: app.version().await,
            containers: app.containers(0),
            current: app.seen().await["current"].clone(),
            wrong: Vec::new(),
            app,
        }
    }

    /// A release of another source fails.
    pub async fn source_fails(&mut self, what: &str, source: Value, wanted: Wanted<'_>) -> Value {
        self.app.service_changed(json!({"source": source})).await;
        self.fails(what, json!({}), wanted).await
    }

    /// A release so asked for fails.
    pub async fn fails(&mut self, what: &str, asked: Value, wanted: Wanted<'_>) -> Value {
        let ended = self.app.ended("/deployments", asked).await;
        self.failed(what, &ended, wanted).await;
        ended
    }

    /// This deployment failed so, and all is as before.
    pub async fn failed(&mut self, what: &str, ended: &Value, wanted: Wanted<'_>) {
        let error = &ended["error"];
        println!(
            "{what}: {} in {}: {}",
            error["code"], ended["phase"], error["message"]
        );
        let stands = [
            &ended["status"],
            &ended["settlement"],
            &error["code"],
            &ended["phase"],
        ];
        if stands != ["failed", "settled", wanted.code, wanted.phase] {
            self.wrong.push(format!("{what}: {ended:#}"));
        }
        let message = error["message"].as_str().unwrap_or_default();
        for words in wanted.says {
            if !message.contains(words) {
                self.wrong
                    .push(format!("{what}: no {words:?} in {message:?}"));
            }
        }
        self.is_as_before(what).await;
    }

    /// The release that was live is, alone.
    pub async fn is_as_before(&mut self, what: &str) {
        let (version, containers) = (self.app.version().await, self.app.containers(0));
        if version != self.version || containers != self.containers {
            self.wrong.push(format!("{what}: {version}\n{containers}"));
        }
        let seen = self.app.seen().await;
        if seen["status"] != "active" || seen["current"] != self.current {
            self.wrong.push(format!("{what}: {seen:#}"));
        }
        let ready = self.app.ready().await;
        if ready != [self.current.clone()] {
            self.wrong.push(format!("{what}: {ready:?} are ready"));
        }
    }

    /// All was as wanted.
    pub fn end(self) {
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n\n"));
    }
}
