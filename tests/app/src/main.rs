//! A sample application: what tests and demos deploy, as a container.
//!
//! Promise: one static file that behaves as a good service does (health, logs, an orderly end), and badly on request.
//!
//! Built by `cargo xtask sample-app`. Addresses: `/`, `/health`, `/slow?ms=N`, `/env?name=K`, `/exit?code=N`, `/write?text=T`
//! and `/read` (a line more in, and all of, the file `DATA_FILE`). Settings: `PORT`, `VERSION`, `HEALTHY=0`,
//! `HEALTHY_AFTER_SECONDS`. `app check` asks its own `/health` and ends with 0 or 1, for where there is no curl.

#![allow(
    clippy::disallowed_methods,
    reason = "a program of its own: its environment is what it shows"
)]

mod connections;
mod http;

use connections::Connections;
use http::{Answer, Request};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

fn setting(name: &str, otherwise: &str) -> String {
    env::var(name).unwrap_or_else(|_| otherwise.to_string())
}

fn port() -> u16 {
    setting("PORT", "8080").parse().unwrap_or(8080)
}

fn main() -> ExitCode {
    let ended = match env::args().nth(1).as_deref() {
        Some("check") => check(),
        _ => serve(),
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sample-app: {error}");
            ExitCode::FAILURE
        }
    }
}

fn check() -> io::Result<ExitCode> {
    let mut stream = TcpStream::connect(("127.0.0.1", port()))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(if answer.starts_with("HTTP/1.1 200 ") {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn serve() -> io::Result<ExitCode> {
    let app = App {
        version: setting("VERSION", "none"),
        host: fs::read_to_string("/proc/sys/kernel/hostname")?
            .trim()
            .to_string(),
        started: Instant::now(),
    };
    // Before the port is open: who sees it open may send the signal.
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let listener = TcpListener::bind(("0.0.0.0", port()))?;
    let address = listener.local_addr()?;
    println!("sample-app: version={} listens on {address}", app.version);
    eprintln!("sample-app: version={} writes errors here", app.version);
    let connections = Connections::default();
    thread::scope(|scope| {
        scope.spawn(|| {
            signals.forever().next();
            connections.stop();
            // Wakes who waits for a connection.
            let _woken = TcpStream::connect(("127.0.0.1", address.port()));
        });
        let accept = |stream: io::Result<TcpStream>| match stream {
            Ok(stream) => {
                scope.spawn(|| connections.serve(stream, |request| app.answer(request)));
                true
            }
            // Of one connection, that is gone: not of the listener.
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        };
        while !connections.stopping() {
            accept(listener.accept().map(|(stream, _)| stream));
        }
        // Who connected before the end is still heard.
        listener.set_nonblocking(true)?;
        while accept(listener.accept().map(|(stream, _)| stream)) {}
        drop(listener);
        Ok(())
    })
    .map(|()| {
        println!("sample-app: version={} ends", app.version);
        ExitCode::SUCCESS
    })
}

struct App {
    version: String,
    host: String,
    started: Instant,
}

impl App {
    fn healthy(&self) -> bool {
        let after = setting("HEALTHY_AFTER_SECONDS", "0").parse().unwrap_or(0);
        setting("HEALTHY", "1") != "0" && self.started.elapsed() >= Duration::from_secs(after)
    }

    fn answer(&self, request: &Request) -> Answer {
        let asked = |name: &str| request.query(name).unwrap_or_default();
        let answer = match request.path.as_str() {
            "/" => Answer::ok(format!("version={} host={}\n", self.version, self.host)),
            "/health" if self.healthy() => Answer::ok("healthy\n"),
            "/health" => Answer::new(503, "not healthy\n"),
            "/slow" => {
                thread::sleep(Duration::from_millis(asked("ms").parse().unwrap_or(1000)));
                Answer::ok("slow\n")
            }
            "/env" => env::var(asked("name")).map_or_else(|_| Answer::new(404, ""), Answer::ok),
            "/exit" => std::process::exit(asked("code").parse().unwrap_or(1)),
            "/write" => stored(write(&asked("text"))),
            "/read" => stored(read()),
            _ => Answer::new(404, "no such address\n"),
        };
        answer.header("X-Version", &self.version)
    }
}

fn write(text: &str) -> io::Result<Vec<u8>> {
    let file = setting("DATA_FILE", "data");
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    file.write_all(format!("{text}\n").as_bytes())?;
    file.sync_all()?;
    Ok(b"written\n".to_vec())
}

fn read() -> io::Result<Vec<u8>> {
    match fs::read(setting("DATA_FILE", "data")) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

fn stored(result: io::Result<Vec<u8>>) -> Answer {
    result.map_or_else(
        |error| Answer::new(500, format!("{error}\n")),
        |bytes| Answer::new(200, bytes),
    )
}
