//! The kinds of tests that need more than one crate.
