//! Schedules: what is accepted, and when it is due, across both changes of the clocks.

use domain::schedule::{Schedule, cron, time_zone};
use domain::{Time, rfc3339};
use proptest::prelude::*;

fn at(text: &str) -> Time {
    text.parse().expect("a time")
}

fn berlin(cron: &str) -> Schedule {
    schedule(cron, "Europe/Berlin")
}

fn schedule(cron: &str, zone: &str) -> Schedule {
    Schedule {
        cron: cron.to_string(),
        time_zone: zone.to_string(),
    }
}

/// The next so many, as hours of UTC.
fn next(schedule: &Schedule, from: &str, count: usize) -> Vec<String> {
    let mut time = at(from);
    let each = (0..count).map(|_| {
        time = schedule.next_after(time).expect("an occurrence");
        rfc3339(time)[..16].to_string()
    });
    each.collect()
}

#[test]
fn five_fields_and_four_short_names_are_taken() {
    for (text, stored) in [
        ("0 3 * * *", "0 3 * * *"),
        ("  0  */6 *  * * ", "0 */6 * * *"),
        ("00 2 1,15 JAN-JUN mon", "00 2 1,15 JAN-JUN mon"),
        ("@hourly", "@hourly"),
        ("@daily", "@daily"),
        ("@weekly", "@weekly"),
        ("@monthly", "@monthly"),
    ] {
        assert_eq!(cron(text).as_deref(), Ok(stored));
    }
}

#[test]
fn what_is_refused_is_told_why() {
    for (text, why) in [
        ("30 3 * * *", "its first field must be 0"),
        ("* * * * *", "its first field must be 0"),
        ("0,30 3 * * *", "its first field must be 0"),
        ("", "five fields"),
        ("0 3 * *", "five fields"),
        ("0 0 3 * * *", "five fields"),
        ("@yearly", "five fields"),
        ("@reboot", "five fields"),
        ("0 @daily * * *", "five fields"),
        ("0 24 * * *", "is not understood"),
        ("0 x * * *", "is not understood"),
        ("0 3 * * *; reboot", "five fields"),
        ("0 0 30 2 *", "never comes"),
    ] {
        let refused = cron(text).expect_err(text);
        assert!(refused.0.contains(why), "{text}: {refused}");
    }
    assert!(cron(&format!("0 {} * * *", "1,".repeat(200))).is_err());
    for zone in ["Europe/Brelin", "europe/berlin", "CET+1", "", "../etc"] {
        assert!(time_zone(zone).is_err(), "{zone}");
    }
    assert_eq!(time_zone("Europe/Berlin").as_deref(), Ok("Europe/Berlin"));
}

#[test]
fn an_occurrence_is_on_the_clock_of_its_zone() {
    assert_eq!(
        next(&berlin("0 3 * * *"), "2026-01-10T00:00:00Z", 2),
        ["2026-01-10T02:00", "2026-01-11T02:00"]
    );
    assert_eq!(
        next(&berlin("0 3 * * *"), "2026-07-10T00:00:00Z", 1),
        ["2026-07-10T01:00"]
    );
    assert_eq!(
        next(
            &schedule("@daily", "Asia/Kolkata"),
            "2026-01-10T00:00:00Z",
            1
        ),
        ["2026-01-10T18:30"],
        "a zone may be half an hour off"
    );
    assert_eq!(
        next(&schedule("@weekly", "UTC"), "2026-01-10T00:00:00Z", 1),
        ["2026-01-11T00:00"],
        "a Sunday"
    );
    assert_eq!(
        next(&schedule("@monthly", "UTC"), "2026-01-10T00:00:00Z", 1),
        ["2026-02-01T00:00"]
    );
}

#[test]
fn an_hour_that_the_clocks_leave_out_is_due_behind_the_gap_once() {
    // On 29 March 2026 in Berlin 02:00 is followed by 03:00.
    assert_eq!(
        next(&berlin("0 2 * * *"), "2026-03-28T00:30:00Z", 3),
        ["2026-03-28T01:00", "2026-03-29T01:00", "2026-03-30T00:00"]
    );
    assert_eq!(
        next(&berlin("@hourly"), "2026-03-28T23:30:00Z", 4),
        [
            "2026-03-29T00:00",
            "2026-03-29T01:00",
            "2026-03-29T02:00",
            "2026-03-29T03:00"
        ],
        "every hour that there is"
    );
}

#[test]
fn an_hour_that_comes_twice_is_due_once_when_it_is_named_and_twice_when_every_hour_is() {
    // On 25 October 2026 in Berlin 03:00 is followed by 02:00.
    assert_eq!(
        next(&berlin("0 2 * * *"), "2026-10-24T12:00:00Z", 2),
        ["2026-10-25T00:00", "2026-10-26T01:00"]
    );
    assert_eq!(
        next(&berlin("@hourly"), "2026-10-24T23:30:00Z", 4),
        [
            "2026-10-25T00:00",
            "2026-10-25T01:00",
            "2026-10-25T02:00",
            "2026-10-25T03:00"
        ]
    );
}

#[test]
fn a_period_ago_is_the_occurrence_before_the_last_one() {
    let daily = berlin("0 3 * * *");
    let ago = |now: &str| daily.a_period_ago(at(now)).map(rfc3339);
    assert_eq!(
        ago("2026-01-12T02:00:00Z").as_deref(),
        Some("2026-01-11T02:00:00.000Z"),
        "the one that is due now counts"
    );
    assert_eq!(
        ago("2026-01-12T02:00:00.400Z").as_deref(),
        Some("2026-01-11T02:00:00.000Z")
    );
    assert_eq!(
        ago("2026-01-12T01:59:59Z").as_deref(),
        Some("2026-01-10T02:00:00.000Z")
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn the_next_occurrence_is_later_and_the_one_before_it_is_not(
        seconds in 1_600_000_000_i64..2_000_000_000,
        hour in 0_u8..24,
        weekday in prop::option::of(0_u8..7),
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Cairo"]),
    ) {
        let now = Time::from_timestamp(seconds, 0).expect("a time");
        let weekday = weekday.map_or("*".to_string(), |day| day.to_string());
        let schedule = schedule(&format!("0 {hour} * * {weekday}"), zone);
        let next = schedule.next_after(now).expect("an occurrence");
        prop_assert!(next > now);
        prop_assert!(next - now <= chrono::TimeDelta::hours(8 * 24));
        prop_assert!(schedule.last_until(next - chrono::TimeDelta::seconds(1)).is_some_and(|last| last <= now));
    }
}
