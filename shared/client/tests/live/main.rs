//! A deployment that is watched while the way to it fails in between, over real sockets.
//!
//! The rule held: every update is the deployment as the API had it, they rise, and the last one is told whatever was lost.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod world;

use client::{Channel, Error, Rhythm};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Message;
use world::{ID, Leads, OTHER, World};

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// So long that a test in which it passes fails.
const NEVER: Duration = Duration::from_secs(3600);

/// With a channel that works, nothing happens by itself; without one, looks are quick.
fn calm() -> Rhythm {
    Rhythm {
        ping_after: NEVER,
        pong_within: NEVER,
        quiet_limit: NEVER,
        dial_within: NEVER,
        first_look_within: NEVER,
        redial_every: NEVER,
        redial_from: ms(1),
        redial_to: ms(4),
        poll_from: ms(5),
        poll_to: ms(10),
        looks_apart: ms(0),
    }
}

/// Nobody looks without being told to.
fn patient() -> Rhythm {
    Rhythm {
        poll_from: NEVER,
        poll_to: NEVER,
        ..calm()
    }
}

#[tokio::test]
async fn with_a_channel_the_deployment_is_read_once_after_the_subscription() {
    let world = World::new().await;
    let mut watching = world.watch(patient());
    assert_eq!(watching.update().await.channel, Channel::Live);
    for (name, status) in [("one", "running"), ("one", "completed"), ("two", "running")] {
        world.tell(&world.change(name, status));
    }
    world.tell(&world.settle());
    assert_eq!(watching.until(5).await.channel, Channel::Live);
    assert_eq!(watching.seqs, [1, 2, 3, 4, 5]);
    let seen = world.truth().seen.clone();
    assert_eq!(seen, ["ticket", "connect", "subscribe", "read"]);
}

#[tokio::test]
async fn a_look_from_before_the_subscription_does_not_count_as_the_one_after_it() {
    let world = World::new().await;
    world.truth().no_tickets = Some(404);
    world.truth().hanging_reads = 1;
    let rhythm = Rhythm {
        redial_every: ms(5),
        ..patient()
    };
    let mut watching = world.watch(rhythm);
    world.until("read", 1).await;
    world.change("one", "running");
    world.truth().no_tickets = None;
    assert_eq!(watching.until(2).await.channel, Channel::Live);
    assert_eq!(world.count("read"), 2);
}

#[tokio::test]
async fn the_token_is_not_sent_to_the_channel() {
    let world = World::new().await;
    world.watch(patient()).update().await;
    let names = world.truth().connected_with.clone();
    assert!(names.contains(&"sec-websocket-key".to_string()));
    assert!(!names.contains(&"authorization".to_string()), "{names:?}");
}

#[tokio::test]
async fn a_channel_that_breaks_after_every_few_events_loses_none_and_takes_a_new_ticket_each_time()
{
    for after in 1..=4 {
        let world = World::new().await;
        world.truth().drops_after = Some(after);
        let mut watching = world.watch(patient());
        watching.until(1).await;
        for seq in 2..=20 {
            let status = if seq % 2 == 0 { "running" } else { "completed" };
            world.tell(&world.change("one", status));
            watching.until(seq).await;
        }
        assert_eq!(watching.seqs, (1..=20).collect::<Vec<_>>());
        let connected = world.count("connect");
        // An event that finds nobody connected is not counted.
        assert!(connected >= 19 / (after + 1), "{connected}");
        assert_eq!(world.count("ticket"), connected);
        // One snapshot for each subscription, and no other.
        assert!(world.count("read") <= world.count("subscribe"));
    }
}

#[tokio::test]
async fn what_happens_while_the_channel_is_away_is_read_when_it_is_back() {
    let world = World::new().await;
    let mut watching = world.watch(patient());
    watching.until(1).await;
    world.drop_all();
    world.change("one", "running");
    world.change("one", "completed");
    watching.until(3).await;
    world.tell(&world.settle());
    watching.until(4).await;
}

#[tokio::test]
async fn events_that_come_twice_are_told_once() {
    let world = World::new().await;
    let mut watching = world.watch(patient());
    watching.until(1).await;
    let first = world.change("one", "running");
    let second = world.change("one", "completed");
    for event in [&first, &first, &second, &first, &second] {
        world.tell(event);
    }
    world.tell(&world.settle());
    watching.until(4).await;
    assert_eq!(watching.seqs, [1, 2, 3, 4]);
    assert_eq!(world.count("read"), 1);
}

