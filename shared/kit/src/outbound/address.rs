//! Which addresses are of the public internet.
//!
//! Promise: what IANA's special-purpose registries do not call globally reachable is refused, in every form that hides it in IPv6.

use ipnet::{Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn v6(first: u16, second: u16, third: u16, bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0), bits)
}

const REFUSED_V4: [Ipv4Net; 15] = [
    v4(0, 0, 0, 0, 8),       // this network, unspecified
    v4(10, 0, 0, 0, 8),      // private
    v4(100, 64, 0, 0, 10),   // shared with carriers (CGNAT)
    v4(127, 0, 0, 0, 8),     // loopback, Lambda's Runtime API among it
    v4(169, 254, 0, 0, 16),  // link-local, the metadata service among it
    v4(172, 16, 0, 0, 12),   // private
    v4(192, 0, 0, 0, 24),    // protocol assignments
    v4(192, 0, 2, 0, 24),    // documentation
    v4(192, 88, 99, 0, 24),  // 6to4 relays, deprecated
    v4(192, 168, 0, 0, 16),  // private
    v4(198, 18, 0, 0, 15),   // benchmarks
    v4(198, 51, 100, 0, 24), // documentation
    v4(203, 0, 113, 0, 24),  // documentation
    v4(224, 0, 0, 0, 4),     // multicast
    v4(240, 0, 0, 0, 4),     // reserved, broadcast
];

/// The only part of IPv6 that is handed out: loopback, ULA, link-local, multicast and all to come are outside of it.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

const REFUSED_V6: [Ipv6Net; 4] = [
    v6(0x2001, 0, 0, 23),     // protocol assignments: Teredo, benchmarks, ORCHID
    v6(0x2001, 0xdb8, 0, 32), // documentation
    v6(0x2002, 0, 0, 16),     // 6to4: deprecated, and any IPv4 address may stand in it
    v6(0x3fff, 0, 0, 20),     // documentation
];

/// IPv6-only networks reach IPv4 by it, so a public receiver may have such an address; the IPv4 address in it decides.
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 96);

/// Is it an address of the public internet?
pub fn is_public(ip: IpAddr) -> bool {
    // An IPv4-mapped address is its IPv4 address to the kernel.
    match ip.to_canonical() {
        IpAddr::V4(ip) => !REFUSED_V4.iter().any(|range| range.contains(&ip)),
        IpAddr::V6(ip) if NAT64.contains(&ip) => {
            let [.., a, b, c, d] = ip.octets();
            is_public(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
        }
        IpAddr::V6(ip) => {
            GLOBAL_V6.contains(&ip) && !REFUSED_V6.iter().any(|range| range.contains(&ip))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(addresses: &[&str], public: bool) {
        for text in addresses {
            let ip = text.parse().expect("an address");
            assert_eq!(is_public(ip), public, "{text}");
        }
    }

    #[test]
    fn both_ends_of_every_refused_ipv4_range_are_refused() {
        all(
            &[
                "0.0.0.0",
                "0.255.255.255",
                "10.0.0.0",
                "10.255.255.255",
                "100.64.0.0",
                "100.127.255.255",
                "127.0.0.1",
                "127.255.255.255",
                "169.254.0.0",
                "169.254.169.254",
                "169.254.255.255",
                "172.16.0.0",
                "172.31.255.255",
                "192.0.0.0",
                "192.0.0.255",
                "192.0.2.0",
                "192.0.2.255",
                "192.88.99.0",
                "192.88.99.255",
                "192.168.0.0",
                "192.168.255.255",
                "198.18.0.0",
                "198.19.255.255",
                "198.51.100.0",
                "198.51.100.255",
                "203.0.113.0",
                "203.0.113.255",
                "224.0.0.0",
                "239.255.255.255",
                "240.0.0.0",
                "255.255.255.255",
            ],
            false,
        );
    }

    #[test]
    fn the_neighbours_of_refused_ipv4_ranges_are_public() {
        all(
            &[
                "1.0.0.0",
                "9.255.255.255",
                "11.0.0.0",
                "100.63.255.255",
                "100.128.0.0",
                "126.255.255.255",
                "128.0.0.0",
                "169.253.255.255",
                "169.255.0.0",
                "172.15.255.255",
                "172.32.0.0",
                "191.255.255.255",
                "192.0.1.0",
                "192.0.3.0",
                "192.88.98.255",
                "192.88.100.0",
                "192.167.255.255",
                "192.169.0.0",
                "198.17.255.255",
                "198.20.0.0",
                "198.51.99.255",
                "198.51.101.0",
                "203.0.112.255",
                "203.0.114.0",
                "223.255.255.255",
                "8.8.8.8",
            ],
            true,
        );
    }

    #[test]
    fn ipv6_beside_the_global_range_and_its_special_parts_is_refused() {
        all(
            &[
                "::",
                "::1",
                "::7f00:1",
                "100::1",
                "64:ff9b:1::a9fe:a9fe",
                "1fff:ffff::1",
                "2001::1",
                "2001:2::1",
                "2001:1ff:ffff::1",
                "2001:db8::1",
                "2002:7f00:1::1",
                "2002:808:808::1",
                "3fff::1",
                "3fff:fff:ffff::1",
                "4000::1",
                "5f00::1",
                "fc00::1",
                "fd00:ec2::254",
                "fe80::1",
                "febf::1",
                "fec0::1",
                "ff02::1",
            ],
            false,
        );
        all(
            &[
                "2001:200::1",
                "2001:4860:4860::8888",
                "2003::1",
                "2606:4700::1111",
                "2a00::1",
                "3ffe::1",
            ],
            true,
        );
    }

    #[test]
    fn an_ipv4_address_inside_an_ipv6_address_is_judged_as_itself() {
        all(
            &[
                "::ffff:127.0.0.1",
                "::ffff:10.1.2.3",
                "::ffff:169.254.169.254",
                "::ffff:100.64.0.1",
                "64:ff9b::127.0.0.1",
                "64:ff9b::10.1.2.3",
                "64:ff9b::169.254.169.254",
                "64:ff9b::192.168.0.1",
            ],
            false,
        );
        all(&["::ffff:8.8.8.8", "64:ff9b::8.8.8.8"], true);
    }
}
