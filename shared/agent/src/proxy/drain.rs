//! Until nothing is under way to containers that no route leads to any more.
//!
//! Promise: counts connections, not what Caddy says: after a reload its admin address forgets the requests that the
//! configuration before still serves. Caddy keeps an unused connection for a second at most, so an open one is in use.

use super::sockets::{self, State};
use crate::fault::{Result, bad_request};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

/// Between two looks: a look reads the kernel's whole table.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

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