#[tokio::test]
async fn events_in_the_wrong_order_are_told_in_the_right_one() {
    let world = World::new().await;
    let mut watching = world.watch(patient());
    watching.until(1).await;
    let first = world.change("one", "completed");
    let second = world.change("unone", "running");
    let third = world.settle();
    for event in [&third, &second, &first] {
        world.tell(event);
    }
    watching.until(4).await;
}

#[tokio::test]
async fn a_gap_is_closed_by_one_snapshot_and_events_go_on() {
    let world = World::new().await;
    let mut watching = world.watch(patient());
    watching.until(1).await;
    world.change("one", "running");
    world.tell(&world.change("one", "completed"));
    watching.until(3).await;
    assert_eq!(world.count("read"), 2);
    world.tell(&world.change("two", "running"));
    watching.until(4).await;
    assert_eq!(watching.seqs, [1, 3, 4]);
    assert_eq!(world.count("read"), 2);
}

#[tokio::test]
async fn a_lost_last_event_is_found_by_the_look_after_a_quiet_time() {
    let world = World::new().await;
    let rhythm = Rhythm {
        quiet_limit: ms(50),
        ..patient()
    };
    let mut watching = world.watch(rhythm);
    watching.until(1).await;
    world.settle();
    watching.until(2).await;
    let reads = world.count("read");
    tokio::time::sleep(ms(150)).await;
    assert_eq!(world.count("read"), reads, "it is over");
}

#[tokio::test]
async fn while_events_come_there_is_no_look_beside_them() {
    let world = World::new().await;
    let rhythm = Rhythm {
        quiet_limit: ms(1_000),
        ..patient()
    };
    let mut watching = world.watch(rhythm);
    watching.until(1).await;
    for seq in 2..=12 {
        tokio::time::sleep(ms(100)).await;
        world.tell(&world.change("one", "running"));
        watching.until(seq).await;
    }
    assert_eq!(world.count("read"), 1);
}

#[tokio::test]
async fn a_change_that_did_not_fit_into_a_frame_is_read() {
    let world = World::new().await;
    let mut watching = world.watch(patient());
    watching.until(1).await;
    world.change("one", "running");
    world.tell(&json!({"event": "behind", "deployment_id": ID, "seq": 2}));
    watching.until(2).await;
    world.tell(&json!({"event": "behind", "deployment_id": ID, "seq": 2}));
    world.tell(&world.settle());
    watching.until(3).await;
    assert_eq!(world.count("read"), 2, "what is known is not read again");
}

#[tokio::test]
async fn a_change_in_words_of_a_later_release_is_read() {
    let world = World::new().await;
    let mut watching = world.watch(patient());
    watching.until(1).await;
    let mut event = world.change("one", "running");
    event["steps"][0]["status"] = "pondering".into();
    world.tell(&event);
    watching.until(2).await;
}

#[tokio::test]
async fn other_deployments_and_unknown_events_change_nothing() {
    let world = World::new().await;
    let mut watching = world.watch(patient());
    watching.until(1).await;
    let mut others = world.change("one", "running");
    let own = others.clone();
    others["deployment"]["id"] = OTHER.into();
    others["deployment"]["seq"] = 99.into();
    world.tell(&others);
    world.tell(&json!({"event": "behind", "deployment_id": OTHER, "seq": 99}));
    world.tell(&json!({"event": "applause", "loud": true}));
    world.tell(&json!([1, 2]));
    world.tell_raw(Message::text("no JSON"));
    world.tell_raw(Message::binary(vec![1, 2, 3]));
    world.tell(&own);
    watching.until(2).await;
    assert_eq!((world.count("read"), world.count("connect")), (1, 1));
}

#[tokio::test]
async fn a_frame_that_is_too_large_ends_the_connection_and_loses_nothing() {
    let world = World::new().await;
    let mut watching = world.watch(patient());
    watching.until(1).await;
    let mut event = world.change("one", "running");
    event["steps"][0]["title"] = "x".repeat(70_000).into();
    world.tell(&event);
    watching.until(2).await;
    assert_eq!(world.count("connect"), 2);
}

