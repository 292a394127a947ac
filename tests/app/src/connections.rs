//! The connections that are open, and their orderly end.
//!
//! Promise: after `stop`, a request that has come is answered, and a connection that waits for its next one is closed.

use crate::http::{Answer, Request};
use std::collections::HashMap;
use std::io::{self, BufReader};
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a connection that was only just made has for its request, once all is to end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// All that are open.
#[derive(Default)]
pub struct Connections(Mutex<State>);

#[derive(Default)]
struct State {
    stopping: bool,
    /// Those that wait for a request.
    idle: HashMap<u64, TcpStream>,
    next: u64,
}

impl Connections {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is it the end?
    pub fn stopping(&self) -> bool {
        self.state().stopping
    }

    /// Begin the end.
    pub fn stop(&self) {
        let mut state = self.state();
        state.stopping = true;
        for stream in state.idle.values() {
            // What has come by now is still read.
            let _gone = stream.shutdown(Shutdown::Read);
        }
    }

    /// Answer a connection's requests until one side ends it.
    pub fn serve(&self, stream: TcpStream, answer: impl Fn(&Request) -> Answer) {
        // The other side went away: that is its right.
        let _ended = self.serve_all(stream, answer);
    }

    fn serve_all(
        &self,
        mut stream: TcpStream,
        answer: impl Fn(&Request) -> Answer,
    ) -> io::Result<()> {
        let mut from = BufReader::new(stream.try_clone()?);
        let mut first = true;
        while let Some(id) = self.waits(&stream, first)? {
            let request = Request::read(&mut from);
            self.state().idle.remove(&id);
            let Some(request) = request? else { break };
            let answer = answer(&request);
            let keep = request.keep && !self.stopping();
            answer.write(&mut stream, &request, keep)?;
            if !keep {
                break;
            }
            first = false;
        }
        Ok(())
    }

    /// Counts it among the idle, unless it is to end.
    fn waits(&self, stream: &TcpStream, first: bool) -> io::Result<Option<u64>> {
        let mut state = self.state();
        if state.stopping && !first {
            return Ok(None);
        }
        if state.stopping {
            stream.set_read_timeout(Some(LAST_WORDS))?;
        }
        state.next += 1;
        let id = state.next;
        state.idle.insert(id, stream.try_clone()?);
        Ok(Some(id))
    }
}
