//! As much of HTTP/1.1 as it takes to be behind a proxy.
//!
//! Promise: reads one request after another from a connection, bodies included, and answers each with its length.

use std::io::{self, BufRead, Read, Write};

/// More of a head than this is no request.
const MAX_HEAD_BYTES: u64 = 64 * 1024;

/// A request.
pub struct Request {
    /// `HEAD` has an answer without its body.
    pub method: String,
    /// Without its query.
    pub path: String,
    query: String,
    /// The sender keeps the connection.
    pub keep: bool,
}

impl Request {
    /// The next one, if one comes; its body is read and dropped.
    pub fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut head = from.by_ref().take(MAX_HEAD_BYTES);
        let mut first = String::new();
        if head.read_line(&mut first)? == 0 {
            return Ok(None);
        }
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "not a request");
        let mut words = first.split_whitespace();
        let (Some(method), Some(target), Some(version)) =
            (words.next(), words.next(), words.next())
        else {
            return Err(bad());
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request = Self {
            method: method.to_string(),
            path: path.to_string(),
            query: query.to_string(),
            keep: version != "HTTP/1.0",
        };
        let mut length = 0;
        loop {
            let mut line = String::new();
            if head.read_line(&mut line)? == 0 {
                return Err(bad());
            }
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().map_err(|_| bad())?,
                "connection" => request.keep = !value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        io::copy(&mut from.by_ref().take(length), &mut io::sink())?;
        Ok(Some(request))
    }

    /// A value of the query.
    pub fn query(&self, name: &str) -> Option<String> {
        self.query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| decoded(value))
    }
}

fn decoded(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|two| str::from_utf8(two).ok());
        match (first, hex.map(|two| u8::from_str_radix(two, 16))) {
            (b'%', Some(Ok(byte))) => {
                bytes.push(byte);
                rest = &after[2..];
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An answer.
pub struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
}

impl Answer {
    /// With this status.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: String::new(),
            body: body.into(),
        }
    }

    /// With status 200.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, body)
    }

    /// One header more.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// Send it, in one piece.
    pub fn write(&self, to: &mut impl Write, request: &Request, keep: bool) -> io::Result<()> {
        let mut bytes = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: {}\r\n{}\r\n",
            self.status,
            if self.status == 200 { "OK" } else { "Not OK" },
            self.body.len(),
            if keep { "keep-alive" } else { "close" },
            self.headers
        )
        .into_bytes();
        if request.method != "HEAD" {
            bytes.extend(&self.body);
        }
        to.write_all(&bytes)
    }
}
