//! What a test of a job stands on: a server's root, an order, and a callback and store with their faults.
//!
//! Promise: each test has its own, and they are patient for milliseconds where a job is for seconds.

use crate::server::serve;
use agent::jobs::Tempo;
use agent::jobs::folder::Folder;
use agent::jobs::line::Line;
use agent::paths::Paths;
use protocol::Lease;
use protocol::job::{Callback, Database, JobOrder, JobStart, Sealed, Work};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io::BufReader;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

pub const JOB: &str = "01J00000000000000000000000.dump_database";

/// What the server does instead of answering as it should.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// This status.
    Status(u16),
    /// Close after so many bytes of the body, the request's or the answer's.
    CloseAfter(usize),
    /// Take the request, and close without a word.
    HearAndClose,
    /// Say nothing for so long.
    Stall(Duration),
    /// Another byte in the middle of the answer.
    Flip,
}

#[derive(Default)]
pub struct Seen {
    /// All reports that were taken, in order.
    pub reports: Vec<Value>,
    /// The results with which the result's file was not on the disk yet.
    pub told_too_soon: u32,
    pub secret: String,
    pub cancel: bool,
    pub gone: bool,
    pub log_full: bool,
    /// Reports in any way, also those that were refused.
    pub words: u32,
    pub callback_faults: VecDeque<Fault>,
    pub store_faults: VecDeque<Fault>,
    pub parts: BTreeMap<(String, u32), Vec<u8>>,
    pub objects: BTreeMap<String, Vec<u8>>,
    pub completed: u32,
    pub signatures: u32,
    pub good: HashSet<String>,
    pub most_parts_asked: usize,
}

pub struct World {
    pub root: tempfile::TempDir,
    pub seen: Arc<Mutex<Seen>>,
    pub address: String,
}

impl World {
    pub fn new() -> Self {
        Self::at("127.0.0.1:0")
    }

    /// Heard at this address.
    pub fn at(address: &str) -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let listener = TcpListener::bind(address).expect("bound");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = Arc::new(Mutex::new(Seen {
            secret: "hush".into(),
            ..Seen::default()
        }));
        let world = Self {
            root,
            seen,
            address,
        };
        let (seen, address) = (Arc::clone(&world.seen), world.address.clone());
        let result = world.folder().path().join("result.json");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, address, result) = (Arc::clone(&seen), address.clone(), result.clone());
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream);
                    while serve(&mut reader, &seen, &address, &result).is_some() {}
                });
            }
        });
        world
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("free")
    }

    pub fn paths(&self) -> Paths {
        Paths::under(self.root.path())
    }

    pub fn folder(&self) -> Folder {
        Folder::of(&self.paths(), JOB)
    }

    /// An order whose work is told by the site's name.
    pub fn order(&self, what: &str, fence: u64, secret: &str) -> JobOrder {
        JobOrder {
            lease: Lease {
                target: "site:1".into(),
                fence,
                deployment_id: "01J00000000000000000000000".into(),
            },
            start: JobStart {
                job: JOB.into(),
                callback: Callback {
                    url: format!("{}/callback", self.address),
                    secret: secret.into(),
                },
                limit_seconds: 60,
                work: Work::BackupDatabase(Database {
                    site: what.into(),
                    database: "shop".into(),
                }),
            },
        }
    }

    /// A folder with an order, as a start leaves it.
    pub fn ordered(&self, what: &str) -> Folder {
        let folder = self.folder();
        agent::files::directory(&self.paths().jobs(), 0o700).expect("made");
        folder.make().expect("made");
        folder.begin_anew().expect("begun");
        folder.put_order(&self.order(what, 1, "hush")).expect("put");
        folder
    }

    pub fn line(&self) -> Arc<Line> {
        Arc::new(Line::new(&self.ordered("idle"), tempo()).expect("a line"))
    }

    pub fn says(&self, name: &str) -> Vec<Value> {
        let seen = self.seen();
        let says = seen
            .reports
            .iter()
            .filter_map(|report| report["say"].get(name));
        says.cloned().collect()
    }

    /// All lines that were heard, by number.
    pub fn log(&self) -> BTreeMap<u64, String> {
        let seen = self.seen();
        let says = seen.reports.iter().map(|report| &report["say"]);
        let logs = says.filter_map(|say| say.as_object()?.values().next()?["log"].as_array());
        logs.flatten()
            .map(|line| {
                let text = line["text"].as_str().expect("a text").to_string();
                (line["number"].as_u64().expect("a number"), text)
            })
            .collect()
    }
}

pub fn tempo() -> Tempo {
    Tempo {
        heartbeat: Duration::from_millis(50),
        first_wait: Duration::from_millis(5),
        connect_within: Duration::from_millis(500),
        report_within: Duration::from_millis(1000),
        silence: Duration::from_millis(300),
        store_away: Duration::from_millis(1500),
        denied_for: Duration::from_millis(200),
        refusals: 3,
        ends_within: Duration::from_millis(300),
        tell_for: Duration::from_millis(1500),
    }
}

/// Bytes that do not repeat, and come twice the same.
pub fn bytes(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

pub fn sealed(bytes: &[u8]) -> Sealed {
    Sealed {
        size_bytes: bytes.len() as u64,
        sha256: hex::encode(Sha256::digest(bytes)),
    }
}
