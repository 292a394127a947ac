//! What a release is made of: from what people configured to what an agent is asked, and from its plan to what is frozen.
//!
//! Promise: pure functions; nothing here reads a value of an environment.

mod ask;
mod compose;
mod frozen;

pub use ask::{Wanted, limits, prepare};
pub use compose::{built_tag, compose};
pub use frozen::frozen;
