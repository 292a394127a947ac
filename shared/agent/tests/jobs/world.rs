//! A callback and a store in one small HTTP server, with faults in the order a test asks for.
//!
//! Promise: it checks what S3 checks: the signed checksum of a part, and that a URL is one it gave out.

use agent::jobs::Tempo;
use agent::jobs::folder::Folder;
use agent::jobs::line::Line;
use agent::paths::Paths;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::Lease;
use protocol::job::{Callback, Database, JobOrder, JobStart, Sealed, Work};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
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
    signatures: u32,
    good: HashSet<String>,
    pub most_parts_asked: usize,
}

pub struct World {
    pub root: tempfile::TempDir,
    pub seen: Arc<Mutex<Seen>>,
    pub address: String,
}

impl World {
    pub fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
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

struct Asked {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
}

fn head(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_string(), words.next()?.to_string());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else {
            return Some(Asked {
                method,
                path,
                headers,
            });
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_string());
    }
}

fn answer(stream: &TcpStream, status: u16, headers: &str, body: &[u8]) -> Option<()> {
    let mut stream = stream;
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n{headers}\r\n"
    )
    .ok()?;
    stream.write_all(body).ok()
}

/// One request; nothing when the connection is to be closed.
fn serve(
    reader: &mut BufReader<TcpStream>,
    seen: &Mutex<Seen>,
    address: &str,
    result: &std::path::Path,
) -> Option<()> {
    let asked = head(reader)?;
    let is_callback = asked.path == "/callback";
    let fault = {
        let mut seen = seen.lock().expect("free");
        if is_callback {
            seen.words += 1;
            seen.callback_faults.pop_front()
        } else {
            seen.store_faults.pop_front()
        }
    };
    let length = asked
        .headers
        .get("content-length")
        .map_or(0, |n| n.parse().expect("a number"));
    if let (Some(Fault::CloseAfter(bytes)), "PUT" | "POST") = (fault, asked.method.as_str()) {
        let _ = reader.take(bytes as u64).read_to_end(&mut Vec::new());
        return None;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    match fault {
        Some(Fault::Status(status)) => return answer(reader.get_ref(), status, "", b"<Error/>"),
        Some(Fault::Stall(time)) => {
            std::thread::sleep(time);
            return None;
        }
        _ => {}
    }
    let mut seen = seen.lock().expect("free");
    let (status, headers, mut body) = match asked.path.trim_start_matches('/').split('/').next() {
        Some("callback") => callback(&mut seen, &asked, &body, address, result),
        Some("put") => put(&mut seen, &asked, body),
        _ => get(&seen, &asked),
    };
    drop(seen);
    match fault {
        Some(Fault::HearAndClose) => None,
        Some(Fault::CloseAfter(bytes)) => {
            let mut stream = reader.get_ref();
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n{headers}\r\n"
            );
            let _ = stream.write_all(&body[..bytes.min(length)]);
            None
        }
        Some(Fault::Flip) => {
            let middle = body.len() / 2;
            body[middle] ^= 1;
            answer(reader.get_ref(), status, &headers, &body)
        }
        _ => answer(reader.get_ref(), status, &headers, &body),
    }
}

type Answered = (u16, String, Vec<u8>);

fn callback(
    seen: &mut Seen,
    asked: &Asked,
    body: &[u8],
    address: &str,
    result: &std::path::Path,
) -> Answered {
    let plain = |status| (status, String::new(), Vec::new());
    if seen.gone {
        return plain(410);
    }
    if asked.headers.get("authorization") != Some(&format!("Bearer {}", seen.secret)) {
        return plain(401);
    }
    if body.len() > protocol::job::REPORT_LIMIT_BYTES {
        return plain(413);
    }
    let report: Value = serde_json::from_slice(body).expect("JSON");
    let _: protocol::job::Report = serde_json::from_value(report.clone()).expect("a report");
    let say = report["say"].clone();
    seen.reports.push(report);
    let mut url = |number: u64, path: String, headers: Value| {
        seen.signatures += 1;
        let path = format!("/{path}?signature={}", seen.signatures);
        seen.good.insert(path.clone());
        json!({ "number": number, "url": format!("{address}{path}"), "headers": headers })
    };
    let mut urls = Vec::new();
    if let Some(parts) = say.get("parts") {
        let asked = parts["parts"].as_array().expect("parts");
        for part in asked {
            let number = part["number"].as_u64().expect("a number");
            let path = format!("put/{}/{number}", parts["object"].as_str().expect("a name"));
            urls.push(url(
                number,
                path,
                json!([["x-amz-checksum-sha256", part["sha256"]]]),
            ));
        }
        seen.most_parts_asked = seen.most_parts_asked.max(asked.len());
    } else if let Some(fetch) = say.get("fetch") {
        let path = format!("get/{}", fetch["object"].as_str().expect("a name"));
        urls.push(url(0, path, json!([])));
    } else if let Some(complete) = say.get("complete") {
        complete_object(seen, complete);
    } else if say.get("ended").is_some() && !result.exists() {
        seen.told_too_soon += 1;
    }
    let reply = json!({ "cancel": seen.cancel, "log_full": seen.log_full, "urls": urls });
    (200, String::new(), reply.to_string().into_bytes())
}

/// As S3 does: the parts that were named, in that order, each with the tag it had.
fn complete_object(seen: &mut Seen, complete: &Value) {
    let object = complete["object"].as_str().expect("a name").to_string();
    let mut whole = Vec::new();
    for (at, sent) in complete["parts"]
        .as_array()
        .expect("parts")
        .iter()
        .enumerate()
    {
        let number = sent["part"]["number"].as_u64().expect("a number") as u32;
        assert_eq!(number as usize, at + 1);
        assert_eq!(sent["etag"], format!("\"{object}-{number}\""));
        whole.extend(&seen.parts[&(object.clone(), number)]);
    }
    assert_eq!(complete["sealed"], json!(sealed(&whole)));
    seen.completed += 1;
    seen.objects.insert(object, whole);
}

fn put(seen: &mut Seen, asked: &Asked, body: Vec<u8>) -> Answered {
    let sum = STANDARD.encode(Sha256::digest(&body));
    if !seen.good.contains(&asked.path) {
        return (403, String::new(), Vec::new());
    }
    if asked.headers.get("x-amz-checksum-sha256") != Some(&sum) {
        return (400, String::new(), b"<Code>BadDigest</Code>".to_vec());
    }
    let path = asked.path.split('?').next().expect("a path");
    let words: Vec<&str> = path.split('/').collect();
    let (object, number) = (words[2].to_string(), words[3].parse().expect("a number"));
    let etag = format!("etag: \"{object}-{number}\"\r\n");
    seen.parts.insert((object, number), body);
    (200, etag, Vec::new())
}

fn get(seen: &Seen, asked: &Asked) -> Answered {
    let path = asked.path.split('?').next().expect("a path");
    let Some(object) = seen.objects.get(path.trim_start_matches("/get/")) else {
        return (404, String::new(), Vec::new());
    };
    if !seen.good.contains(&asked.path) {
        return (403, String::new(), Vec::new());
    }
    let range = asked.headers["range"].trim_start_matches("bytes=");
    let (from, to) = range.split_once('-').expect("a range");
    let (from, to): (usize, usize) = (from.parse().expect("from"), to.parse().expect("to"));
    if from >= object.len() {
        return (416, String::new(), Vec::new());
    }
    let to = to.min(object.len() - 1);
    let said = format!("content-range: bytes {from}-{to}/{}\r\n", object.len());
    (206, said, object[from..=to].to_vec())
}
