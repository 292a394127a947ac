//! HTTP over a Unix socket, as the container engine speaks it.
//!
//! Promise: whoever waits here is asked several times a second whether to go on, so that a job that was told to stop does.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Error, Timeout};

/// A cancel must reach a job within ten seconds; this is much sooner, and costs nothing.
const LOOK: Duration = Duration::from_millis(250);

/// Is the work to stop?
pub type Stop = Arc<dyn Fn() -> bool + Send + Sync>;

/// Connects to one socket, whatever the address says.
pub struct SocketConnector {
    /// Of the socket.
    pub path: PathBuf,
    /// Asked while waiting.
    pub stop: Stop,
}

impl fmt::Debug for SocketConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SocketConnector").field(&self.path).finish()
    }
}

impl Connector for SocketConnector {
    type Out = SocketTransport;

    fn connect(
        &self,
        details: &ConnectionDetails,
        _: Option<()>,
    ) -> Result<Option<Self::Out>, Error> {
        let stream = UnixStream::connect(&self.path)?;
        stream.set_read_timeout(Some(LOOK))?;
        stream.set_write_timeout(Some(LOOK))?;
        let config = details.config;
        Ok(Some(SocketTransport {
            stream,
            buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
            stop: Arc::clone(&self.stop),
        }))
    }
}

/// A connection.
pub struct SocketTransport {
    stream: UnixStream,
    buffers: LazyBuffers,
    stop: Stop,
}

impl fmt::Debug for SocketTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SocketTransport")
    }
}

/// When waiting ends without an answer.
struct Patience<'a> {
    until: Option<Instant>,
    reason: Timeout,
    stop: &'a Stop,
}

impl<'a> Patience<'a> {
    fn of(timeout: NextTimeout, stop: &'a Stop) -> Self {
        Self {
            until: timeout.not_zero().map(|after| Instant::now() + *after),
            reason: timeout.reason,
            stop,
        }
    }

    /// What a read or write that did not come through means: try again, or an error.
    fn judge(&self, error: io::Error) -> Result<(), Error> {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
            _ => return Err(error.into()),
        }
        if (self.stop)() {
            return Err(io::Error::from(ErrorKind::ConnectionAborted).into());
        }
        match self.until {
            Some(until) if Instant::now() >= until => Err(Error::Timeout(self.reason)),
            _ => Ok(()),
        }
    }
}

impl Transport for SocketTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let patience = Patience::of(timeout.for_write(), &self.stop);
        let mut output = &self.buffers.output()[..amount];
        while !output.is_empty() {
            match self.stream.write(output) {
                Ok(0) => return Err(io::Error::from(ErrorKind::WriteZero).into()),
                Ok(written) => output = &output[written..],
                Err(error) => patience.judge(error)?,
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let patience = Patience::of(timeout.for_read(), &self.stop);
        let input = self.buffers.input_append_buf();
        let amount = loop {
            match self.stream.read(input) {
                Ok(amount) => break amount,
                Err(error) => patience.judge(error)?,
            }
        };
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// Each request has a connection of its own.
    fn is_open(&mut self) -> bool {
        false
    }
}
