//! A service behind the proxy: says its name, and remembers each request it did.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often each request was done, by the id that it carries.
pub type Done = Arc<Mutex<HashMap<String, u32>>>;

/// A service that listens until it is dropped, which closes every connection, as a container's end does.
pub struct Upstream {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    open: Arc<Mutex<HashMap<u64, TcpStream>>>,
    accepting: Option<JoinHandle<()>>,
}

impl Upstream {
    pub fn start(name: &str, done: &Done) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("an address");
        let stop = Arc::new(AtomicBool::new(false));
        let open = Arc::new(Mutex::new(HashMap::new()));
        let accepting = {
            let (stop, open, done) = (Arc::clone(&stop), Arc::clone(&open), Arc::clone(done));
            let name = name.to_string();
            thread::spawn(move || {
                for (number, stream) in (0..).zip(listener.incoming()) {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let stream = stream.expect("accepted");
                    let copy = stream.try_clone().expect("copied");
                    open.lock().expect("free").insert(number, copy);
                    let (name, done, open) = (name.clone(), Arc::clone(&done), Arc::clone(&open));
                    thread::spawn(move || {
                        serve(stream, &name, &done);
                        open.lock().expect("free").remove(&number);
                    });
                }
            })
        };
        Self {
            address,
            stop,
            open,
            accepting: Some(accepting),
        }
    }

    pub fn at(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for stream in self.open.lock().expect("free").values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn serve(stream: TcpStream, name: &str, done: &Done) {
    stream.set_nodelay(true).expect("set");
    let mut out = stream.try_clone().expect("copied");
    let mut input = BufReader::new(stream);
    while let Some(()) = one(&mut input, &mut out, name, done) {}
}

fn one(
    input: &mut BufReader<TcpStream>,
    out: &mut TcpStream,
    name: &str,
    done: &Done,
) -> Option<()> {
    let mut first = String::new();
    input
        .read_line(&mut first)
        .ok()
        .filter(|length| *length > 0)?;
    let path = first.split(' ').nth(1)?.to_string();
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        input
            .read_line(&mut line)
            .ok()
            .filter(|length| *length > 0)?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_string());
    }
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let length: u64 = header("content-length").parse().unwrap_or(0);
    let read = std::io::copy(&mut input.take(length), &mut std::io::sink()).ok()?;
    if read < length {
        return None;
    }
    *done
        .lock()
        .expect("free")
        .entry(header("x-id"))
        .or_default() += 1;
    if header("upgrade") == "websocket" {
        out.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            .ok()?;
        let mut chunk = [0; 1024];
        while let Ok(length @ 1..) = input.read(&mut chunk) {
            out.write_all(&chunk[..length]).ok()?;
        }
        return None;
    }
    if let Some(seconds) = path.strip_prefix("/slow/") {
        thread::sleep(Duration::from_secs_f32(seconds.parse().ok()?));
    }
    if path == "/stream" {
        out.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            .ok()?;
        thread::sleep(Duration::from_secs(2));
        out.write_all(b"4\r\nlast\r\n0\r\n\r\n").ok()?;
        return Some(());
    }
    let body = format!(
        "{name} {} {read} for={} proto={} host={}",
        header("x-id"),
        header("x-forwarded-for"),
        header("x-forwarded-proto"),
        header("x-forwarded-host"),
    );
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    out.write_all((head + &body).as_bytes()).ok()
}
