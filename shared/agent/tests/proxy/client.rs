//! A client of the proxy that keeps HTTP's rules about connections, and nothing more.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than the proxy tries.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is asked.
pub struct Asked<'a> {
    pub host: &'a str,
    pub path: &'a str,
    pub id: &'a str,
    /// Sent by POST; none for a GET.
    pub body: Option<&'a [u8]>,
}

impl<'a> Asked<'a> {
    pub fn get(host: &'a str, path: &'a str) -> Self {
        Self {
            host,
            path,
            id: "",
            body: None,
        }
    }
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
    closes: bool,
}

/// Keeps its connection from one request to the next.
#[derive(Default)]
pub struct Client {
    kept: Option<BufReader<TcpStream>>,
    /// The ids of requests whose kept connection was closed before the answer began, and which went over a new one: a server
    /// may close a connection at any time between two requests (RFC 9112, 9.3.1 and 9.5), and browsers and curl do so.
    pub asked_again: Vec<String>,
}

impl Client {
    pub fn ask(&mut self, asked: &Asked<'_>) -> Result<Answer, String> {
        if let Some(mut kept) = self.kept.take() {
            match exchange(&mut kept, asked, true) {
                Ok(answer) => return Ok(self.keep(kept, answer)),
                Err(Failed::NothingHeard(_)) => self.asked_again.push(asked.id.to_string()),
                Err(Failed::Broken(what)) => return Err(format!("on a kept connection: {what}")),
            }
        }
        let stream = connect()?;
        let mut fresh = BufReader::new(stream);
        match exchange(&mut fresh, asked, true) {
            Ok(answer) => Ok(self.keep(fresh, answer)),
            Err(Failed::NothingHeard(what) | Failed::Broken(what)) => Err(what),
        }
    }

    fn keep(&mut self, stream: BufReader<TcpStream>, answer: Answer) -> Answer {
        self.kept = (!answer.closes).then_some(stream);
        answer
    }
}

/// On a connection of its own.
pub fn ask_once(asked: &Asked<'_>) -> Result<Answer, String> {
    match exchange(&mut BufReader::new(connect()?), asked, false) {
        Ok(answer) => Ok(answer),
        Err(Failed::NothingHeard(what) | Failed::Broken(what)) => Err(what),
    }
}

pub fn connect() -> Result<TcpStream, String> {
    let stream = TcpStream::connect("127.0.0.1:80").map_err(|error| format!("connect: {error}"))?;
    let _ = stream.set_nodelay(true);
    stream
        .set_read_timeout(Some(PATIENCE))
        .map_err(|error| error.to_string())?;
    Ok(stream)
}

enum Failed {
    NothingHeard(String),
    Broken(String),
}

fn exchange(
    stream: &mut BufReader<TcpStream>,
    asked: &Asked<'_>,
    keep: bool,
) -> Result<Answer, Failed> {
    let nothing = |error: std::io::Error| Failed::NothingHeard(format!("nothing heard: {error}"));
    let broken = |error: std::io::Error| Failed::Broken(format!("cut: {error}"));
    let method = if asked.body.is_some() { "POST" } else { "GET" };
    let body = asked.body.unwrap_or_default();
    let mut request = format!(
        "{method} {} HTTP/1.1\r\nHost: {}\r\nX-Id: {}\r\nContent-Length: {}\r\n{}\r\n",
        asked.path,
        asked.host,
        asked.id,
        body.len(),
        if keep { "" } else { "Connection: close\r\n" },
    )
    .into_bytes();
    request.extend(body);
    stream.get_mut().write_all(&request).map_err(nothing)?;
    let mut head = String::new();
    loop {
        let heard = stream.read_line(&mut head);
        match heard {
            Ok(0) if head.is_empty() => return Err(Failed::NothingHeard("closed".into())),
            Ok(0) => return Err(Failed::Broken("closed within the head".into())),
            Ok(_) if head.ends_with("\r\n\r\n") => break,
            Ok(_) => {}
            Err(error) if head.is_empty() => return Err(nothing(error)),
            Err(error) => return Err(broken(error)),
        }
    }
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
    let lower = head.to_ascii_lowercase();
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let closes = !keep || lower.contains("connection: close");
    let mut body = Vec::new();
    match length {
        Some(length) => {
            body.resize(length, 0);
            stream.read_exact(&mut body).map_err(broken)?;
        }
        None if lower.contains("transfer-encoding: chunked") => {
            chunks(stream, &mut body).map_err(broken)?
        }
        None => {}
    }
    Ok(Answer {
        status: status.ok_or_else(|| Failed::Broken("no status".into()))?,
        head,
        body: String::from_utf8_lossy(&body).into_owned(),
        closes,
    })
}

fn chunks(stream: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
        let mut chunk = vec![0; length + 2];
        stream.read_exact(&mut chunk)?;
        body.extend(&chunk[..length]);
        if length == 0 {
            return Ok(());
        }
    }
}
