//! When something is due: a cron expression in a time zone.
//!
//! Promise: what was accepted has a next occurrence, on the full hour of its own clock. When clocks go forward, an hour
//! that is left out is due right behind the gap; when they go back, a named hour is due once, the first time.

use crate::Time;
use crate::names::BadName;
use chrono_tz::Tz;
use croner::Cron;
use serde::{Deserialize, Serialize};

/// The zone of a schedule that names none.
pub const UTC: &str = "UTC";

/// Short names of cron expressions.
const NICKNAMES: [(&str, &str); 4] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
];

/// The longest that means anything: each field lists all of its values.
const LENGTH_LIMIT: usize = 300;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Five fields, or one of the short names.
    pub cron: String,
    /// `Europe/Berlin`
    pub time_zone: String,
}

/// An IANA time zone, by its exact name.
pub fn time_zone(text: &str) -> Result<String, BadName> {
    zone(text).map(|zone| zone.name().to_string())
}

fn zone(text: &str) -> Result<Tz, BadName> {
    text.parse().map_err(|_| {
        BadName("is not a time zone that is known, such as UTC or Europe/Berlin".to_string())
    })
}

/// A cron expression whose occurrences are on the full hour, with single spaces between its fields.
pub fn cron(text: &str) -> Result<String, BadName> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cron = read(&text)?;
    // Any moment does: the calendar repeats.
    cron.find_next_occurrence(&chrono::DateTime::<chrono::Utc>::UNIX_EPOCH, false)
        .map_err(|_| BadName("names a day that never comes".to_string()))?;
    Ok(text)
}

fn read(text: &str) -> Result<Cron, BadName> {
    if text.len() > LENGTH_LIMIT {
        return Err(BadName(format!(
            "may have {LENGTH_LIMIT} characters at most"
        )));
    }
    let fields = NICKNAMES
        .iter()
        .find(|(name, _)| *name == text)
        .map_or(text, |(_, fields)| *fields);
    let parts: Vec<_> = fields.split(' ').collect();
    if parts.len() != 5 || fields.contains('@') {
        return Err(BadName(
            "is not a cron expression of five fields (minute, hour, day, month, weekday), nor @hourly, @daily, @weekly or @monthly"
                .to_string(),
        ));
    }
    if !matches!(parts[0], "0" | "00") {
        return Err(BadName(format!(
            "has the minute {:?}, but schedules are looked at on the full hour, so its first field must be 0",
            parts[0]
        )));
    }
    fields
        .parse()
        .map_err(|why: croner::errors::CronError| BadName(format!("is not understood: {why}")))
}

impl Schedule {
    /// Its first occurrence after this time; None when what is stored is not understood any more.
    pub fn next_after(&self, time: Time) -> Option<Time> {
        let local = time.with_timezone(&self.zone());
        let next = read(&self.cron).ok()?.find_next_occurrence(&local, false);
        next.ok().map(|next| next.to_utc())
    }

    /// Its last occurrence until this time.
    pub fn last_until(&self, time: Time) -> Option<Time> {
        let local = time.with_timezone(&self.zone());
        let last = read(&self.cron)
            .ok()?
            .find_previous_occurrence(&local, true);
        last.ok().map(|last| last.to_utc())
    }

    /// The last occurrence that was followed by another one until now: a whole period ago.
    pub fn a_period_ago(&self, now: Time) -> Option<Time> {
        let last = self.last_until(now)?;
        self.last_until(last - chrono::TimeDelta::seconds(1))
    }

    /// Its zone; UTC when a database of zones does not have it any more.
    pub fn zone(&self) -> Tz {
        zone(&self.time_zone).unwrap_or(Tz::UTC)
    }
}
