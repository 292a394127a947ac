//! SSH: connect, compare the host key, log in, run one fixed command with bytes in and bytes out.
//!
//! Promise: no login before the host key is known to be right; every wait has an end.

use crate::address::resolve;
use domain::{HostKey, StepError};
use russh::ChannelMsg;
use russh::client::{self, Handle};
use russh::keys::PublicKeyOrCertificate;
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpStream;

/// A server that does not answer within this is away.
const CONNECT_WITHIN: Duration = Duration::from_secs(8);
/// Silence on a connection that is at work; keepalives make a dead one show earlier.
const SILENCE: Duration = Duration::from_secs(50);
/// Three of these unanswered, and the connection is taken for dead.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// The most a command may answer.
const OUTPUT_LIMIT_BYTES: usize = protocol::MESSAGE_LIMIT_BYTES;

/// Where and as whom.
pub struct Login<'a> {
    /// Address or host name.
    pub host: &'a str,
    /// Port.
    pub port: u16,
    /// Account.
    pub user: &'a str,
    /// Its key.
    pub key: PrivateKey,
}

/// The host key a server showed, and the address it showed it at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenKey {
    /// The key.
    pub key: HostKey,
    /// The address.
    pub ip: IpAddr,
}

struct Verifier {
    expected: Option<HostKey>,
    seen: Arc<Mutex<Option<HostKey>>>,
}

impl client::Handler for Verifier {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else {
            return Ok(false);
        };
        let seen = HostKey {
            fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
            algorithm: key.algorithm().as_str().to_string(),
        };
        let right = self
            .expected
            .as_ref()
            .is_some_and(|expected| expected.fingerprint == seen.fingerprint);
        if let Ok(mut place) = self.seen.lock() {
            *place = Some(seen);
        }
        Ok(right)
    }
}

fn away(host: &str, port: u16) -> StepError {
    StepError::unavailable(
        domain::SERVER_UNREACHABLE,
        format!(
            "{host} does not answer on port {port}; check that the server is on and that its firewall lets SSH in."
        ),
    )
}

async fn open(
    host: &str,
    port: u16,
    expected: Option<HostKey>,
) -> Result<
    (
        Result<Handle<Verifier>, russh::Error>,
        Option<HostKey>,
        IpAddr,
    ),
    StepError,
> {
    let address = resolve(host, port).await?;
    let stream = match tokio::time::timeout(CONNECT_WITHIN, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(away(host, port).caused_by(error)),
        Err(elapsed) => return Err(away(host, port).caused_by(elapsed)),
    };
    let _no_delay = stream.set_nodelay(true);
    let config = Arc::new(client::Config {
        inactivity_timeout: Some(SILENCE),
        keepalive_interval: Some(KEEPALIVE),
        ..client::Config::default()
    });
    let seen = Arc::new(Mutex::new(None));
    let verifier = Verifier {
        expected,
        seen: Arc::clone(&seen),
    };
    let handle = match tokio::time::timeout(
        CONNECT_WITHIN,
        client::connect_stream(config, stream, verifier),
    )
    .await
    {
        Ok(handle) => handle,
        Err(elapsed) => return Err(away(host, port).caused_by(elapsed)),
    };
    let seen = seen.lock().ok().and_then(|seen| seen.clone());
    Ok((handle, seen, address.ip()))
}

/// Look at the host key, log in nowhere.
pub async fn see_host_key(host: &str, port: u16) -> Result<SeenKey, StepError> {
    let (handle, seen, ip) = open(host, port, None).await?;
    match (seen, handle) {
        (Some(key), _) => Ok(SeenKey { key, ip }),
        (None, Err(error)) => Err(StepError::unavailable(
            "not_ssh",
            format!("{host} answers on port {port}, but not as an SSH server."),
        )
        .caused_by(error)),
        (None, Ok(_)) => Err(StepError::broken("connected without a host key")),
    }
}

/// A login on a server.
pub struct Session {
    handle: Handle<Verifier>,
    host: String,
}

/// What a command answered.
#[derive(Debug)]
pub struct Answer {
    /// Its exit code; absent when the connection ended first.
    pub code: Option<u32>,
    /// Its output.
    pub output: Vec<u8>,
    /// What it complained of, cut to 2 KB.
    pub complaint: String,
}

impl Session {
    /// Connect, compare, log in.
    pub async fn open(login: Login<'_>, expected: &HostKey) -> Result<Self, StepError> {
        let (handle, seen, _) = open(login.host, login.port, Some(expected.clone())).await?;
        let mut handle = match (handle, seen) {
            (Ok(handle), _) => handle,
            (Err(error), Some(seen)) if seen.fingerprint != expected.fingerprint => {
                return Err(StepError::refused(
                    "host_key_changed",
                    format!("{} shows the host key {}, but {} is pinned. If the server was rebuilt, register it again; otherwise someone may be in between.", login.host, seen.fingerprint, expected.fingerprint),
                )
                .caused_by(error));
            }
            (Err(error), _) => return Err(away(login.host, login.port).caused_by(error)),
        };
        let hash = handle
            .best_supported_rsa_hash()
            .await
            .ok()
            .flatten()
            .flatten();
        let key = PrivateKeyWithHashAlg::new(Arc::new(login.key), hash);
        let logged_in = handle
            .authenticate_publickey(login.user, key)
            .await
            .map_err(|error| away(login.host, login.port).caused_by(error))?;
        // What is lost on the way is no word of the server's.
        if handle.is_closed() {
            return Err(away(login.host, login.port));
        }
        if !logged_in.success() {
            return Err(StepError::refused(
                "login_refused",
                format!(
                    "{} does not let {} in with the given key; check its authorized_keys.",
                    login.host, login.user
                ),
            ));
        }
        Ok(Self {
            handle,
            host: login.host.to_string(),
        })
    }

    /// Run a command that is fixed in our code, with these bytes on its stdin.
    pub async fn exec(
        &self,
        command: &str,
        input: &[u8],
        within: Duration,
    ) -> Result<Answer, StepError> {
        match tokio::time::timeout(within, self.run(command, input)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.dropped().caused_by(error)),
            Err(elapsed) => Err(StepError::unavailable(
                "server_slow",
                format!(
                    "{} did not answer within {} seconds.",
                    self.host,
                    within.as_secs()
                ),
            )
            .caused_by(elapsed)),
        }
    }

    fn dropped(&self) -> StepError {
        StepError::unavailable(
            "connection_lost",
            format!("The connection to {} was lost.", self.host),
        )
    }

    async fn run(&self, command: &str, input: &[u8]) -> Result<Answer, russh::Error> {
        let mut channel = self.handle.channel_open_session().await?;
        channel.exec(true, command).await?;
        channel.data(input).await?;
        channel.eof().await?;
        let mut answer = Answer {
            code: None,
            output: Vec::new(),
            complaint: String::new(),
        };
        let mut complaint = Vec::new();
        while let Some(message) = channel.wait().await {
            match message {
                ChannelMsg::Data { data }
                    if answer.output.len() + data.len() <= OUTPUT_LIMIT_BYTES =>
                {
                    answer.output.extend_from_slice(&data)
                }
                ChannelMsg::ExtendedData { data, .. } if complaint.len() < 2048 => {
                    complaint.extend_from_slice(&data)
                }
                ChannelMsg::ExitStatus { exit_status } => answer.code = Some(exit_status),
                _ => {}
            }
        }
        complaint.truncate(2048);
        answer.complaint = String::from_utf8_lossy(&complaint).into_owned();
        Ok(answer)
    }
}
