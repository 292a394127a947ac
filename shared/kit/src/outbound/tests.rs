//! The client against real sockets on this machine; names are looked up in a list.
//!
//! The rule held: nobody is connected to who may not be, whatever a URL, a name server or a receiver says.

use super::*;
use domain::ErrorKind;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Because these tests wait for it in full.
const SHORT: Duration = Duration::from_millis(300);

/// A receiver that counts who comes.
struct Receiver {
    address: SocketAddr,
    came: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
}

impl Receiver {
    /// Says this to everybody who has sent a request's head, then closes.
    async fn at(address: &str, says: Vec<u8>) -> Self {
        Self::on(TcpListener::bind(address).await.expect("a port"), says)
    }

    fn on(listener: TcpListener, says: Vec<u8>) -> Self {
        let address = listener.local_addr().expect("an address");
        let (came, sent) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let counts = (Arc::clone(&came), Arc::clone(&sent));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counts.0.fetch_add(1, Ordering::SeqCst);
                let mut head = [0; 4096];
                let _read = stream.read(&mut head).await;
                if says.is_empty() {
                    std::future::pending::<()>().await;
                }
                for part in says.chunks(16 * 1024) {
                    if stream.write_all(part).await.is_err() {
                        break;
                    }
                    counts.1.fetch_add(part.len(), Ordering::SeqCst);
                }
            }
        });
        Self {
            address,
            came,
            sent,
        }
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }
}

fn says(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn ok() -> Vec<u8> {
    says("200 OK", "", b"thanks")
}

/// The answers to look-ups, in order, and how many there were.
fn names(answers: &[&[&str]]) -> (Lookup, Arc<AtomicUsize>) {
    let asked = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&asked);
    let answers: VecDeque<Vec<IpAddr>> = answers
        .iter()
        .map(|ips| {
            ips.iter()
                .map(|ip| ip.parse().expect("an address"))
                .collect()
        })
        .collect();
    let answers = Mutex::new(answers);
    let lookup: Lookup = Arc::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let answer = answers
            .lock()
            .expect("not poisoned")
            .pop_front()
            .expect("no look-up beyond the list");
        Box::pin(async move { Ok(answer) })
    });
    (lookup, asked)
}

fn outbound(allowed: &[&str], lookup: Lookup) -> Outbound {
    let allowed: Vec<_> = allowed
        .iter()
        .map(|range| range.parse().expect("a range"))
        .collect();
    Outbound::with(Guard::new(&allowed), lookup, Duration::from_secs(5)).expect("a client")
}

async fn post(outbound: &Outbound, url: &str) -> Result<Reply, StepError> {
    outbound.post(url, &[], b"{}".to_vec()).await
}

async fn refused(outbound: &Outbound, url: &str) {
    let error = post(outbound, url).await.expect_err(url);
    assert_eq!(
        (error.kind, error.code.as_str()),
        (ErrorKind::Refused, "address_refused"),
        "{url}: {}",
        error.chain()
    );
}

#[tokio::test]
async fn loopback_is_refused_as_a_literal_and_as_a_name_before_anybody_connects() {
    let receiver = Receiver::at("127.0.0.1:0", ok()).await;
    let port = receiver.address.port();
    let outbound = outbound(&[], system_lookup());
    for host in ["127.0.0.1", "[::ffff:127.0.0.1]", "127.1", "localhost"] {
        refused(&outbound, &format!("https://{host}:{port}/")).await;
    }
    assert_eq!(receiver.came(), 0);
}

#[tokio::test]
async fn a_name_that_leads_to_a_refused_range_is_refused_without_saying_where_it_leads() {
    for ip in [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fd00:ec2::254",
        "fe80::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::1",
    ] {
        let (lookup, _) = names(&[&[ip]]);
        let outbound = outbound(&[], lookup);
        let error = post(&outbound, "https://hooks.example.com/")
            .await
            .expect_err(ip);
        assert_eq!(error.code, "address_refused", "{ip}: {}", error.chain());
        assert!(!error.public.contains(ip), "{}", error.public);
    }
}

#[tokio::test]
async fn the_metadata_service_is_refused() {
    let outbound = outbound(&["127.0.0.0/8"], system_lookup());
    for url in [
        "https://169.254.169.254/latest/meta-data/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        "http://[::ffff:169.254.169.254]/",
    ] {
        refused(&outbound, url).await;
    }
}

#[tokio::test]
async fn an_allowed_range_lets_through_by_address_and_by_name() {
    let receiver = Receiver::at("127.0.0.1:0", ok()).await;
    let port = receiver.address.port();
    let (lookup, _) = names(&[&["127.0.0.1"]]);
    let outbound = outbound(&["127.0.0.1/32"], lookup);
    for host in ["127.0.0.1", "hooks.example.com"] {
        let reply = post(&outbound, &format!("http://{host}:{port}/"))
            .await
            .expect("a reply");
        assert_eq!((reply.status, reply.body.as_slice()), (200, &b"thanks"[..]));
    }
    assert_eq!(receiver.came(), 2);
}

#[tokio::test]
async fn clear_text_is_refused_beside_the_allowed_range() {
    let (lookup, asked) = names(&[&["8.8.8.8"]]);
    let closed = outbound(&[], Arc::clone(&lookup));
    refused(&closed, "http://hooks.example.com/").await;
    assert_eq!(
        asked.load(Ordering::SeqCst),
        0,
        "nothing was even looked up"
    );
    let lab = outbound(&["127.0.0.1/32"], lookup);
    refused(&lab, "http://hooks.example.com/").await;
    refused(&lab, "http://8.8.8.8/").await;
}

