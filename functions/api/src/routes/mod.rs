//! One file for each kind of thing.

pub mod audit;
pub mod backup_configurations;
pub mod backups;
pub mod deployments;
pub mod environments;
pub mod health;
pub mod live;
pub mod logs;
pub mod projects;
pub mod releases;
pub mod servers;
pub mod services;
pub mod sites;
pub mod tokens;
pub mod uploads;
pub mod values;
pub mod webhook_endpoints;
