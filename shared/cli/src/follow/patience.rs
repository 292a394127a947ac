//! How long an API may be away while a deployment is followed.
//!
//! Promise: a moment without it is waited for, and nobody waits for ever.

use std::time::{Duration, Instant};

/// Because a deploy of the API or a moment without network is over by then.
const AWAY_LIMIT: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Default)]
pub struct Patience {
    away_since: Option<Instant>,
}

impl Patience {
    /// The API answered.
    pub fn answered(&mut self) {
        self.away_since = None;
    }

    /// It did not. False when it was away for too long.
    pub fn missed(&mut self) -> bool {
        self.away_since.get_or_insert_with(Instant::now).elapsed() < AWAY_LIMIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_that_was_away_for_a_minute_is_given_up() {
        let mut patience = Patience::default();
        assert!(patience.missed());
        patience.away_since = Instant::now().checked_sub(AWAY_LIMIT);
        assert!(!patience.missed());
        patience.answered();
        assert!(patience.missed());
    }
}
