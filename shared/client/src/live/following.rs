//! The work behind a watch: a channel when there is one, looks when there is none or when something is missing.
//!
//! Promise: it stands still only when the deployment is over. Whatever of the two ways fails, the other one goes on.

use super::known::Known;
use super::rhythm::{Pace, Redial};
use super::socket::{Heard, NotOpen, Socket};
use super::{Channel, Rhythm, Update};
use crate::{Client, Error};
use contract::DeploymentDetail;
use domain::DeploymentId;
use std::future::{Future, pending};
use std::ops::ControlFlow::{self, Break, Continue};
use std::pin::Pin;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep_until};

type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// See the module.
pub(super) struct Following {
    client: Client,
    id: DeploymentId,
    rhythm: Rhythm,
    said: UnboundedSender<Result<Update, Error>>,
    known: Known,
    link: Link,
    looks: Looks,
    pace: Pace,
    redial: Redial,
    /// There was a channel once, so there will be one again.
    was_open: bool,
    /// The last word was a failure: the next answer is told even if it is no news.
    in_doubt: bool,
}

/// The way to the channel.
enum Link {
    Waiting(Instant),
    Dialing(Pending<Result<Box<Socket>, NotOpen>>),
    Open(Box<Socket>),
}

enum Moved {
    Due,
    Dialed(Result<Box<Socket>, NotOpen>),
    Heard(Heard),
}

/// Looks at the deployment over HTTP: one at a time.
struct Looks {
    at: Option<Instant>,
    going: Option<Pending<Result<DeploymentDetail, Error>>>,
    ended_at: Option<Instant>,
}

impl Following {
    /// Of this deployment; what is seen is said there.
    pub(super) fn of(
        client: Client,
        id: DeploymentId,
        rhythm: Rhythm,
        said: UnboundedSender<Result<Update, Error>>,
    ) -> Self {
        let now = Instant::now();
        Self {
            client,
            id,
            rhythm,
            said,
            known: Known::of(id),
            link: Link::Waiting(now),
            looks: Looks {
                at: Some(now + rhythm.first_look_within),
                going: None,
                ended_at: None,
            },
            pace: Pace::of(&rhythm),
            redial: Redial::default(),
            was_open: false,
            in_doubt: false,
        }
    }

    /// Until nobody listens, or an error says that it is of no use.
    pub(super) async fn run(mut self) {
        loop {
            let next = tokio::select! {
                () = self.said.closed() => return,
                moved = self.link.moved() => self.moved(moved),
                looked = self.looks.looked(&self.client, self.id) => self.looked(looked),
            };
            if next.is_break() {
                return;
            }
        }
    }

    fn moved(&mut self, moved: Moved) -> ControlFlow<()> {
        match moved {
            Moved::Due => {
                let (client, id, rhythm) = (self.client.clone(), self.id, self.rhythm);
                self.link =
                    Link::Dialing(Box::pin(
                        async move { Socket::open(&client, id, rhythm).await },
                    ));
            }
            Moved::Dialed(Ok(socket)) => {
                self.link = Link::Open(socket);
                self.was_open = true;
                // A look that began before the subscription may miss what happened in between.
                self.looks.going = None;
                self.looks.at = Some(Instant::now());
            }
            Moved::Dialed(Err(NotOpen::Denied(error))) => {
                self.fail(error);
                return Break(());
            }
            Moved::Dialed(Err(NotOpen::Absent)) => self.without_channel(),
            Moved::Dialed(Err(NotOpen::Failed)) if !self.was_open => self.without_channel(),
            Moved::Dialed(Err(NotOpen::Failed)) => self.wait_and_redial(),
            Moved::Heard(Heard::Event(event)) => {
                if self.known.hear(event) {
                    self.advance();
                    self.plan_look_after_event();
                }
            }
            // The look tells whether it is gone for the caller, or only not to be had this way.
            Moved::Heard(Heard::Refused) => self.without_channel(),
            Moved::Heard(Heard::Broken) => self.wait_and_redial(),
        }
        Continue(())
    }

