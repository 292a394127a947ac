//! The time, passed in.
//!
//! Promise: nothing else asks the machine for the time, so a test decides what time it is.

use domain::Time;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// See the module.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's.
    System,
    /// A test's: milliseconds since 1970.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands until it is moved.
    pub fn manual(milliseconds: i64) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(milliseconds)))
    }

    /// Milliseconds since 1970.
    #[allow(clippy::disallowed_methods, reason = "the one place that asks")]
    pub fn milliseconds(&self) -> i64 {
        match self {
            Self::System => {
                let since = std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .unwrap_or_default();
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            }
            Self::Manual(time) => time.load(Ordering::SeqCst),
        }
    }

    /// Now.
    pub fn now(&self) -> Time {
        Time::from_timestamp_millis(self.milliseconds()).unwrap_or_default()
    }

    /// Let a manual clock go on by so much; the machine's goes by itself.
    pub fn advance(&self, by: std::time::Duration) {
        if let Self::Manual(time) = self {
            time.fetch_add(
                i64::try_from(by.as_millis()).unwrap_or(i64::MAX),
                Ordering::SeqCst,
            );
        }
    }
}
