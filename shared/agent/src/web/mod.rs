//! What serves sites: nginx's server blocks and php-fpm's pools.
//!
//! Promise: a change is tested before anything is reloaded, and taken back if the test fails. Neither service is ever
//! left with a configuration of ours that it cannot load.

pub mod block;
pub mod dump;
pub mod fpm;
pub mod nginx;
pub mod units;
