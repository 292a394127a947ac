//! Networks, volumes, configs and secrets of a Compose file.
//!
//! Promise: what is not the project's own, or is made by anything but the engine's plain drivers, is refused.

use super::{Found, host_path, is_nothing, object, shown};
use protocol::release::Allowance::{External, HostNamespaces, HostPaths};
use serde_json::Value;
use std::net::IpAddr;

/// Options of bridge networks that change nothing outside of them.
const BRIDGE_OPTIONS: [&str; 4] = [
    "com.docker.network.bridge.enable_icc",
    "com.docker.network.bridge.enable_ip_masquerade",
    "com.docker.network.driver.mtu",
    "com.docker.network.enable_ipv6",
];

/// One entry of `kind`.
pub fn judge(kind: &str, name: &str, value: &Value, project: &str, found: &mut Found) {
    let at = &format!("{kind}.{}", shown(name));
    let own = format!("{project}_{name}");
    if !is_nothing(&value["external"]) {
        // Configs and secrets of others are a cluster's, which this is not.
        let allowance = ["networks", "volumes"].contains(&kind).then_some(External);
        found.add(at, "`external`", allowance);
    } else if value["name"].as_str().is_some_and(|name| name != own) {
        found.add(at, "a `name` of its own", Some(External));
    }
    found.labels(at, &value["labels"]);
    match kind {
        "networks" => network(at, value, found),
        "volumes" => volume(at, value, found),
        _ => {
            let known = ["name", "external", "labels", "content"];
            found.unknown(at, kind, value, &known);
        }
    }
}

fn network(at: &str, value: &Value, found: &mut Found) {
    let known = [
        "attachable",
        "driver",
        "driver_opts",
        "enable_ipv4",
        "enable_ipv6",
        "external",
        "internal",
        "ipam",
        "labels",
        "name",
    ];
    found.unknown(at, "networks", value, &known);
    match value["driver"].as_str() {
        None | Some("" | "bridge" | "default") => {}
        Some(driver @ ("host" | "macvlan" | "ipvlan" | "overlay")) => {
            found.add(at, format!("`driver: {driver}`"), Some(HostNamespaces));
        }
        Some(_) => found.add(at, "a `driver` other than bridge", Some(HostNamespaces)),
    }
    for (option, value) in object(&value["driver_opts"]) {
        if !BRIDGE_OPTIONS.contains(&option.as_str()) && !is_nothing(value) {
            found.add(
                at,
                format!("the `driver_opts` {}", shown(option)),
                Some(HostNamespaces),
            );
        }
    }
    let ipam = &value["ipam"];
    found.unknown(at, "ipam", ipam, &["driver", "config"]);
    if ipam["driver"]
        .as_str()
        .is_some_and(|driver| !["", "default"].contains(&driver))
    {
        found.add(at, "an `ipam.driver`", None);
    }
    for config in ipam["config"].as_array().into_iter().flatten() {
        found.unknown(
            at,
            "ipam.config",
            config,
            &["subnet", "ip_range", "gateway", "aux_addresses"],
        );
        if config["subnet"]
            .as_str()
            .is_some_and(|subnet| !is_private(subnet))
        {
            // The server would no longer find the real owners of these addresses.
            found.add(
                at,
                "an `ipam` subnet that is not of private addresses",
                Some(HostNamespaces),
            );
        }
    }
}

/// All of a subnet within the addresses that are nobody's on the Internet.
fn is_private(subnet: &str) -> bool {
    let Some((address, length)) = subnet.split_once('/') else {
        return false;
    };
    let (Ok(address), Ok(length)) = (address.parse::<IpAddr>(), length.parse::<u8>()) else {
        return false;
    };
    match address {
        IpAddr::V4(address) => match address.octets() {
            [10, ..] => length >= 8,
            [172, 16..=31, ..] => length >= 12,
            [192, 168, ..] => length >= 16,
            [100, 64..=127, ..] => length >= 10,
            _ => false,
        },
        IpAddr::V6(address) => address.octets()[0] & 0xfe == 0xfc && length >= 7,
    }
}

fn volume(at: &str, value: &Value, found: &mut Found) {
    let known = ["driver", "driver_opts", "external", "labels", "name"];
    found.unknown(at, "volumes", value, &known);
    match value["driver"].as_str() {
        None | Some("" | "local") => {}
        Some(_) => found.add(at, "a `driver` other than local", Some(External)),
    }
    let options = &value["driver_opts"];
    if !is_nothing(options) {
        found.add(at, "`driver_opts`", Some(HostPaths));
        if let Some(device) = options["device"]
            .as_str()
            .filter(|path| path.starts_with('/'))
        {
            host_path::judge(at, device, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_subnets_are_private_as_a_whole() {
        for good in [
            "10.0.0.0/8",
            "172.20.0.0/16",
            "192.168.7.0/24",
            "100.64.0.0/10",
            "fd00::/48",
        ] {
            assert!(is_private(good), "{good}");
        }
        for bad in [
            "8.8.8.0/24",
            "10.0.0.0/7",
            "172.16.0.0/11",
            "192.168.0.0/15",
            "2001:db8::/32",
            "10.0.0.0",
            "x/8",
        ] {
            assert!(!is_private(bad), "{bad}");
        }
    }
}
