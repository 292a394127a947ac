//! How long to wait before the next look, and how long an API may be away.
//!
//! Promise: quick while things change, calm while they do not, and never in step with others.

use std::time::{Duration, Instant};

/// Because half a second feels live.
const SHORTEST: Duration = Duration::from_millis(500);
/// Because a step that says nothing for a while says nothing two seconds later either.
const LONGEST: Duration = Duration::from_secs(2);
/// Because a deploy of the API or a moment without network is over by then.
const AWAY_LIMIT: Duration = Duration::from_secs(60);

/// See the module.
pub struct Patience {
    pause: Duration,
    seq: Option<u64>,
    away_since: Option<Instant>,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            pause: SHORTEST,
            seq: None,
            away_since: None,
        }
    }
}

impl Patience {
    /// The API answered: how long until the next look.
    pub fn answered(&mut self, seq: u64) -> Duration {
        self.away_since = None;
        self.pause = if self.seq == Some(seq) {
            self.pause.mul_f64(1.4).min(LONGEST)
        } else {
            SHORTEST
        };
        self.seq = Some(seq);
        jittered(self.pause)
    }

    /// It did not: how long until the next look, or nothing when it was away for too long.
    pub fn missed(&mut self) -> Option<Duration> {
        let since = *self.away_since.get_or_insert_with(Instant::now);
        (since.elapsed() < AWAY_LIMIT).then(|| jittered(LONGEST))
    }
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.8..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_grow_rarer_while_nothing_changes_and_quicken_when_it_does() {
        let mut patience = Patience::default();
        assert!(patience.answered(1) <= SHORTEST);
        for _ in 0..9 {
            patience.answered(1);
        }
        assert!(patience.answered(1) >= LONGEST.mul_f64(0.8));
        assert!(patience.answered(2) <= SHORTEST);
    }

    #[test]
    fn an_api_that_was_away_for_a_minute_is_given_up() {
        let mut patience = Patience::default();
        assert!(patience.missed().is_some());
        patience.away_since = Instant::now().checked_sub(AWAY_LIMIT);
        assert!(patience.missed().is_none());
        patience.answered(1);
        assert!(patience.missed().is_some());
    }
}