#[tokio::test]
async fn a_server_that_answers_no_ping_is_left_for_a_new_connection() {
    let world = World::new().await;
    world.truth().deaf = true;
    let rhythm = Rhythm {
        ping_after: ms(20),
        pong_within: ms(20),
        ..patient()
    };
    let mut watching = world.watch(rhythm);
    watching.until(1).await;
    world.until("subscribe", 3).await;
    assert!(world.count("ping") >= 2);
    world.tell(&world.settle());
    watching.until(2).await;
}

#[tokio::test]
async fn a_server_that_answers_pings_is_kept_however_quiet_it_is() {
    let world = World::new().await;
    let rhythm = Rhythm {
        ping_after: ms(10),
        pong_within: ms(2_000),
        ..patient()
    };
    let mut watching = world.watch(rhythm);
    watching.until(1).await;
    world.until("ping", 8).await;
    world.tell(&world.settle());
    watching.until(2).await;
    assert_eq!((world.count("connect"), world.count("read")), (1, 1));
}

#[tokio::test]
async fn a_ticket_that_was_used_opens_nothing_and_looks_take_over() {
    let world = World::new().await;
    world.truth().repeats_tickets = true;
    let mut watching = world.watch(calm());
    assert_eq!(watching.until(1).await.channel, Channel::Live);
    world.drop_all();
    world.change("one", "running");
    assert_eq!(watching.until(2).await.channel, Channel::Polling);
    world.until("connect", 3).await;
    world.settle();
    assert_eq!(watching.until(3).await.channel, Channel::Polling);
    assert_eq!(world.count("subscribe"), 1);
}

#[tokio::test]
async fn an_api_without_a_channel_is_polled_and_not_asked_for_it_all_the_time() {
    for status in [404, 501, 500, 503] {
        let world = World::new().await;
        world.truth().no_tickets = Some(status);
        let mut watching = world.watch(calm());
        assert_eq!(watching.until(1).await.channel, Channel::Polling);
        for seq in 2..=4 {
            world.change("one", "running");
            watching.until(seq).await;
        }
        world.settle();
        watching.until(5).await;
        assert_eq!(world.count("ticket"), 1);
    }
}

#[tokio::test]
async fn a_channel_that_appears_later_is_taken() {
    let world = World::new().await;
    world.truth().no_tickets = Some(404);
    let rhythm = Rhythm {
        redial_every: ms(30),
        ..calm()
    };
    let mut watching = world.watch(rhythm);
    watching.until(1).await;
    world.truth().no_tickets = None;
    for seq in 2.. {
        world.tell(&world.change("one", "running"));
        if watching.until(seq).await.channel == Channel::Live {
            break;
        }
    }
}

#[tokio::test]
async fn a_channel_that_cannot_be_reached_is_replaced_by_looks() {
    let elsewhere = ["http://127.0.0.1:1", "not a URL", "wss://"].map(str::to_string);
    let everything = [Leads::Nowhere].into_iter().chain(elsewhere.map(Leads::To));
    for leads in everything {
        let world = World::new().await;
        world.truth().leads = leads;
        let mut watching = world.watch(calm());
        assert_eq!(watching.until(1).await.channel, Channel::Polling);
        world.change("one", "running");
        world.settle();
        watching.until(3).await;
        assert_eq!((world.count("ticket"), world.count("connect")), (1, 0));
    }
}

#[tokio::test]
async fn a_channel_that_says_nothing_does_not_keep_the_first_look_waiting() {
    let world = World::new().await;
    world.truth().leads = Leads::IntoSilence;
    let rhythm = Rhythm {
        first_look_within: ms(20),
        ..calm()
    };
    let mut watching = world.watch(rhythm);
    assert_eq!(watching.until(1).await.channel, Channel::Polling);
    world.settle();
    watching.until(2).await;
}

#[tokio::test]
async fn a_subscription_that_is_refused_is_replaced_by_looks() {
    let world = World::new().await;
    world.truth().refuses = Some("unavailable");
    let mut watching = world.watch(calm());
    assert_eq!(watching.until(1).await.channel, Channel::Polling);
    world.settle();
    watching.until(2).await;
    assert_eq!(world.count("subscribe"), 1);
}

#[tokio::test]
async fn a_deployment_that_is_not_found_is_an_error_and_the_end() {
    let world = World::new().await;
    world.truth().refuses = Some("not_found");
    world.truth().failing_reads = vec![404];
    let mut watching = world.watch(calm());
    let error = watching.next().await.unwrap_err();
    assert_eq!(error.status(), Some(404));
    assert!(matches!(watching.next().await, Err(Error::Setting(_))));
}

