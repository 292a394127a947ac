//! Somebody's address that notices are sent to.
//!
//! Promise: answers 200 to every request, and remembers it.

use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// See the module.
pub struct Receiver {
    /// `http://127.0.0.1:40000/notices`
    pub url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    /// Listen on a free port.
    pub async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!(
            "http://{}/notices",
            listener.local_addr().expect("an address")
        );
        let requests = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut text = Vec::new();
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    text.extend(&buffer[..read]);
                    if whole(&text) {
                        break;
                    }
                }
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _closed_already = stream.write_all(answer).await;
                let mut heard = heard.lock().expect("no panic");
                heard.push(String::from_utf8_lossy(&text).to_string());
            }
        });
        Self { url, requests }
    }

    /// What came so far, each with its headers.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }
}

/// Its body is as long as its header says.
fn whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let mut lengths = head
        .lines()
        .filter_map(|line| line.strip_prefix("content-length: "));
    lengths
        .next()
        .and_then(|length| length.trim().parse().ok())
        .is_none_or(|length: usize| body.len() >= length)
}
