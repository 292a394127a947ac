//! The one HTTP client for addresses that users give.
//!
//! Promise: it connects to checked addresses only. A name is looked up once for each connection, here, and the connection
//! goes to what that look-up gave, so an answer that changes later changes nothing. Of a name's addresses those that are
//! refused are left out, because only the others are ever connected to; a name with no other is refused. No redirect is
//! followed, no proxy is asked, no connection is kept, and neither time nor size of a reply is the other side's to choose.

mod address;
mod guard;

pub use guard::Guard;

use domain::StepError;
use guard::Scheme;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, RequestBuilder};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// From connecting to the last byte: because a receiver that needs longer should take the message and work later.
const LIMIT: Duration = Duration::from_secs(5);
/// Because no reply that is read here says anything after this much.
const REPLY_LIMIT_BYTES: usize = 64 * 1024;

/// What finds a name's addresses.
pub type Lookup = Arc<
    dyn Fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> + Send + Sync,
>;

/// The machine's own way to find them.
pub fn system_lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// What the other side answered, whatever it was, except a redirect.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The first 64 KB of the body.
    pub body: Vec<u8>,
    /// There was more, and it was not read.
    pub truncated: bool,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Outbound {
    guard: Guard,
    https: Client,
    http: Client,
    limit: Duration,
}

impl Outbound {
    /// Behind this guard.
    pub fn new(guard: Guard) -> Result<Self, StepError> {
        Self::with(guard, system_lookup(), LIMIT)
    }

    /// The same with another way to look up names, and another limit of time: for tests.
    pub fn with(guard: Guard, lookup: Lookup, limit: Duration) -> Result<Self, StepError> {
        Ok(Self {
            https: client(&guard, &lookup, Scheme::Https)?,
            http: client(&guard, &lookup, Scheme::Http)?,
            guard,
            limit,
        })
    }

    /// POST this. Refused with `address_refused` when it may not be called; unavailable when there is no answer, or a redirect.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Reply, StepError> {
        let (url, scheme) = self
            .guard
            .judged(url)
            .map_err(|why| StepError::refused("address_refused", format!("The address {why}.")))?;
        let host = url.host_str().unwrap_or_default().to_string();
        let client = match scheme {
            Scheme::Https => &self.https,
            Scheme::Http => &self.http,
        };
        let mut request = client.post(url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        tokio::time::timeout(self.limit, exchange(request, &host))
            .await
            .unwrap_or_else(|_| {
                let seconds = self.limit.as_secs_f32();
                Err(StepError::unavailable(
                    "no_answer",
                    format!("{host} did not answer within {seconds} seconds."),
                ))
            })
    }
}

#[allow(clippy::disallowed_methods, reason = "the guarded client itself")]
fn client(guard: &Guard, lookup: &Lookup, scheme: Scheme) -> Result<Client, StepError> {
    Client::builder()
        .user_agent(concat!("triphammer/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::new(Checked {
            guard: guard.clone(),
            lookup: Arc::clone(lookup),
            scheme,
        }))
        .https_only(scheme == Scheme::Https)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        // Because a function sleeps between its calls, and a connection that slept is dead.
        .pool_max_idle_per_host(0)
        .build()
        .map_err(StepError::broken)
}

async fn exchange(request: RequestBuilder, host: &str) -> Result<Reply, StepError> {
    let failed = |error| failed(error, host);
    let mut response = request.send().await.map_err(failed)?;
    if response.status().is_redirection() {
        return Err(StepError::unavailable(
            "redirected",
            format!(
                "{host} answered {} and another address; give the address that answers itself.",
                response.status().as_u16()
            ),
        ));
    }
    let mut reply = Reply {
        status: response.status().as_u16(),
        body: Vec::new(),
        truncated: false,
    };
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        let room = REPLY_LIMIT_BYTES - reply.body.len();
        reply
            .body
            .extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            reply.truncated = true;
            break;
        }
    }
    Ok(reply)
}

fn failed(error: reqwest::Error, host: &str) -> StepError {
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(this) = cause {
        if this.is::<AllRefused>() {
            return StepError::refused(
                "address_refused",
                format!("{host} leads to no address that may be called; it must be one of the public internet."),
            )
            .caused_by(error);
        }
        cause = this.source();
    }
    // Without the URL: its path or query may be what the receiver keeps secret.
    StepError::unavailable("no_answer", format!("{host} did not answer."))
        .caused_by(error.without_url())
}

/// A name all of whose addresses are refused; they are for the log, because a private name's address is nobody's business.
#[derive(Debug, thiserror::Error)]
#[error("{name} has no address but {refused:?}")]
struct AllRefused {
    name: String,
    refused: Vec<IpAddr>,
}

/// The look-up that the connection is made from.
struct Checked {
    guard: Guard,
    lookup: Lookup,
    scheme: Scheme,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, scheme) = (self.guard.clone(), self.scheme);
        let name = name.as_str().to_string();
        let found = (self.lookup)(name.clone());
        Box::pin(async move {
            let (open, refused): (Vec<IpAddr>, Vec<IpAddr>) = found
                .await?
                .into_iter()
                .partition(|ip| guard.lets(*ip, scheme));
            if open.is_empty() && !refused.is_empty() {
                return Err(AllRefused { name, refused }.into());
            }
            // Port 0 stands for the URL's.
            let addresses = open.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests;
