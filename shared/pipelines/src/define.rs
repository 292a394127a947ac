//! The vocabulary pipelines are written in.
//!
//! Promise: a step says how its effect is taken back, why it may stay, or that it has none; `check()` names every fault at once.

use domain::{OnCommit, Phase, StepKind, TargetKind};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// So many minutes.
pub const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

/// So many seconds.
pub const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// An inline step is one Lambda call: a minute is what a person waits for, and what a dead worker may cost.
pub const INLINE_LIMIT: Duration = minutes(1);

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The Lambda itself, within [`INLINE_LIMIT`].
    Inline,
    /// A job of the agent; the machine waits for its token.
    Job,
}

/// What a step leaves behind when a later one fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The undo of this name takes it back.
    Undo(&'static str),
    /// It stays, for this reason.
    Keeps(&'static str),
    /// It has none.
    Reads,
}

/// What a step's function may touch beyond the records of its own deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Read and decrypt secrets: SSH keys, provider tokens.
    ReadSecrets,
    /// Encrypt and store secrets.
    WriteSecrets,
    /// Read and write backups and capsules.
    Archives,
    /// Delete backups; their old versions stay for as long as the bucket keeps those.
    DeleteBackups,
}

/// How often the machine tries a step that says "not now".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// For errors that name something as away.
    pub unavailable: u32,
    /// For a worker or target that is busy.
    pub busy: u32,
}

/// Enough to outlive a restart of a database or a dropped connection (2 + 4 + 8 s), and a dead worker's deadline (a minute).
pub const USUAL_ATTEMPTS: Attempts = Attempts {
    unavailable: 3,
    busy: 12,
};

/// When a step does not apply, known from the frozen input alone.
#[derive(Clone, Copy)]
pub struct SkipRule {
    /// For people: "no custom domain".
    pub reason: &'static str,
    /// Looks at the frozen input.
    pub applies: fn(&Value) -> bool,
}

impl std::fmt::Debug for SkipRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason)
    }
}

/// What a step is, wherever it is used.
#[derive(Debug, Clone, Copy)]
pub struct StepDefinition {
    /// `provision_database`: binary, Lambda and state have this name.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// Who does the work.
    pub mode: Mode,
    /// The meta it reads.
    pub needs: &'static [&'static str],
    /// The meta it leaves for later steps.
    pub gives: &'static [&'static str],
    /// What its function may touch.
    pub permissions: &'static [Permission],
}

impl StepDefinition {
    const fn of(name: &'static str, title: &'static str, mode: Mode) -> Self {
        Self {
            name,
            title,
            mode,
            needs: &[],
            gives: &[],
            permissions: &[],
        }
    }
    /// Work of one Lambda call.
    pub const fn inline(name: &'static str, title: &'static str) -> Self {
        Self::of(name, title, Mode::Inline)
    }
    /// Work of the agent.
    pub const fn job(name: &'static str, title: &'static str) -> Self {
        Self::of(name, title, Mode::Job)
    }
    /// Names the meta it reads.
    pub const fn needs(mut self, needs: &'static [&'static str]) -> Self {
        self.needs = needs;
        self
    }
    /// Names the meta it leaves.
    pub const fn gives(mut self, gives: &'static [&'static str]) -> Self {
        self.gives = gives;
        self
    }
    /// Names what its function may touch.
    pub const fn may(mut self, permissions: &'static [Permission]) -> Self {
        self.permissions = permissions;
        self
    }
    /// Its effect is taken back by the undo of this name: the true opposite verb.
    pub const fn undo(self, name: &'static str) -> Step {
        Step::of(self, Effect::Undo(name))
    }
    /// Its effect may stay, for this reason.
    pub const fn keeps(self, reason: &'static str) -> Step {
        Step::of(self, Effect::Keeps(reason))
    }
    /// It has no effect.
    pub const fn reads(self) -> Step {
        Step::of(self, Effect::Reads)
    }
}

/// Servers that the input lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Servers {
    /// Those that the environment is on.
    OfEnvironment,
    /// Those that it is on no more.
    Left,
}

impl Servers {
    /// Where the input lists them.
    pub fn field(self) -> &'static str {
        match self {
            Self::OfEnvironment => "servers",
            Self::Left => "left_servers",
        }
    }
}

