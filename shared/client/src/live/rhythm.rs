//! How often things are looked at, how long they may take, and when they are tried again.
//!
//! Promise: quick while things change, calm while they do not, and never in step with other clients.

use std::time::Duration;

/// The durations of a watch. The defaults are for people; tests have less time.
#[derive(Debug, Clone, Copy)]
pub struct Rhythm {
    /// After so long without a frame a ping is sent. Half a minute, because API Gateway closes what is silent for ten.
    pub ping_after: Duration,
    /// So long the answer to a ping may take, because a cold function answers within a few seconds.
    pub pong_within: Duration,
    /// After so long without an event a deployment that is not over is read, because its last event may be lost.
    pub quiet_limit: Duration,
    /// So long a ticket, the connection and the subscription may take together: three cold functions.
    pub dial_within: Duration,
    /// When the channel is not open by then, the first look does not wait for it: a person looks at an empty screen.
    pub first_look_within: Duration,
    /// A channel that cannot be had is tried again after so long: an API without one is not asked all the time.
    pub redial_every: Duration,
    /// A channel that broke is opened again after a random time up to this, which doubles with each failure …
    pub redial_from: Duration,
    /// … up to this.
    pub redial_to: Duration,
    /// Without a channel, the pause after something changed: half a second feels live.
    pub poll_from: Duration,
    /// And the longest, because a step that says nothing for a while says nothing two seconds later either.
    pub poll_to: Duration,
    /// With a channel, snapshots that close gaps are at least so far apart, because a lossy one makes many gaps.
    pub looks_apart: Duration,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self {
            ping_after: Duration::from_secs(30),
            pong_within: Duration::from_secs(10),
            quiet_limit: Duration::from_secs(15),
            dial_within: Duration::from_secs(15),
            first_look_within: Duration::from_secs(1),
            redial_every: Duration::from_secs(30),
            redial_from: Duration::from_millis(250),
            redial_to: Duration::from_secs(15),
            poll_from: Duration::from_millis(500),
            poll_to: Duration::from_secs(2),
            looks_apart: Duration::from_millis(250),
        }
    }
}

/// The pauses between looks.
pub(super) struct Pace {
    pause: Duration,
    seq: Option<u64>,
}

impl Pace {
    pub(super) fn of(rhythm: &Rhythm) -> Self {
        Self {
            pause: rhythm.poll_from,
            seq: None,
        }
    }

    /// The deployment was read with this `seq`: how long until the next look.
    pub(super) fn answered(&mut self, seq: u64, rhythm: &Rhythm) -> Duration {
        self.pause = if self.seq == Some(seq) {
            self.pause.mul_f64(1.4).min(rhythm.poll_to)
        } else {
            rhythm.poll_from
        };
        self.seq = Some(seq);
        jittered(self.pause)
    }

    /// It was not read: how long until the next look.
    pub(super) fn missed(rhythm: &Rhythm) -> Duration {
        jittered(rhythm.poll_to)
    }
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.8..=1.0))
}

/// The pauses before a broken channel is opened again: full jitter, because a server that restarts loses all its clients at once.
#[derive(Default)]
pub(super) struct Redial {
    failures: u32,
}

impl Redial {
    /// It was of use.
    pub(super) fn worked(&mut self) {
        self.failures = 0;
    }

    /// It broke, or could not be opened again.
    pub(super) fn failed(&mut self, rhythm: &Rhythm) -> Duration {
        let ceiling = self.ceiling(rhythm);
        self.failures = self.failures.saturating_add(1);
        rand::random_range(Duration::ZERO..=ceiling)
    }

    fn ceiling(&self, rhythm: &Rhythm) -> Duration {
        let factor = 2u32.saturating_pow(self.failures);
        rhythm
            .redial_from
            .saturating_mul(factor)
            .min(rhythm.redial_to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_grow_rarer_while_nothing_changes_and_quicken_when_it_does() {
        let rhythm = Rhythm::default();
        let mut pace = Pace::of(&rhythm);
        assert!(pace.answered(1, &rhythm) <= rhythm.poll_from);
        for _ in 0..9 {
            pace.answered(1, &rhythm);
        }
        assert!(pace.answered(1, &rhythm) >= rhythm.poll_to.mul_f64(0.8));
        assert!(pace.answered(2, &rhythm) <= rhythm.poll_from);
    }

    #[test]
    fn a_channel_that_keeps_breaking_is_opened_ever_more_rarely_until_it_works() {
        let rhythm = Rhythm::default();
        let mut redial = Redial::default();
        let ceilings: Vec<_> = (0..9)
            .map(|_| {
                let ceiling = redial.ceiling(&rhythm);
                assert!(redial.failed(&rhythm) <= ceiling);
                ceiling.as_millis()
            })
            .collect();
        assert_eq!(
            ceilings,
            [250, 500, 1000, 2000, 4000, 8000, 15000, 15000, 15000]
        );
        redial.worked();
        assert_eq!(redial.ceiling(&rhythm), rhythm.redial_from);
    }
}
