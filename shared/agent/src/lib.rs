//! What runs on a customer's server: it does one typed call at a time and says how it ended.
//!
//! Promise: no shell, no secret in an argument list or a reply, nothing created without a claim and nothing removed
//! without one. Whatever point it is killed at, a repeat of the call completes it and the undo removes all of it.
//!
//! A site lives in `/home/<site>`: `public` is its web root, `tmp` holds uploads and PHP sessions.

#![allow(
    clippy::disallowed_methods,
    reason = "it runs on a server and asks that server for its time"
)]

pub mod accounts;
pub mod backup;
pub mod check;
pub mod claims;
pub mod conf;
pub mod database;
pub mod domain;
pub mod facts;
pub mod fault;
pub mod files;
pub mod host;
pub mod install;
pub mod jobs;
pub mod lease;
pub mod paths;
pub mod probe;
pub mod processes;
pub mod proxy;
pub mod release;
pub mod restore;
pub mod run;
pub mod secret;
pub mod serve;
pub mod site;
pub mod tree;
pub mod web;
pub mod wordpress;