/// A step in its place in a pipeline.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// What it is.
    pub definition: StepDefinition,
    /// What it leaves behind.
    pub effect: Effect,
    /// The longest a single try may take.
    pub within: Duration,
    /// How often it is tried.
    pub attempts: Attempts,
    /// For releases.
    pub phase: Option<Phase>,
    /// When it does not apply.
    pub skip: Option<SkipRule>,
    /// Done once on each of these servers, a row each.
    pub servers: Option<Servers>,
    /// Forward or tidy.
    pub kind: StepKind,
    /// Its end may be the verdict.
    pub commits: bool,
    /// What people read in this pipeline, when it is not the definition's title.
    title: Option<&'static str>,
}

impl Step {
    const fn of(definition: StepDefinition, effect: Effect) -> Self {
        let within = match definition.mode {
            Mode::Inline => INLINE_LIMIT,
            Mode::Job => minutes(60),
        };
        Self {
            definition,
            effect,
            within,
            attempts: USUAL_ATTEMPTS,
            phase: None,
            skip: None,
            servers: None,
            kind: StepKind::Step,
            commits: false,
            title: None,
        }
    }
    /// The longest a single try may take.
    pub const fn within(mut self, limit: Duration) -> Self {
        self.within = limit;
        self
    }
    /// How often the machine tries it.
    pub const fn attempts(mut self, attempts: Attempts) -> Self {
        self.attempts = attempts;
        self
    }
    /// The release's phase while it is at work.
    pub const fn phase(mut self, phase: Phase) -> Self {
        self.phase = Some(phase);
        self
    }
    /// Does not apply when the rule says so; the reason is shown.
    pub const fn skipped_when(mut self, rule: SkipRule) -> Self {
        self.skip = Some(rule);
        self
    }
    /// Done once on each server of the environment.
    pub const fn on_each_server(mut self) -> Self {
        self.servers = Some(Servers::OfEnvironment);
        self
    }
    /// Done once on each server that the environment leaves.
    pub const fn on_left_servers(mut self) -> Self {
        self.servers = Some(Servers::Left);
        self
    }
    /// What people read in this pipeline.
    pub const fn titled(mut self, title: &'static str) -> Self {
        self.title = Some(title);
        self
    }
    /// For people.
    pub fn title(&self) -> &'static str {
        self.title.unwrap_or(self.definition.title)
    }
    /// The name of its undo.
    pub fn undo_name(&self) -> Option<&'static str> {
        match self.effect {
            Effect::Undo(name) => Some(name),
            Effect::Keeps(_) | Effect::Reads => None,
        }
    }
    /// Why it is skipped with this input.
    pub fn skip_reason(&self, input: &Value) -> Option<&'static str> {
        self.skip
            .filter(|rule| (rule.applies)(input))
            .map(|rule| rule.reason)
    }
}

/// A kind of target, and what is done with it. All are locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetUse {
    /// Only looked at, but must not change meanwhile.
    Reads(TargetKind),
    /// Changed.
    Writes(TargetKind),
    /// Made; its record goes when the deployment does not complete.
    Creates(TargetKind),
}

/// An operation: its steps in order.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// `create_site`: file, machine, record type, metric and tests have this name.
    pub name: &'static str,
    /// For people: "Create site".
    pub title: &'static str,
    /// What it locks.
    pub targets: Vec<TargetUse>,
    /// The meta its creation provides.
    pub starts_with: &'static [&'static str],
    /// What its commit makes of the environment.
    pub on_commit: Option<OnCommit>,
    /// In order.
    pub steps: Vec<Step>,
}

