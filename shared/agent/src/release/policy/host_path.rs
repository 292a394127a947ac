//! Paths of the server that a file names as a volume.
//!
//! Promise: judged by what they mean and not by how they are spelled: `/run/../var//run/` is `/var/run`.

use super::Found;
use protocol::release::Allowance;

/// Where container engines listen; `/var/run` is a link to `/run`.
const SOCKETS: [&str; 6] = [
    "/run/docker.sock",
    "/run/docker/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/podman/podman.sock",
    "/run/crio/crio.sock",
    "/run/docker/containerd/containerd.sock",
];

/// A folder or file of the server, mounted by `at`.
pub fn judge(at: &str, path: &str, found: &mut Found) {
    if !path.starts_with('/') {
        found.add(
            at,
            "a folder by a relative path as a volume: a file that comes as a text has no folder. Name a volume",
            None,
        );
        return;
    }
    let (socket, only) = socket(path);
    if socket {
        found.add(
            at,
            "the engine's socket as a volume",
            Some(Allowance::DockerSocket),
        );
    }
    if !only {
        found.add(
            at,
            "a folder of the server as a volume",
            Some(Allowance::HostPaths),
        );
    }
}

/// Does it lead to a socket of an engine, and to nothing else?
fn socket(path: &str) -> (bool, bool) {
    let path = plain(path);
    let only = SOCKETS.contains(&path.as_str()) || path.ends_with("/docker.sock");
    // A folder above one holds it too; below `docker` anything may be one.
    let above = SOCKETS
        .iter()
        .any(|socket| path == "/" || socket.starts_with(&format!("{path}/")));
    // Links of every Linux, through which the sockets are seen as well.
    let linked = path == "/var" || path.starts_with("/proc");
    (only || above || linked, only)
}

/// Without `.`, `..`, doubled slashes and the link of `/var/run`.
fn plain(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
        if parts == ["var", "run"] {
            parts = vec!["run"];
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Allowance::{DockerSocket, HostPaths};

    #[test]
    fn every_spelling_of_the_socket_is_one() {
        for path in [
            "/var/run/docker.sock",
            "/run/docker.sock",
            "//var//run/./docker.sock",
            "/var/lib/../run/docker.sock",
            "/srv/../../../run/docker.sock/",
            "/run/containerd/containerd.sock",
            "/tmp/elsewhere/docker.sock",
        ] {
            assert_eq!(asked(path), [Some(DockerSocket)], "{path}");
        }
    }

    #[test]
    fn a_folder_above_the_socket_needs_both() {
        for path in [
            "/",
            "/run",
            "/var/run",
            "/var/run/",
            "/var",
            "/srv/..",
            "/run/docker",
            "/proc",
            "/proc/1/root",
        ] {
            assert_eq!(asked(path), [Some(DockerSocket), Some(HostPaths)], "{path}");
        }
    }

    #[test]
    fn other_folders_are_folders_and_relative_ones_are_none() {
        assert_eq!(asked("/srv/data"), [Some(HostPaths)]);
        assert_eq!(asked("/runner"), [Some(HostPaths)]);
        for path in ["./a", "../a", "a", "~/a", ".", "C:\\a"] {
            assert_eq!(asked(path), [None], "{path}");
        }
    }

    fn asked(path: &str) -> Vec<Option<Allowance>> {
        let mut found = Found::default();
        judge("web", path, &mut found);
        found.0.into_iter().map(|one| one.allowance).collect()
    }
}
