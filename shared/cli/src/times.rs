//! Times and durations as people read them.
//!
//! Promise: a time that lies ahead, because clocks differ, is never shown as negative.

use chrono::{DateTime, Local, TimeDelta, Utc};

/// "3 min ago"
pub fn ago(then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - then).num_seconds().max(0);
    match seconds {
        0..=4 => "just now".to_string(),
        5..=59 => format!("{seconds} s ago"),
        60..=3_599 => format!("{} min ago", seconds / 60),
        3_600..=86_399 => format!("{} h ago", seconds / 3_600),
        86_400..=172_799 => "1 day ago".to_string(),
        172_800..=2_591_999 => format!("{} days ago", seconds / 86_400),
        _ => then.with_timezone(&Local).format("%Y-%m-%d").to_string(),
    }
}

/// "1.2s", "2m 05s", "1h 02m"
pub fn took(time: TimeDelta) -> String {
    let milliseconds = time.num_milliseconds().max(0);
    let seconds = milliseconds / 1000;
    match seconds {
        0..=59 => format!("{seconds}.{}s", milliseconds % 1000 / 100),
        60..=3_599 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// "12:03:04", where the person is.
pub fn clock(time: DateTime<Utc>) -> String {
    time.with_timezone(&Local).format("%H:%M:%S").to_string()
}

/// "2026-11-21 12:03:04 +01:00", where the person is.
pub fn exact(time: DateTime<Utc>) -> String {
    time.with_timezone(&Local)
        .format("%Y-%m-%d %H:%M:%S %:z")
        .to_string()
}

/// "5 min", as limits are told.
pub fn limit(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

/// "1.5 GB": thousands, as disks are sold.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return if unit == "B" {
                format!("{bytes} B")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_the_unit_that_fits() {
        let now: DateTime<Utc> = "2026-05-05T12:00:00Z".parse().expect("a time");
        let told = |seconds| ago(now - TimeDelta::seconds(seconds), now);
        assert_eq!(told(-30), "just now");
        assert_eq!(told(59), "59 s ago");
        assert_eq!(told(200), "3 min ago");
        assert_eq!(told(7_300), "2 h ago");
        assert_eq!(told(100_000), "1 day ago");
        assert_eq!(told(300_000), "3 days ago");
    }

    #[test]
    fn a_duration_is_as_exact_as_it_matters() {
        let told = |milliseconds| took(TimeDelta::milliseconds(milliseconds));
        assert_eq!(told(-5), "0.0s");
        assert_eq!(told(1_234), "1.2s");
        assert_eq!(told(125_000), "2m 05s");
        assert_eq!(told(3_720_000), "1h 02m");
    }

    #[test]
    fn a_size_is_told_in_thousands() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1_500_000_000), "1.5 GB");
        assert_eq!(size(2_000_000_000_000), "2.0 TB");
    }
}