impl Pipeline {
    /// A pipeline with no steps yet.
    pub fn named(name: &'static str, title: &'static str) -> Self {
        Self {
            name,
            title,
            targets: Vec::new(),
            starts_with: &[],
            on_commit: None,
            steps: Vec::new(),
        }
    }
    /// Locks this for reading.
    pub fn reads(mut self, kind: TargetKind) -> Self {
        self.targets.push(TargetUse::Reads(kind));
        self
    }
    /// Locks this for writing.
    pub fn writes(mut self, kind: TargetKind) -> Self {
        self.targets.push(TargetUse::Writes(kind));
        self
    }
    /// Locks and makes this.
    pub fn creates(mut self, kind: TargetKind) -> Self {
        self.targets.push(TargetUse::Creates(kind));
        self
    }
    /// Names the meta that is there from the start.
    pub fn starts_with(mut self, meta: &'static [&'static str]) -> Self {
        self.starts_with = meta;
        self
    }
    /// What its commit makes of the environment, in the transaction of the verdict.
    pub fn then(mut self, what: OnCommit) -> Self {
        self.on_commit = Some(what);
        self
    }
    /// The next step.
    pub fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
    /// The next step, whose end is the verdict. Where several say so, the last one that is not skipped is it.
    pub fn commit(mut self, mut step: Step) -> Self {
        step.commits = true;
        self.steps.push(step);
        self
    }
    /// The next step, behind the commit: tried again, and a warning when it fails.
    pub fn tidy(mut self, mut step: Step) -> Self {
        step.kind = StepKind::Tidy;
        self.steps.push(step);
        self
    }
    /// Does it make its target?
    pub fn creates_target(&self) -> bool {
        self.targets
            .iter()
            .any(|target| matches!(target, TargetUse::Creates(_)))
    }
    /// The step whose end is the verdict, with this input.
    pub fn commit_step(&self, input: &Value) -> Option<&Step> {
        self.steps
            .iter()
            .rev()
            .find(|step| step.commits && step.skip_reason(input).is_none())
    }

    /// All that is wrong with it.
    pub fn check(&self) -> Result<(), Vec<Fault>> {
        let mut faults = Vec::new();
        let mut fault = |about: &str, why: &str| {
            faults.push(Fault {
                pipeline: self.name,
                about: about.to_string(),
                why: why.to_string(),
            })
        };
        let is_word = |word: &str| {
            !word.is_empty()
                && word.starts_with(|c: char| c.is_ascii_lowercase())
                && word
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        if !is_word(self.name) {
            fault(self.name, "must be verb_noun");
        }
        if self.targets.is_empty() {
            fault(
                self.name,
                "locks nothing: say what it reads, writes or creates",
            );
        }
        let commits: Vec<usize> = self
            .steps
            .iter()
            .enumerate()
            .filter(|(_, step)| step.commits)
            .map(|(at, _)| at)
            .collect();
        match commits.as_slice() {
            [] => fault(self.name, "no step is the commit"),
            [one] => {
                if self.steps[*one].skip.is_some() {
                    fault(
                        self.steps[*one].definition.name,
                        "the only commit may not be skipped",
                    );
                }
            }
            several => {
                if several.windows(2).any(|pair| pair[1] != pair[0] + 1) {
                    fault(self.name, "several commits must follow each other");
                }
                if several.iter().any(|at| self.steps[*at].skip.is_none()) {
                    fault(
                        self.name,
                        "of several commits each must say when it is skipped, or one alone is enough",
                    );
                }
            }
        }
        let mut names = BTreeSet::new();
        let mut known: BTreeSet<&str> = self.starts_with.iter().copied().collect();
        for (at, step) in self.steps.iter().enumerate() {
            let name = step.definition.name;
            for word in [Some(name), step.undo_name()].into_iter().flatten() {
                if !is_word(word) {
                    fault(word, "must be verb_noun");
                }
                if !names.insert(word) {
                    fault(word, "stands twice");
                }
            }
            if step.within.is_zero()
                || step.definition.mode == Mode::Inline && step.within > INLINE_LIMIT
            {
                fault(
                    name,
                    "an inline step ends within a minute; longer work is a job",
                );
            }
            if let (Some(last), StepKind::Step) = (commits.last(), step.kind)
                && at > *last
            {
                fault(name, "stands behind the commit, so it must be tidy");
            }
            if let (Some(last), StepKind::Tidy) = (commits.last(), step.kind) {
                if at < *last {
                    fault(name, "is tidy, so it must stand behind the commit");
                }
                if step.undo_name().is_some() {
                    fault(name, "nothing undoes after the commit");
                }
            }
            for need in step.definition.needs {
                if !known.contains(need) {
                    fault(
                        name,
                        &format!("needs {need}, which no earlier step that always happens gives"),
                    );
                }
            }
            if step.skip.is_none() {
                known.extend(step.definition.gives);
            }
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults)
        }
    }
}