/// Two receivers at one port: the first may be called, the second may not.
async fn pair() -> (Receiver, Receiver) {
    loop {
        let open = TcpListener::bind("127.0.0.2:0").await.expect("a port");
        let port = open.local_addr().expect("an address").port();
        // Another test may have the port at the other address.
        if let Ok(closed) = TcpListener::bind(("127.0.0.1", port)).await {
            return (Receiver::on(open, ok()), Receiver::on(closed, ok()));
        }
    }
}

#[tokio::test]
async fn a_name_that_changes_its_answer_is_looked_up_once_a_call_and_never_leads_inside() {
    let (open, closed) = pair().await;
    let (lookup, asked) = names(&[&["127.0.0.2"], &["127.0.0.1"]]);
    let outbound = outbound(&["127.0.0.2/32"], lookup);
    let url = format!("http://rebinds.example.com:{}/", open.address.port());
    assert_eq!(post(&outbound, &url).await.expect("a reply").status, 200);
    assert_eq!(
        asked.load(Ordering::SeqCst),
        1,
        "checked and connected to by one look-up"
    );
    refused(&outbound, &url).await;
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!((open.came(), closed.came()), (1, 0));
}

#[tokio::test]
async fn of_a_names_addresses_only_the_allowed_ones_are_connected_to() {
    let (open, closed) = pair().await;
    let (lookup, _) = names(&[&["127.0.0.1", "127.0.0.2", "169.254.169.254"]]);
    let outbound = outbound(&["127.0.0.2/32"], lookup);
    let url = format!("http://mixed.example.com:{}/", open.address.port());
    assert_eq!(post(&outbound, &url).await.expect("a reply").status, 200);
    assert_eq!((open.came(), closed.came()), (1, 0));
}

#[tokio::test]
async fn a_redirect_is_a_failed_try_and_is_not_followed() {
    let next = Receiver::at("127.0.0.1:0", ok()).await;
    for to in [
        "http://169.254.169.254/latest/meta-data/".to_string(),
        format!("http://{}/", next.address),
    ] {
        for status in [
            "301 Moved Permanently",
            "302 Found",
            "307 Temporary Redirect",
        ] {
            let answer = says(status, &format!("location: {to}\r\n"), b"");
            let receiver = Receiver::at("127.0.0.1:0", answer).await;
            let outbound = outbound(&["127.0.0.1/32"], system_lookup());
            let error = post(&outbound, &format!("http://{}/", receiver.address))
                .await
                .expect_err("a redirect");
            assert_eq!(
                (error.kind, error.code.as_str()),
                (ErrorKind::Unavailable, "redirected")
            );
            assert_eq!(receiver.came(), 1);
        }
    }
    assert_eq!(next.came(), 0);
}

#[tokio::test]
async fn of_a_long_reply_64_kb_are_read_and_the_rest_is_left() {
    const LONG: usize = 64 * 1024 * 1024;
    let receiver = Receiver::at("127.0.0.1:0", says("200 OK", "", &vec![b'x'; LONG])).await;
    let outbound = outbound(&["127.0.0.1/32"], system_lookup());
    let reply = post(&outbound, &format!("http://{}/", receiver.address))
        .await
        .expect("a reply");
    assert_eq!(
        (reply.status, reply.body.len(), reply.truncated),
        (200, 65_536, true)
    );
    assert!(receiver.sent.load(Ordering::SeqCst) < LONG);
    let fits = Receiver::at("127.0.0.1:0", says("500 Oops", "", &[b'x'; 65_536])).await;
    let reply = post(&outbound, &format!("http://{}/", fits.address))
        .await
        .expect("a reply");
    assert_eq!(
        (reply.status, reply.body.len(), reply.truncated),
        (500, 65_536, false)
    );
}

#[tokio::test]
async fn a_receiver_that_takes_too_long_before_or_within_its_reply_is_given_up() {
    let silent = Receiver::at("127.0.0.1:0", Vec::new()).await;
    let halting = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a caller");
            let mut request = [0; 4096];
            let _read = stream.read(&mut request).await;
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhal";
            stream.write_all(head).await.expect("sent");
            std::future::pending::<()>().await;
        });
        address
    };
    let guard = Guard::new(&["127.0.0.1/32".parse().expect("a range")]);
    let outbound = Outbound::with(guard, system_lookup(), SHORT).expect("a client");
    for address in [silent.address, halting] {
        let error = post(&outbound, &format!("http://{address}/"))
            .await
            .expect_err("too slow");
        assert_eq!(
            (error.kind, error.code.as_str()),
            (ErrorKind::Unavailable, "no_answer")
        );
        assert!(error.public.contains("0.3 seconds"), "{}", error.public);
    }
}

#[tokio::test]
async fn nobody_there_is_unavailable_and_the_log_does_not_show_the_path() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let outbound = outbound(&["127.0.0.1/32"], system_lookup());
    let error = post(&outbound, &format!("http://{address}/hook/canary"))
        .await
        .expect_err("nobody");
    assert_eq!(
        (error.kind, error.code.as_str()),
        (ErrorKind::Unavailable, "no_answer")
    );
    assert!(!error.chain().contains("canary"), "{}", error.chain());
}

#[tokio::test]
async fn https_to_a_receiver_without_tls_is_unavailable() {
    let receiver = Receiver::at("127.0.0.1:0", ok()).await;
    let outbound = outbound(&["127.0.0.1/32"], system_lookup());
    let error = post(&outbound, &format!("https://{}/", receiver.address))
        .await
        .expect_err("no TLS");
    assert_eq!(error.kind, ErrorKind::Unavailable);
}
