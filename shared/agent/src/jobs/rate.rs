//! How fast something goes, over the last seconds.
//!
//! Promise: constant memory, whatever is counted.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// People see a change of speed soon, and one slow second does not show.
const OVER: Duration = Duration::from_secs(10);
/// A sample each half second is enough.
const APART: Duration = Duration::from_millis(500);
/// Less than this says nothing yet.
const AT_LEAST: Duration = Duration::from_secs(1);

/// Samples of a count that rises.
#[derive(Debug, Default)]
pub struct Meter {
    samples: VecDeque<(Instant, u64)>,
}

impl Meter {
    /// The count stood at `done` at `now`; what that is a second.
    pub fn rate(&mut self, now: Instant, done: u64) -> Option<f64> {
        // A count that fell is another count.
        if self.samples.back().is_some_and(|(_, last)| *last > done) {
            self.samples.clear();
        }
        if self.samples.back().is_none_or(|(at, _)| now - *at >= APART) {
            self.samples.push_back((now, done));
        }
        while self.samples.len() > 2 && now - self.samples[0].0 > OVER {
            self.samples.pop_front();
        }
        let (at, from) = *self.samples.front()?;
        let seconds = now - at;
        (seconds >= AT_LEAST).then(|| (done - from) as f64 / seconds.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_seconds_count() {
        let begin = Instant::now();
        let mut meter = Meter::default();
        assert_eq!(meter.rate(begin, 0), None);
        for second in 1..=60 {
            meter.rate(begin + Duration::from_secs(second), second * 1000);
        }
        let slow: Vec<_> = (1..=30)
            .filter_map(|second| {
                meter.rate(begin + Duration::from_secs(60 + second), 60_000 + second)
            })
            .collect();
        assert!((slow[29] - 1.0).abs() < 0.01, "{slow:?}");
        assert!(meter.samples.len() < 30);
    }
}
