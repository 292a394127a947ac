//! A page of a container, asked of it directly.
//!
//! Promise: of the answer only what the gate names is kept; no redirect is followed and no proxy is used.

use crate::release::container::Container;
use protocol::release::HttpProbe;
use std::io::Read;
use std::net::IpAddr;
use std::time::Duration;

/// A body longer than this has said by then what it is.
const BODY_LIMIT_BYTES: u64 = 256 * 1024;
/// Where the gate says nothing.
const TIMEOUT_SECONDS: u32 = 5;
/// A page that takes longer than this is no health check.
const TIMEOUT_LIMIT_SECONDS: u32 = 120;

/// Where a port of the container is reached: as published on the loopback address, or in its network.
pub fn address(container: &Container, port: u16) -> Option<String> {
    if let Some(published) = container.ports.get(&port) {
        return Some(format!("127.0.0.1:{published}"));
    }
    match container.address? {
        IpAddr::V4(address) => Some(format!("{address}:{port}")),
        IpAddr::V6(address) => Some(format!("[{address}]:{port}")),
    }
}

/// Ask; what was good about the answer, or what was not, for people: "/health answered 200".
pub fn ask(address: &str, probe: &HttpProbe) -> Result<String, String> {
    let seconds = match probe.timeout_seconds {
        0 => TIMEOUT_SECONDS,
        seconds => seconds.min(TIMEOUT_LIMIT_SECONDS),
    };
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_idle_connections(0)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(u64::from(seconds))))
        .user_agent("triphammer")
        .build()
        .into();
    let mut request = agent.get(format!("http://{address}{}", probe.path));
    if let Some(host) = &probe.host {
        request = request.header("Host", host);
    }
    let mut answer = request.call().map_err(|error| match error {
        ureq::Error::Timeout(_) => format!("{} did not answer within {seconds} s", probe.path),
        ureq::Error::Io(error) => format!("{} did not answer: {}", probe.path, error.kind()),
        _ => format!("{} did not answer as HTTP does", probe.path),
    })?;
    let status = answer.status().as_u16();
    let says = format!("{} answered {status}", probe.path);
    let is_good = if probe.statuses.is_empty() {
        (200..400).contains(&status)
    } else {
        probe.statuses.contains(&status)
    };
    if !is_good {
        return Err(says);
    }
    if let Some((name, value)) = &probe.header {
        let all = answer.headers().get_all(name.as_str());
        if !all
            .iter()
            .any(|one| one.to_str().is_ok_and(|text| text.contains(value.as_str())))
        {
            return Err(format!(
                "{says}, but without the header {name} as it is expected"
            ));
        }
    }
    if let Some(part) = &probe.contains {
        let mut bytes = Vec::new();
        let read = answer
            .body_mut()
            .as_reader()
            .take(BODY_LIMIT_BYTES)
            .read_to_end(&mut bytes);
        read.map_err(|_| format!("{says}, but not to its end"))?;
        if !String::from_utf8_lossy(&bytes).contains(part.as_str()) {
            return Err(format!("{says}, but not with the text that is expected"));
        }
    }
    Ok(says)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;

    /// Answers so, once.
    fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("an address").to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("asked");
            let mut request = [0; 1024];
            let length = stream.read(&mut request).expect("read");
            assert!(
                String::from_utf8_lossy(&request[..length])
                    .to_lowercase()
                    .contains("host: shop.test\r\n")
            );
            stream.write_all(answer.as_bytes()).expect("answered");
        });
        address
    }

    fn probe() -> HttpProbe {
        HttpProbe {
            port: None,
            path: "/health".into(),
            statuses: vec![],
            contains: Some("ready".into()),
            header: Some(("X-State".into(), "up".into())),
            host: Some("shop.test".into()),
            timeout_seconds: 2,
        }
    }

    #[test]
    fn an_answer_is_good_by_status_header_and_text() {
        let good =
            server("HTTP/1.1 200 OK\r\nX-State: is up\r\nContent-Length: 7\r\n\r\nready\r\n");
        assert_eq!(ask(&good, &probe()).as_deref(), Ok("/health answered 200"));
        for (answer, reason) in [
            (
                "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
                "answered 500",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready",
                "header",
            ),
            (
                "HTTP/1.1 200 OK\r\nX-State: up\r\nContent-Length: 4\r\n\r\nwait",
                "text",
            ),
            ("what?\r\n\r\n", "HTTP"),
        ] {
            let error = ask(&server(answer), &probe()).expect_err(answer);
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn only_the_named_statuses_count_when_there_are_any() {
        let teapot = HttpProbe {
            statuses: vec![418],
            contains: None,
            header: None,
            ..probe()
        };
        assert!(
            ask(
                &server("HTTP/1.1 418 Tea\r\nContent-Length: 0\r\n\r\n"),
                &teapot
            )
            .is_ok()
        );
        assert!(
            ask(
                &server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
                &teapot
            )
            .is_err()
        );
    }
}
