//! Which services are replaced beside the old ones and which in place, and the two Compose files that do it.
//!
//! Promise: pure functions over a model that Compose has resolved.
