//! The steps pipelines are made of, by the thing they work on: names, titles, needs, permissions.

pub mod backup;
pub mod database;
pub mod domain;
pub mod release;
pub mod server;
pub mod site;
