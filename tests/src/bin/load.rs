//! Asks for pages of one host all the time, some hundred a second, on kept and on new connections, until its stdin ends.
//!
//! A kept connection may be closed by the proxy in the moment in which a request is sent on it. RFC 9112, 9.3.1: a client
//! then sends a request that changes nothing again, on a new connection; so do browsers, and so does this. How often is told.
//!
//! `load <address> <host name>`; prints a line when it has begun, and at the end `{"asked": n, "again": n, "failed": [...]}`.

#![allow(
    clippy::disallowed_methods,
    reason = "it calls a server of this machine's own"
)]

use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Half of them keep their connections.
const CALLERS: usize = 4;
/// Between two requests of a caller: leaves the machine to what is tested.
const PAUSE: Duration = Duration::from_millis(16);
/// More than these say nothing new.
const REASONS: usize = 20;
/// A request that takes longer has failed.
const WITHIN: Duration = Duration::from_secs(15);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, host] = &words[..] else {
        eprintln!("load <address> <host name>");
        std::process::exit(2);
    };
    let over = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicU64::new(0));
    let again = Arc::new(AtomicU64::new(0));
    let failed: Arc<Mutex<Vec<String>>> = Arc::default();
    let until = Arc::clone(&over);
    std::thread::spawn(move || {
        let mut ignored = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut ignored);
        until.store(true, Ordering::SeqCst);
    });
    eprintln!("asking {address} for {host}");
    let callers = (0..CALLERS).map(|number| {
        let client = reqwest::Client::builder()
            .pool_max_idle_per_host(if number % 2 == 0 { 1 } else { 0 })
            .timeout(WITHIN)
            .build();
        let path = if number < 2 { "/" } else { "/slow?ms=40" };
        let request = client.map(|client| {
            let get = client.get(format!("http://{address}{path}"));
            get.header("host", host)
        });
        let (over, asked, again, failed) =
            (over.clone(), asked.clone(), again.clone(), failed.clone());
        async move {
            let request = request.expect("a client");
            while !over.load(Ordering::SeqCst) {
                let mut answer = request.try_clone().expect("no body").send().await;
                asked.fetch_add(1, Ordering::SeqCst);
                let is_kept = number % 2 == 0;
                if is_kept && answer.as_ref().is_err_and(reqwest::Error::is_request) {
                    again.fetch_add(1, Ordering::SeqCst);
                    answer = request.try_clone().expect("no body").send().await;
                }
                let why = match answer {
                    Ok(answer) if answer.status().is_success() => {
                        answer.text().await.err().map(|error| format!("{error:?}"))
                    }
                    Ok(answer) => Some(format!("status {}", answer.status())),
                    Err(error) => Some(format!("{error:?}")),
                };
                if let Some(why) = why {
                    let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                    if failed.len() < REASONS {
                        let kept = if is_kept { "kept" } else { "new" };
                        failed.push(format!("{path} on a {kept} connection: {why}"));
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    });
    futures_util::future::join_all(callers).await;
    let failed = failed
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    println!(
        "{}",
        serde_json::json!({"asked": asked.load(Ordering::SeqCst), "again": again.load(Ordering::SeqCst), "failed": failed})
    );
}
