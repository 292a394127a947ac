//! Until nothing is under way to containers that no route leads to any more.
//!
//! Promise: counts connections, not what Caddy says: after a reload its admin address forgets the requests that the
//! configuration before still serves. Caddy keeps an unused connection for a second at most, so an open one is in use.

use super::sockets::{self, State};
use crate::fault::{Result, bad_request};
use chrono::{DateTime, Utc};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

/// Between two looks: a look reads the kernel's whole table.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// So long after a change somebody may still be led to where routes led before: a Go server that is shut down, as Caddy's
/// is by each new configuration, leaves connections on which nothing was asked yet, as browsers open them ahead, alone for
/// five seconds, and answers what comes on them by its old routes. One more for a host that is slow to shut it down.
const OLD_ROUTES_LAST: Duration = Duration::from_secs(6);

/// How long the routes before a change of that moment may still be used. A moment that nobody kept, or that a clock says is
/// yet to come, is taken for now.
pub fn old_routes_last(changed_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Duration {
    let passed = changed_at.and_then(|at| (now - at).to_std().ok());
    OLD_ROUTES_LAST.saturating_sub(passed.unwrap_or_default())
}

/// Wait until no request is under way to these upstreams, or the time is over; says how many were left. WebSockets
/// count.
pub fn drain(upstreams: &[String], within: Duration) -> Result<u64> {
    let upstreams: Vec<SocketAddr> = upstreams
        .iter()
        .map(|text| text.parse())
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| bad_request("What is drained is no address and port."))?;
    let until = Instant::now() + within;
    loop {
        let left = under_way(&upstreams)?;
        if left == 0 || Instant::now() >= until {
            return Ok(left);
        }
        thread::sleep(LOOK_AGAIN.min(until.saturating_duration_since(Instant::now())));
    }
}

/// The proxy's ends of the connections: the other ends are the engine's own proxy's, or inside the containers.
fn under_way(upstreams: &[SocketAddr]) -> Result<u64> {
    let open = sockets::all()?
        .into_iter()
        .filter(|one| one.state == State::Open && upstreams.contains(&one.remote));
    Ok(u64::try_from(open.count()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn old_routes_last_for_seconds_after_the_change_and_as_long_from_now_when_nobody_kept_its_moment()
     {
        let at = |milliseconds| DateTime::from_timestamp_millis(milliseconds).expect("a time");
        for (changed_at, left) in [
            (Some(at(100_000)), Duration::from_secs(6)),
            (Some(at(95_500)), Duration::from_millis(1_500)),
            (Some(at(94_000)), Duration::ZERO),
            (Some(at(1_000)), Duration::ZERO),
            (Some(at(100_500)), OLD_ROUTES_LAST),
            (None, OLD_ROUTES_LAST),
        ] {
            assert_eq!(
                old_routes_last(changed_at, at(100_000)),
                left,
                "{changed_at:?}"
            );
        }
    }

    #[test]
    fn an_open_connection_is_waited_for_and_counted_once() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let upstream = [listener.local_addr().expect("an address").to_string()];
        assert_eq!(drain(&upstream, Duration::ZERO).expect("looked"), 0);
        let client = TcpStream::connect(&upstream[0]).expect("connected");
        let (accepted, _) = listener.accept().expect("accepted");
        assert_eq!(drain(&upstream, Duration::ZERO).expect("looked"), 1);
        let waiting = thread::spawn(move || drain(&upstream, Duration::from_secs(20)));
        drop((client, accepted));
        assert_eq!(waiting.join().expect("ended").expect("looked"), 0);
    }
}