    fn looked(&mut self, looked: Result<DeploymentDetail, Error>) -> ControlFlow<()> {
        let now = Instant::now();
        self.looks.ended_at = Some(now);
        match looked {
            Ok(snapshot) => {
                if self.known.read(snapshot) || self.in_doubt {
                    self.tell();
                }
                self.advance();
                self.plan_look_after_look(now);
                Continue(())
            }
            Err(error) if error.is_transient() => {
                self.in_doubt = true;
                self.looks.at = Some(now + Pace::missed(&self.rhythm));
                self.fail(error);
                Continue(())
            }
            Err(error) => {
                self.fail(error);
                Break(())
            }
        }
    }

    fn advance(&mut self) {
        while self.known.advance() {
            // Its changes come by themselves, so the channel is worth keeping.
            self.redial.worked();
            self.tell();
        }
    }

    fn tell(&mut self) {
        self.in_doubt = false;
        let Some(detail) = self.known.detail().cloned() else {
            return;
        };
        let channel = if self.is_open() {
            Channel::Live
        } else {
            Channel::Polling
        };
        // Whether anybody still listens is seen at the next turn.
        let _unheard = self.said.send(Ok(Update { detail, channel }));
    }

    fn fail(&self, error: Error) {
        let _unheard = self.said.send(Err(error));
    }

    fn is_open(&self) -> bool {
        matches!(self.link, Link::Open(_))
    }

    fn is_over(&self) -> bool {
        let detail = self.known.detail();
        detail.is_some_and(|detail| detail.deployment.settlement.is_at_rest())
    }

    /// The safety net: the last event of a stream is missed by nobody else.
    fn after_quiet(&self, now: Instant) -> Option<Instant> {
        (!self.is_over()).then(|| now + self.rhythm.quiet_limit)
    }

    fn plan_look_after_event(&mut self) {
        if self.known.is_behind() {
            self.look_soon();
        } else {
            self.looks.at = self.after_quiet(Instant::now());
        }
    }

    fn plan_look_after_look(&mut self, now: Instant) {
        let seq = self
            .known
            .detail()
            .map_or(0, |detail| detail.deployment.seq);
        let pause = self.pace.answered(seq, &self.rhythm);
        self.looks.at = if self.is_open() && !self.known.is_behind() {
            self.after_quiet(now)
        } else {
            Some(now + pause)
        };
    }

    fn look_soon(&mut self) {
        let now = Instant::now();
        let apart = self.looks.ended_at.map(|at| at + self.rhythm.looks_apart);
        self.looks.at = Some(apart.map_or(now, |apart| apart.max(now)));
    }

    /// It cannot be had: poll at once, and ask for it again much later.
    fn without_channel(&mut self) {
        let now = Instant::now();
        self.link = Link::Waiting(now + self.rhythm.redial_every);
        if self.known.detail().is_none() || self.was_open {
            self.looks.at = Some(now);
        }
    }

    /// It broke: it is opened again soon, and meanwhile polled.
    fn wait_and_redial(&mut self) {
        let now = Instant::now();
        if let Link::Open(socket) = &self.link
            && socket.age() >= self.rhythm.redial_to
        {
            self.redial.worked();
        }
        self.link = Link::Waiting(now + self.redial.failed(&self.rhythm));
        let poll_at = now + self.rhythm.poll_from;
        self.looks.at = Some(self.looks.at.map_or(poll_at, |at| at.min(poll_at)));
    }
}

impl Link {
    /// May be dropped and called again at any time.
    async fn moved(&mut self) -> Moved {
        match self {
            Self::Waiting(until) => {
                sleep_until(*until).await;
                Moved::Due
            }
            Self::Dialing(dialing) => Moved::Dialed(dialing.await),
            Self::Open(socket) => Moved::Heard(socket.heard().await),
        }
    }
}

impl Looks {
    /// May be dropped and called again at any time.
    async fn looked(
        &mut self,
        client: &Client,
        id: DeploymentId,
    ) -> Result<DeploymentDetail, Error> {
        if self.going.is_none() {
            match self.at {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
            self.at = None;
        }
        let client = client.clone();
        let looked = self
            .going
            .get_or_insert_with(|| Box::pin(async move { client.deployment(id).await }))
            .await;
        self.going = None;
        looked
    }
}