/// One thing wrong with a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which one.
    pub pipeline: &'static str,
    /// The word at fault.
    pub about: String,
    /// What is wrong.
    pub why: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {}", self.pipeline, self.about, self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: StepDefinition = StepDefinition::inline("make_thing", "Make").gives(&["thing"]);
    const B: StepDefinition = StepDefinition::inline("use_thing", "Use").needs(&["thing"]);

    fn why(pipeline: &Pipeline) -> Vec<String> {
        pipeline
            .check()
            .expect_err("has faults")
            .into_iter()
            .map(|fault| fault.why)
            .collect()
    }

    #[test]
    fn a_pipeline_without_a_commit_or_a_target_is_refused_with_both_reasons() {
        let pipeline = Pipeline::named("do_thing", "Do").step(A.undo("unmake_thing"));
        assert_eq!(
            why(&pipeline),
            [
                "locks nothing: say what it reads, writes or creates",
                "no step is the commit"
            ]
        );
    }

    #[test]
    fn a_need_given_only_by_a_step_that_may_be_skipped_is_refused() {
        let rule = SkipRule {
            reason: "never",
            applies: |_| false,
        };
        let pipeline = Pipeline::named("do_thing", "Do")
            .writes(TargetKind::Site)
            .step(A.undo("unmake_thing").skipped_when(rule))
            .commit(B.reads());
        assert_eq!(
            why(&pipeline),
            ["needs thing, which no earlier step that always happens gives"]
        );
    }

    #[test]
    fn a_step_behind_the_commit_must_be_tidy_and_has_no_undo() {
        let pipeline = Pipeline::named("do_thing", "Do")
            .writes(TargetKind::Site)
            .commit(A.undo("unmake_thing"))
            .step(B.reads());
        assert_eq!(
            why(&pipeline),
            ["stands behind the commit, so it must be tidy"]
        );
        let pipeline = Pipeline::named("do_thing", "Do")
            .writes(TargetKind::Site)
            .commit(A.reads())
            .tidy(B.undo("unuse_thing"));
        assert_eq!(why(&pipeline), ["nothing undoes after the commit"]);
    }

    #[test]
    fn a_name_that_stands_twice_is_refused_also_as_an_undo() {
        let pipeline = Pipeline::named("do_thing", "Do")
            .writes(TargetKind::Site)
            .step(A.undo("use_thing"))
            .commit(B.reads());
        assert_eq!(why(&pipeline), ["stands twice"]);
    }

    #[test]
    fn an_inline_step_of_five_minutes_is_refused() {
        let pipeline = Pipeline::named("do_thing", "Do")
            .writes(TargetKind::Site)
            .commit(A.reads().within(minutes(5)));
        assert_eq!(
            why(&pipeline),
            ["an inline step ends within a minute; longer work is a job"]
        );
    }

    #[test]
    fn of_several_commits_the_last_that_is_not_skipped_is_the_commit() {
        let files = SkipRule {
            reason: "files not chosen",
            applies: |input| input["files"] != true,
        };
        let database = SkipRule {
            reason: "database not chosen",
            applies: |input| input["database"] != true,
        };
        let pipeline = Pipeline::named("do_thing", "Do")
            .writes(TargetKind::Site)
            .commit(A.undo("unmake_thing").skipped_when(files))
            .commit(
                StepDefinition::inline("other_thing", "Other")
                    .undo("unother_thing")
                    .skipped_when(database),
            );
        assert_eq!(pipeline.check(), Ok(()));
        let commit = |input: Value| {
            pipeline
                .commit_step(&input)
                .map(|step| step.definition.name)
        };
        assert_eq!(
            commit(serde_json::json!({"files": true, "database": true})),
            Some("other_thing")
        );
        assert_eq!(
            commit(serde_json::json!({"files": true})),
            Some("make_thing")
        );
        assert_eq!(commit(serde_json::json!({})), None);
    }
}
