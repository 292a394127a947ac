//! One file for each kind of thing.

pub mod audit;
pub mod backup_configurations;
pub mod backups;
pub mod deployments;
pub mod health;
pub mod live;
pub mod logs;
pub mod servers;
pub mod sites;
pub mod tokens;
pub mod webhook_endpoints;
