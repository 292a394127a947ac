//! A callback and a store in one small HTTP server.
//!
//! Promise: it checks what they check: the secret, the size of a report, the signed checksum of a part, and that a URL
//! is one that was given out.

use crate::world::{Fault, Seen, sealed};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;

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
pub fn serve(
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
