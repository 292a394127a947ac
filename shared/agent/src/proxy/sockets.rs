//! The TCP sockets of this host, as the kernel lists them.
//!
//! Promise: only looks.

use crate::fault::{Result, io_at};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// Of this process's own network, which is the host's.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// What matters of a connection's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Both sides may send, or will in a moment.
    Open,
    /// Waits for connections.
    Listening,
    /// On its way out.
    Closing,
}

/// One socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// Its own end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// What it is at.
    pub state: State,
    /// By which its process is found; 0 when it has none any more.
    pub inode: u64,
}

/// All of them.
pub fn all() -> Result<Vec<Socket>> {
    let mut sockets = Vec::new();
    for table in TABLES {
        match std::fs::read_to_string(table) {
            Ok(text) => sockets.extend(text.lines().skip(1).filter_map(socket)),
            // A kernel without IPv6.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_at(Path::new(table), &error)),
        }
    }
    Ok(sockets)
}

/// `0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 12345 …`
fn socket(line: &str) -> Option<Socket> {
    let mut words = line.split_whitespace().skip(1);
    let (local, remote) = (address(words.next()?)?, address(words.next()?)?);
    // As in the kernel's include/net/tcp_states.h.
    let state = match words.next()? {
        "01" | "02" | "03" | "0C" => State::Open,
        "0A" => State::Listening,
        _ => State::Closing,
    };
    let inode = words.nth(5)?.parse().ok()?;
    Some(Socket {
        local,
        remote,
        state,
        inode,
    })
}

/// Words of 32 bits in the processor's own order, and a port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let mut bytes = Vec::new();
    for at in (0..ip.len()).step_by(8) {
        let word = u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => IpAddr::V4(Ipv4Addr::from(four)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?)),
    };
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(SocketAddr::new(ip.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_listener_and_both_ends_of_its_connection_are_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let at = listener.local_addr().expect("an address");
        let client = TcpStream::connect(at).expect("connected");
        let all = all().expect("looked");
        assert!(
            all.iter()
                .any(|one| one.local == at && one.state == State::Listening && one.inode > 0)
        );
        let own = client.local_addr().expect("an address");
        let ends = |one: &&Socket| one.local == own || one.remote == own;
        assert_eq!(all.iter().filter(ends).count(), 2);
    }

    #[test]
    fn a_mapped_address_is_the_one_it_stands_for() {
        assert_eq!(
            address("0000000000000000FFFF00000100007F:0050"),
            Some(SocketAddr::from(([127, 0, 0, 1], 80)))
        );
        assert_eq!(address("0100007F"), None);
        assert_eq!(address("01:00"), None);
    }
}
