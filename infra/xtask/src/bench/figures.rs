//! Figures, and how they are shown.
//!
//! Promise: a figure has a unit, and a ratio to its aim or peer wherever there is one.

use std::fmt;
use std::time::Duration;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Millions of bytes.
    Megabytes,
    /// US dollars.
    Dollars,
}

/// A number with its unit.
#[derive(Debug, Clone, Copy)]
pub struct Quantity(pub f64, pub Unit);

impl Quantity {
    /// So many things.
    pub fn count(number: impl Into<f64>) -> Self {
        Self(number.into(), Unit::Count)
    }

    /// A short time.
    pub fn milliseconds(time: Duration) -> Self {
        Self(time.as_secs_f64() * 1000.0, Unit::Milliseconds)
    }

    /// A longer time.
    pub fn seconds(time: Duration) -> Self {
        Self(time.as_secs_f64(), Unit::Seconds)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, unit) = self;
        match unit {
            Unit::Count if number.fract() == 0.0 => write!(f, "{number:.0}"),
            Unit::Count => write!(f, "{number:.1}"),
            Unit::Milliseconds => write!(f, "{number:.1} ms"),
            Unit::Seconds => write!(f, "{number:.1} s"),
            Unit::Megabytes => write!(f, "{number:.1} MB"),
            Unit::Dollars if *number < 1.0 => write!(f, "${number:.6}"),
            Unit::Dollars => write!(f, "${number:.2}"),
        }
    }
}

/// What is measured, and what it is held against.
#[derive(Debug)]
pub struct Figure {
    what: String,
    measured: Quantity,
    beside: Option<(String, Quantity)>,
}

impl Figure {
    /// With nothing beside it.
    pub fn alone(what: impl Into<String>, measured: Quantity) -> Self {
        Self {
            what: what.into(),
            measured,
            beside: None,
        }
    }

    /// Beside what it should be at most.
    pub fn aim(what: impl Into<String>, measured: Quantity, aim: f64) -> Self {
        Self::beside(what, measured, "aim", Quantity(aim, measured.1))
    }

    /// Beside the same of a peer.
    pub fn beside(
        what: impl Into<String>,
        measured: Quantity,
        peer: impl Into<String>,
        other: Quantity,
    ) -> Self {
        Self {
            what: what.into(),
            measured,
            beside: Some((peer.into(), other)),
        }
    }

    fn markdown(&self) -> String {
        let (beside, ratio) = match &self.beside {
            None => (String::new(), String::new()),
            Some((peer, other)) => (
                // A bar would end the cell.
                format!("{}: {other}", peer.replace('|', "\\|")),
                format!("{:.2}", self.measured.0 / other.0),
            ),
        };
        format!(
            "| {} | {} | {beside} | {ratio} |\n",
            self.what, self.measured
        )
    }
}

/// Figures that belong together.
#[derive(Debug)]
pub struct Group {
    title: &'static str,
    /// What must be known to read them.
    note: String,
    figures: Vec<Figure>,
}

impl Group {
    /// With a title and what must be known to read it.
    pub fn new(title: &'static str, note: impl Into<String>, figures: Vec<Figure>) -> Self {
        Self {
            title,
            note: note.into(),
            figures,
        }
    }

    /// As a table.
    pub fn markdown(&self) -> String {
        let rows: String = self.figures.iter().map(Figure::markdown).collect();
        let note = if self.note.is_empty() {
            String::new()
        } else {
            format!("\n{}\n", self.note)
        };
        format!(
            "| {} | measured | beside | ratio |\n|---|---|---|---|\n{rows}{note}",
            self.title
        )
    }
}

/// Times of the same thing, again and again.
#[derive(Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// One more.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// The time that so many of a hundred do not exceed, by nearest rank; zero when there are none.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }

    /// The middle one, in milliseconds.
    pub fn p50(&self) -> Quantity {
        Quantity::milliseconds(self.percentile(50))
    }

    /// One in twenty is longer.
    pub fn p95(&self) -> Quantity {
        Quantity::milliseconds(self.percentile(95))
    }
}

impl FromIterator<Duration> for Times {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        Self(times.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let times: Times = (1..=20).map(Duration::from_millis).collect();
        assert_eq!(times.percentile(50), Duration::from_millis(10));
        assert_eq!(times.percentile(95), Duration::from_millis(19));
        assert_eq!(times.percentile(100), Duration::from_millis(20));
        assert_eq!(Times::default().percentile(50), Duration::ZERO);
    }
}
