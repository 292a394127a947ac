//! One file a pipeline.

mod backup_site;
mod check_server;
mod create_site;
mod register_server;
mod release;
mod restore_backup;

pub use backup_site::backup_site;
pub use check_server::check_server;
pub use create_site::create_site;
pub use register_server::register_server;
pub use release::{
    observe_environment, promote, release, remove_environment, restart_environment, rollback,
    start_environment, stop_environment,
};
pub use restore_backup::restore_backup;
