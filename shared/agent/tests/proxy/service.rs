//! The proxy as systemd keeps it, on a server.

use crate::proofs;
use agent::paths::Paths;

pub fn proofs() {
    let paths = Paths::host();
    proofs::all(&paths);
}
