//! From a host name to an address that may be connected to.
//!
//! Promise: a server's address is never one of the function's own machine or of its cloud's metadata service.

use domain::StepError;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The first address of this host that may be used.
pub async fn resolve(host: &str, port: u16) -> Result<SocketAddr, StepError> {
    let found = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| {
            StepError::unavailable(
                "server_not_found",
                format!(
                    "The name {host} has no address; check the server's host name and its DNS."
                ),
            )
            .caused_by(error)
        })?;
    let mut refused = None;
    for address in found {
        if allowed(address.ip()) {
            return Ok(address);
        }
        refused = Some(address.ip());
    }
    Err(match refused {
        Some(ip) => StepError::refused(
            "address_refused",
            format!("{host} is {ip}, which is not an address of a server."),
        ),
        None => StepError::unavailable(
            "server_not_found",
            format!("The name {host} has no address; check the server's host name and its DNS."),
        ),
    })
}

/// Private networks are where servers live; this machine and the link are not.
fn allowed(ip: IpAddr) -> bool {
    let ip = match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
        v4 => v4,
    };
    match ip {
        IpAddr::V4(v4) => {
            !(v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || v4.octets()[0] == 0)
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || is_link_local(v6))
        }
    }
}

fn is_link_local(v6: Ipv6Addr) -> bool {
    v6.segments()[0] & 0xffc0 == 0xfe80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_this_machine_nor_the_metadata_service_is_a_server() {
        for ip in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "169.254.169.254",
            "::1",
            "::",
            "fe80::1",
            "::ffff:127.0.0.1",
            "255.255.255.255",
            "224.0.0.1",
        ] {
            assert!(!allowed(ip.parse().expect("an address")), "{ip}");
        }
        for ip in [
            "10.77.1.2",
            "192.168.1.5",
            "203.0.113.9",
            "2001:db8::1",
            "fd00::1",
        ] {
            assert!(allowed(ip.parse().expect("an address")), "{ip}");
        }
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_said_by_name() {
        let error = resolve("no-such-host.invalid", 22)
            .await
            .expect_err("has none");
        assert!(error.public.contains("no-such-host.invalid"));
    }
}
