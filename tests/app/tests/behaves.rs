//! The sample application does what tests of deployments rely on.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

struct App {
    child: Child,
    address: SocketAddr,
}

impl App {
    fn start(settings: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sample-app"))
            .env("PORT", "0")
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("piped"))
            .read_line(&mut line)
            .expect("a line");
        let port = line.trim().rsplit(':').next().expect("a port");
        let address = format!("127.0.0.1:{port}").parse().expect("an address");
        Self { child, address }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).expect("connected")
    }

    fn get(&self, target: &str) -> String {
        let mut stream = self.connect();
        ask(&mut stream, target, "Connection: close\r\n");
        rest(&mut stream)
    }

    fn terminate(&self) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .arg(id)
                .status()
                .expect("run")
                .success()
        );
    }

    fn ended_well(mut self) -> bool {
        self.child.wait().expect("ended").success()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}

fn ask(stream: &mut TcpStream, target: &str, headers: &str) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: app\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
}

fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("read");
    text
}

/// One answer of a connection that stays.
fn answer(stream: &mut TcpStream) -> String {
    let mut from = BufReader::new(stream);
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        assert_ne!(from.read_line(&mut text).expect("a line"), 0, "{text}");
    }
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    from.read_exact(&mut body).expect("a body");
    text + &String::from_utf8_lossy(&body)
}

#[test]
fn it_tells_its_version_and_answers_again_on_one_connection() {
    let app = App::start(&[("VERSION", "v1")]);
    let mut stream = app.connect();
    for _ in 0..2 {
        ask(&mut stream, "/", "");
        let answer = answer(&mut stream);
        assert!(answer.contains("\r\nX-Version: v1\r\n"), "{answer}");
        assert!(answer.contains("\r\n\r\nversion=v1 host="), "{answer}");
    }
}

#[test]
fn it_is_healthy_as_it_is_told() {
    assert!(
        App::start(&[])
            .get("/health")
            .starts_with("HTTP/1.1 200 OK")
    );
    let told = [("HEALTHY", "0"), ("HEALTHY_AFTER_SECONDS", "600")];
    for one in told {
        assert!(
            App::start(&[one])
                .get("/health")
                .starts_with("HTTP/1.1 503")
        );
    }
}

#[test]
fn it_shows_its_environment_and_ends_when_told() {
    let mut app = App::start(&[("GREETING", "good day")]);
    assert!(app.get("/env?name=GREETING").ends_with("good day"));
    assert!(app.get("/env?name=NOTHING").starts_with("HTTP/1.1 404"));
    let mut stream = app.connect();
    ask(&mut stream, "/exit?code=7", "");
    assert_eq!(app.child.wait().expect("ended").code(), Some(7));
}

#[test]
fn what_is_written_outlives_it() {
    let file = std::env::temp_dir().join(format!("sample-app-{}", std::process::id()));
    let settings = [("DATA_FILE", file.to_str().expect("a path"))];
    App::start(&settings).get("/write?text=one%20or+two");
    App::start(&settings).get("/write?text=three");
    let read = App::start(&settings).get("/read");
    std::fs::remove_file(&file).expect("removed");
    assert!(read.ends_with("\r\n\r\none or two\nthree\n"), "{read}");
}

#[test]
fn it_ends_in_good_order() {
    let app = App::start(&[]);
    let mut idle = app.connect();
    ask(&mut idle, "/", "");
    answer(&mut idle);
    let mut slow = app.connect();
    ask(&mut slow, "/slow?ms=1000", "");
    app.terminate();
    assert_eq!(rest(&mut idle), "");
    slow.set_nonblocking(true).expect("set");
    let early = slow.peek(&mut [0]).map_err(|error| error.kind());
    assert_eq!(early, Err(ErrorKind::WouldBlock));
    slow.set_nonblocking(false).expect("set");
    let answer = rest(&mut slow);
    assert!(answer.contains("Connection: close"), "{answer}");
    assert!(answer.ends_with("slow\n"), "{answer}");
    assert!(TcpStream::connect(app.address).is_err());
    assert!(app.ended_well());
}

#[test]
fn it_checks_itself() {
    for (healthy, code) in [("1", 0), ("0", 1)] {
        let app = App::start(&[("HEALTHY", healthy)]);
        let status = Command::new(env!("CARGO_BIN_EXE_sample-app"))
            .arg("check")
            .env("PORT", app.address.port().to_string())
            .status();
        assert_eq!(status.expect("run").code(), Some(code));
    }
}
