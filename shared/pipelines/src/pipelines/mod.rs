//! One file a pipeline.

mod check_server;
mod create_site;
mod register_server;

pub use check_server::check_server;
pub use create_site::create_site;
pub use register_server::register_server;