#[tokio::test]
async fn a_token_that_is_not_known_or_may_not_is_an_error_and_the_end() {
    for status in [401, 403] {
        let world = World::new().await;
        world.truth().no_tickets = Some(status);
        let mut watching = world.watch(calm());
        let error = watching.next().await.unwrap_err();
        assert!(error.is_denied());
        assert!(!watching.next().await.unwrap_err().is_transient());
        assert_eq!(world.count("ticket"), 1);
    }
}

#[tokio::test]
async fn a_token_that_is_revoked_while_it_watches_ends_the_watch() {
    let world = World::new().await;
    let mut watching = world.watch(patient());
    watching.until(1).await;
    world.truth().no_tickets = Some(401);
    world.drop_all();
    assert!(watching.next().await.unwrap_err().is_denied());
}

#[tokio::test]
async fn each_failed_look_is_told_and_the_next_answer_even_if_it_is_no_news() {
    let world = World::new().await;
    world.truth().no_tickets = Some(404);
    let mut watching = world.watch(calm());
    watching.until(1).await;
    world.truth().failing_reads = vec![503, 502];
    for _ in 0..2 {
        assert!(watching.next().await.unwrap_err().is_transient());
    }
    watching.update().await;
    assert_eq!(watching.seqs, [1, 1]);
    world.settle();
    watching.update().await;
    assert_eq!(watching.seqs, [1, 1, 2]);
}

#[tokio::test]
async fn a_failed_snapshot_is_tried_again_beside_an_open_channel() {
    let world = World::new().await;
    world.truth().failing_reads = vec![503];
    let mut watching = world.watch(calm());
    assert!(watching.next().await.unwrap_err().is_transient());
    assert_eq!(watching.until(1).await.channel, Channel::Live);
    assert_eq!(world.count("connect"), 1);
}

#[tokio::test]
async fn a_watch_that_is_dropped_leaves_the_channel() {
    let world = World::new().await;
    let mut watching = world.watch(calm());
    watching.until(1).await;
    drop(watching);
    let began = Instant::now();
    let reads = world.count("read");
    while !world.nobody_listens() {
        assert!(began.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(ms(1)).await;
    }
    tokio::time::sleep(ms(30)).await;
    assert_eq!(world.count("read"), reads);
}

#[tokio::test]
async fn whatever_the_channel_does_to_frames_the_watch_ends_as_the_api_does() {
    for seed in 0..24 {
        let mut chance = StdRng::seed_from_u64(seed);
        let world = World::new().await;
        let rhythm = Rhythm {
            quiet_limit: ms(40),
            looks_apart: ms(2),
            poll_from: ms(20),
            poll_to: ms(40),
            redial_every: ms(5),
            first_look_within: ms(10),
            ..calm()
        };
        let mut watching = world.watch(rhythm);
        let changes = 60;
        let script = async {
            let mut held = Vec::new();
            for change in 0..changes {
                let name =
                    ["one", "two", "three", "unthree", "untwo", "unone"][change * 6 / changes];
                let event = match change {
                    last if last + 1 == changes => world.settle(),
                    even if even % 2 == 0 => world.change(name, "running"),
                    _ => world.change(name, "completed"),
                };
                match chance.random_range(0..100) {
                    0..50 => world.tell(&event),
                    50..60 => {
                        world.tell(&event);
                        world.tell(&event);
                    }
                    60..75 => held.push(event),
                    75..85 => world.drop_all(),
                    85..90 => world.truth().no_tickets = Some(503),
                    _ => {}
                }
                if chance.random_bool(0.3) && !held.is_empty() {
                    let late = held.swap_remove(chance.random_range(0..held.len()));
                    world.tell(&late);
                }
                if chance.random_bool(0.3) {
                    world.truth().no_tickets = None;
                }
                if chance.random_bool(0.5) {
                    tokio::time::sleep(ms(chance.random_range(0..6))).await;
                }
            }
            world.truth().no_tickets = None;
        };
        let last = u64::try_from(changes).unwrap() + 1;
        let ((), end) = tokio::join!(script, watching.until(last));
        assert!(end.detail.deployment.settlement.is_at_rest(), "seed {seed}");
    }
}
