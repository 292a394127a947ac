//! How a followed deployment is shown: drawn in place, as plain lines, as JSON, or not at all.
//!
//! Promise: what stands on the screen at the end is whole; while it moves, each line fits its row and the picture fits the screen.

use super::frame::{self, Moment};
use super::{REGISTER_SERVER, Until, lines, verdict};
use crate::ending::Fault;
use crate::invocation::Invocation;
use crate::output::{Output, plain};
use crate::style::yellow;
use chrono::Utc;
use console::{Term, truncate_str};
use contract::DeploymentDetail;
use domain::StepStatus;

/// See the module.
pub struct View<'a> {
    output: &'a Output,
    way: Way,
    last: Option<DeploymentDetail>,
    away: Option<String>,
}

enum Way {
    /// On a terminal.
    Drawn {
        screen: Term,
        rows: usize,
        tick: usize,
    },
    /// Into a pipe or a log.
    Lines,
    /// A line of JSON for each change.
    Json,
    /// Another document is the result; this one is only waited for.
    Silent,
}

impl<'a> View<'a> {
    /// As the flags and the terminal say.
    pub fn of(invocation: &'a Invocation, until: Until) -> Self {
        let output = &invocation.output;
        let way = match (output.json, until) {
            (true, Until::End) if invocation.follow => Way::Json,
            (true, _) => Way::Silent,
            (false, _) if output.can_draw() => Way::Drawn {
                screen: Term::buffered_stdout(),
                rows: 0,
                tick: 0,
            },
            (false, _) => Way::Lines,
        };
        Self {
            output,
            way,
            last: None,
            away: None,
        }
    }

    /// What was read now.
    pub fn show(&mut self, detail: &DeploymentDetail) -> Result<(), Fault> {
        let before = self.last.replace(detail.clone());
        let changed = before
            .as_ref()
            .is_none_or(|before| before.deployment.seq != detail.deployment.seq);
        let was_away = self.away.take().is_some();
        match &self.way {
            Way::Drawn { .. } => self.draw()?,
            Way::Lines => {
                if was_away {
                    self.output.note("the API answers again");
                }
                for line in lines::changes(before.as_ref(), detail, Utc::now()) {
                    self.output.line(line)?;
                }
            }
            Way::Json if changed => self.output.record(detail)?,
            Way::Json | Way::Silent => {}
        }
        Ok(())
    }

    /// The API did not answer.
    pub fn away(&mut self, why: &str) -> Result<(), Fault> {
        let first = self.away.replace(plain(why)).is_none();
        match &self.way {
            Way::Drawn { .. } => self.draw(),
            _ if first => {
                self.output.note(trying_again(why));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The server that is being registered and whose host key nobody has confirmed so far.
    pub fn registers(&self) -> Option<String> {
        let last = self.last.as_ref()?;
        let pinned = last
            .steps
            .first()
            .is_some_and(|step| step.status == StepStatus::Completed);
        (last.deployment.pipeline == REGISTER_SERVER && !pinned)
            .then(|| plain(&last.deployment.target.name))
    }

    /// Time goes by.
    pub fn tick(&mut self) -> Result<(), Fault> {
        if let Way::Drawn { tick, .. } = &mut self.way {
            *tick += 1;
            self.draw()?;
        }
        Ok(())
    }

    /// Somebody else writes below.
    pub fn make_room(&mut self) -> Result<(), Fault> {
        if let Way::Drawn { screen, rows, .. } = &mut self.way {
            screen.clear_last_lines(std::mem::take(rows))?;
            screen.flush()?;
        }
        Ok(())
    }

    /// The last picture stays, with all its words.
    pub fn leave(&mut self) -> Result<(), Fault> {
        self.make_room()?;
        if matches!(self.way, Way::Drawn { .. })
            && let Some(last) = &self.last
        {
            self.output.line(frame::heading(last, Moment::still()))?;
            for line in frame::steps(last, Moment::still()) {
                self.output.line(line)?;
            }
        }
        Ok(())
    }

    /// It is over: the last picture, and what it comes to.
    pub fn end(&mut self, detail: &DeploymentDetail) -> Result<(), Fault> {
        self.leave()?;
        if matches!(self.way, Way::Drawn { .. }) {
            self.output.line("")?;
        }
        if matches!(self.way, Way::Drawn { .. } | Way::Lines) {
            for line in verdict::words(detail) {
                self.output.line(line)?;
            }
        }
        Ok(())
    }

    fn draw(&mut self) -> Result<(), Fault> {
        let Way::Drawn { screen, rows, tick } = &mut self.way else {
            return Ok(());
        };
        let moment = Moment {
            now: Utc::now(),
            tick: Some(*tick),
        };
        let mut picture = Vec::new();
        if let Some(last) = &self.last {
            picture.push(frame::heading(last, moment));
            picture.extend(frame::steps(last, moment));
        }
        if let Some(why) = &self.away {
            picture.push(yellow(trying_again(why)));
        }
        let (height, width) = screen.size();
        let room = usize::from(height).saturating_sub(1).max(2);
        if picture.len() > room {
            // The heading and what happens now; the beginning was seen.
            picture.drain(1..=picture.len() - room);
        }
        screen.clear_last_lines(*rows)?;
        for line in &picture {
            screen.write_line(&truncate_str(line, usize::from(width), "…"))?;
        }
        screen.flush()?;
        *rows = picture.len();
        Ok(())
    }
}

fn trying_again(why: &str) -> String {
    let why = plain(why);
    format!("{}; trying again for a minute", why.trim_end_matches('.'))
}
