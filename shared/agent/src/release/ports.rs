//! Ports of the loopback address, at which the proxy reaches routed containers.
//!
//! Promise: a port belongs to one release from its preparation until its folder goes, over restarts and reboots; two
//! releases never have the same one.

use crate::fault::{Result, refused};
use crate::files;
use crate::lease;
use crate::paths::Paths;
use crate::release::folder::{Environment, Ports, Release};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Below those that the kernel lends to programs which ask for any (32768 and above), and above those that services like.
const RANGE: RangeInclusive<u16> = 20_000..=29_999;
/// Choosing takes milliseconds.
const LOCK_WITHIN: Duration = Duration::from_secs(20);

/// Choose ports for a release and keep them in its folder. Those in `kept` stay what they are; a repeat keeps all.
pub fn choose(
    paths: &Paths,
    release: &Release,
    wanted: &BTreeMap<String, BTreeMap<u16, usize>>,
    kept: &Ports,
) -> Result<Ports> {
    files::directory(&paths.state(), 0o700)?;
    let _locked = lease::lock(&paths.state().join("ports.lock"), LOCK_WITHIN)?;
    let mut taken = BTreeSet::new();
    for environment in Environment::all(paths)? {
        for other in environment.releases()? {
            taken.extend(
                other
                    .ports()?
                    .into_values()
                    .flat_map(BTreeMap::into_values)
                    .flatten(),
            );
        }
    }
    let own = release.ports()?;
    let mut free =
        from(start(release.deployment())).filter(|port| !taken.contains(port) && is_free(*port));
    let mut chosen = Ports::new();
    for (service, all) in wanted {
        for (inside, count) in all {
            let has = |ports: &Ports| ports.get(service).and_then(|all| all.get(inside)).cloned();
            let mut ports = has(kept).or_else(|| has(&own)).unwrap_or_default();
            ports.truncate(*count);
            while ports.len() < *count {
                ports.push(free.next().ok_or_else(none_left)?);
            }
            chosen
                .entry(service.clone())
                .or_default()
                .insert(*inside, ports);
        }
    }
    release.set_ports(&chosen)?;
    Ok(chosen)
}

/// The ports of both.
pub fn all(ports: &Ports) -> BTreeSet<u16> {
    ports
        .values()
        .flat_map(BTreeMap::values)
        .flatten()
        .copied()
        .collect()
}

/// Each release begins elsewhere, so that a port that became free is not soon another's: somebody may still send to it.
fn start(deployment: &str) -> u16 {
    let sum = deployment.bytes().fold(0u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(byte))
    });
    let places = u32::from(RANGE.end() - RANGE.start()) + 1;
    RANGE.start() + u16::try_from(sum % places).unwrap_or_default()
}

fn from(start: u16) -> impl Iterator<Item = u16> {
    (start..=*RANGE.end()).chain(*RANGE.start()..start)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn none_left() -> protocol::AgentError {
    refused(
        "no_ports_left",
        "This server has no free port between 20000 and 29999 for the release. Remove environments that are not needed.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(count: usize) -> BTreeMap<String, BTreeMap<u16, usize>> {
        BTreeMap::from([("web".to_string(), BTreeMap::from([(80, count)]))])
    }

    fn release(paths: &Paths, environment: &str, deployment: &str) -> Release {
        let release = Environment::of(paths, environment)
            .expect("a name")
            .release(deployment)
            .expect("an id");
        release.make().expect("made");
        release
    }

    #[test]
    fn no_two_releases_share_a_port_and_a_repeat_keeps_them() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        let mut seen = BTreeSet::new();
        for environment in ["shop", "blog"] {
            // Ids whose search begins at the same place.
            for deployment in ["d1", "d-1"] {
                let release = release(&paths, environment, deployment);
                let ports = choose(&paths, &release, &wanted(3), &Ports::new()).expect("chosen");
                assert_eq!(
                    choose(&paths, &release, &wanted(3), &Ports::new()).expect("again"),
                    ports
                );
                assert!(
                    all(&ports)
                        .iter()
                        .all(|port| RANGE.contains(port) && seen.insert(*port))
                );
            }
        }
        assert_eq!(seen.len(), 12);
    }

    #[test]
    fn kept_ports_stay_and_more_replicas_get_more() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        let first = choose(
            &paths,
            &release(&paths, "shop", "d1"),
            &wanted(1),
            &Ports::new(),
        )
        .expect("chosen");
        let second =
            choose(&paths, &release(&paths, "shop", "d2"), &wanted(2), &first).expect("chosen");
        assert_eq!(second["web"][&80][0], first["web"][&80][0]);
        assert_ne!(second["web"][&80][1], first["web"][&80][0]);
    }

    #[test]
    fn a_port_that_somebody_listens_at_is_passed_over() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        let release = release(&paths, "shop", "d1");
        let held = from(start("d1"))
            .find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok())
            .expect("one is free");
        let ports = choose(&paths, &release, &wanted(1), &Ports::new()).expect("chosen");
        assert!(!all(&ports).contains(&held.local_addr().expect("an address").port()));
    }

    #[test]
    fn the_search_covers_the_whole_range() {
        assert_eq!(from(25_000).collect::<BTreeSet<u16>>().len(), RANGE.count());
    }
}
