//! Bytes from elsewhere, thrown at everything that reads them.
//!
//! Promise: see the tests. Each is an ordinary test of bounded length, and the same target runs under a real fuzzer:
//! `cargo bolero test -p fuzz <name>`.
