//! Does a site answer? Asked of this host's own web server, by its name in the request.
//!
//! Promise: of the page only the status and the title are kept.

use crate::check;
use crate::fault::{Result, first_bytes, unavailable, with_detail};
use protocol::{HttpReply, SiteProbe};
use std::io::Read;
use std::time::{Duration, Instant};

/// A first page compiles all of WordPress; a page that takes longer is no answer.
const PAGE_WITHIN: Duration = Duration::from_secs(20);
/// php-fpm and nginx take their new configuration up after the reload has returned.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(150);
/// An nginx that reloads closes connections on which nothing was asked yet; the next one reaches its new workers.
const PROBES: u32 = 3;
/// The title stands near the top.
const PAGE_LIMIT_BYTES: u64 = 128 * 1024;
/// As the protocol says.
const TITLE_LIMIT_BYTES: usize = 200;

struct Page {
    status: u16,
    body: String,
    wordpress: bool,
}

/// See [`protocol::Call::SiteProbe`].
pub fn probe(asked: &SiteProbe) -> Result<HttpReply> {
    check::name("site", &asked.site)?;
    check::host("address", &asked.address)?;
    let mut answer = get(&asked.address);
    for _ in 1..PROBES {
        if answer.is_ok() {
            break;
        }
        std::thread::sleep(LOOK_AGAIN);
        answer = get(&asked.address);
    }
    let page = answer.map_err(|reason| {
        let message = "The web server does not answer. Look at it: systemctl status nginx.";
        with_detail(unavailable("web_server_down", message), reason)
    })?;
    Ok(HttpReply {
        status: page.status,
        title: title(&page.body),
    })
}

/// Wait until WordPress answers under this host name.
pub fn wait_for_wordpress(host: &str) -> Result<()> {
    let until = Instant::now() + ANSWERS_WITHIN;
    loop {
        let seen = match get(host) {
            Ok(page) if (200..400).contains(&page.status) && page.wordpress => return Ok(()),
            Ok(page) => format!("status {}, title: {}", page.status, title(&page.body)),
            Err(reason) => reason,
        };
        if Instant::now() >= until {
            let error = unavailable(
                "site_not_answering",
                format!("The site does not answer as {host} ({seen})."),
            );
            return Err(error);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn get(host: &str) -> std::result::Result<Page, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(PAGE_WITHIN))
        .user_agent("triphammer")
        .build()
        .into();
    let mut answer = agent
        .get("http://127.0.0.1/")
        .header("Host", host)
        .call()
        .map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    // WordPress names its API in every page's head, and names itself when it redirects.
    let says = |name: &str, what: &str| {
        answer
            .headers()
            .get_all(name)
            .iter()
            .any(|value| value.to_str().is_ok_and(|text| text.contains(what)))
    };
    let wordpress = says("link", "api.w.org") || says("x-redirect-by", "WordPress");
    let mut bytes = Vec::new();
    let read = answer
        .body_mut()
        .as_reader()
        .take(PAGE_LIMIT_BYTES)
        .read_to_end(&mut bytes);
    read.map_err(|error| error.kind().to_string())?;
    Ok(Page {
        status,
        body: String::from_utf8_lossy(&bytes).into_owned(),
        wordpress,
    })
}

/// The page's title, its entities read.
fn title(body: &str) -> String {
    let lower = body.to_ascii_lowercase();
    let inner = lower
        .find("<title")
        .and_then(|at| Some(at + lower[at..].find('>')? + 1));
    let text = inner
        .and_then(|start| Some(&body[start..start + lower[start..].find("</title")?]))
        .unwrap_or_default();
    let plain: String = entities(text)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    first_bytes(plain.trim(), TITLE_LIMIT_BYTES)
}

fn entities(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.bytes().take(10).position(|b| b == b';');
        match end.and_then(|end| Some((entity(&rest[1..end])?, end))) {
            Some((letter, end)) => {
                plain.push(letter);
                rest = &rest[end + 1..];
            }
            None => {
                plain.push('&');
                rest = &rest[1..];
            }
        }
    }
    plain + rest
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "lsaquo" => Some('\u{2039}'),
        "rsaquo" => Some('\u{203a}'),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_read_with_its_entities() {
        assert_eq!(
            title(
                "<html><TITLE id=a>\nIt&#8217;s &quot;A&quot; &lt;b&gt; &amp; Co &#x26; &nope; & </Title>"
            ),
            "It\u{2019}s \"A\" <b> & Co & &nope; &"
        );
        assert_eq!(title("no page"), "");
        assert_eq!(title("<title>cut"), "");
    }
}
