//! Starts: one worker, whoever starts it how often.

use crate::world::{JOB, World};
use agent::fault::{Result, unavailable};
use agent::jobs::folder::{Over, Stored};
use agent::jobs::start::{start, unit};
use agent::jobs::unit::Units;
use protocol::AgentError;
use protocol::job::{JobResult, JobStarted};
use std::fs::{self, FileTimes};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

/// Units that run until they are ended, and what they were started with.
#[derive(Default)]
struct Fake {
    active: Mutex<Vec<String>>,
    started: Mutex<Vec<String>>,
    refuses: bool,
}

impl Units for Fake {
    fn start(&self, unit: &str, folder: &Path, seconds: u64) -> Result<()> {
        if self.refuses {
            return Err(unavailable("job_not_started", "Not now."));
        }
        let words = format!("{unit} {} {seconds}", folder.display());
        self.started.lock().expect("free").push(words);
        self.active.lock().expect("free").push(unit.into());
        Ok(())
    }
    fn is_active(&self, unit: &str) -> Result<bool> {
        Ok(self
            .active
            .lock()
            .expect("free")
            .iter()
            .any(|one| one == unit))
    }
    fn end(&self, unit: &str) -> Result<()> {
        self.active.lock().expect("free").retain(|one| one != unit);
        Ok(())
    }
}

fn begin(world: &World, units: &Fake, fence: u64) -> std::result::Result<JobStarted, AgentError> {
    let order = world.order("log", fence, &format!("hush{fence}"));
    start(&world.paths(), &order.lease, &order.start, units)
}

fn store(world: &World, result: JobResult) {
    let log = Vec::new();
    world
        .folder()
        .put_result(&Stored { result, log })
        .expect("stored");
}

fn over(world: &World, heard: bool) {
    let order = world.folder().order().expect("read");
    assert!(world.folder().end(&order, heard).expect("ended"));
    assert_eq!(
        world
            .folder()
            .over()
            .expect("read")
            .map(|Over { heard }| heard),
        Some(heard)
    );
}

fn done() -> JobResult {
    JobResult::Done {
        gives: serde_json::Value::Null,
        summary: "done".into(),
    }
}

#[test]
fn a_start_writes_the_order_for_root_alone_and_gives_the_unit_no_secret() {
    let (world, units) = (World::new(), Fake::default());
    assert_eq!(begin(&world, &units, 1), Ok(JobStarted::Started));
    let words = units.started.lock().expect("free")[0].clone();
    assert!(
        words.starts_with(&unit(JOB)) && !words.contains("hush"),
        "{words}"
    );
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    let folder = world.folder();
    assert_eq!(mode(folder.path()), 0o700);
    assert_eq!(mode(&world.paths().jobs()), 0o700);
    for entry in fs::read_dir(folder.path()).expect("listed").flatten() {
        assert_eq!(mode(&entry.path()), 0o600, "{:?}", entry.path());
    }
}

#[test]
fn a_running_job_is_taken_over_and_not_begun_twice() {
    let (world, units) = (World::new(), Fake::default());
    assert_eq!(begin(&world, &units, 1), Ok(JobStarted::Started));
    assert_eq!(begin(&world, &units, 1), Ok(JobStarted::Running));
    assert_eq!(begin(&world, &units, 2), Ok(JobStarted::Running));
    assert_eq!(units.started.lock().expect("free").len(), 1);
    let order = world.folder().order().expect("read");
    assert_eq!(
        (order.lease.fence, order.start.callback.secret.as_str()),
        (2, "hush2")
    );
    assert_eq!(
        begin(&world, &units, 1).expect_err("too late").code,
        "stale_fence"
    );
}

#[test]
fn a_job_that_died_is_begun_again() {
    let (world, units) = (World::new(), Fake::default());
    begin(&world, &units, 1).expect("started");
    units.end(&unit(JOB)).expect("ended");
    assert_eq!(begin(&world, &units, 2), Ok(JobStarted::Started));
    assert_eq!(units.started.lock().expect("free").len(), 2);
}

#[test]
fn work_that_is_done_is_told_again_and_never_done_again() {
    for heard in [false, true] {
        let (world, units) = (World::new(), Fake::default());
        begin(&world, &units, 1).expect("started");
        store(&world, done());
        over(&world, heard);
        // Also while the old process is on its way out.
        assert_eq!(begin(&world, &units, 2), Ok(JobStarted::Finished));
        units.end(&unit(JOB)).expect("ended");
        assert_eq!(begin(&world, &units, 3), Ok(JobStarted::Finished));
        assert!(world.folder().result().expect("read").is_some());
        assert!(world.folder().over().expect("read").is_none());
    }
}

#[test]
fn a_failure_that_was_heard_is_tried_again_and_one_that_was_not_is_told() {
    for (heard, wanted) in [(true, JobStarted::Started), (false, JobStarted::Finished)] {
        let (world, units) = (World::new(), Fake::default());
        begin(&world, &units, 1).expect("started");
        store(&world, JobResult::Failed(unavailable("away", "Away.")));
        over(&world, heard);
        units.end(&unit(JOB)).expect("ended");
        assert_eq!(begin(&world, &units, 2), Ok(wanted));
        assert_eq!(world.folder().result().expect("read").is_some(), !heard);
    }
}

#[test]
fn a_start_that_fails_leaves_no_folder_and_a_takeover_that_fails_no_secret() {
    let mut units = Fake::default();
    let world = World::new();
    begin(&world, &units, 1).expect("started");
    units.end(&unit(JOB)).expect("ended");
    units.refuses = true;
    assert_eq!(
        begin(&world, &units, 2).expect_err("refused").code,
        "job_not_started"
    );
    assert_eq!(
        world.folder().order().expect("read").start.callback.secret,
        ""
    );
    let world = World::new();
    assert!(begin(&world, &units, 1).is_err());
    assert!(!world.folder().path().exists());
}

#[test]
fn a_newer_job_ends_the_older_one_of_its_target_first() {
    let (world, units) = (World::new(), Fake::default());
    begin(&world, &units, 1).expect("started");
    let mut order = world.order("log", 2, "hush");
    order.start.job = "01J00000000000000000000000.restore_files".into();
    start(&world.paths(), &order.lease, &order.start, &units).expect("started");
    let active = units.active.lock().expect("free").clone();
    assert_eq!(active, [unit(&order.start.job)]);
}

#[test]
fn folders_of_a_week_ago_go_and_a_dead_jobs_secret_goes_before() {
    let (world, units) = (World::new(), Fake::default());
    begin(&world, &units, 1).expect("started");
    units.end(&unit(JOB)).expect("ended");
    let age = |days: u64| {
        let at = SystemTime::now() - Duration::from_secs(days * 24 * 3600);
        let folder = fs::File::open(world.folder().path()).expect("open");
        folder
            .set_times(FileTimes::new().set_modified(at))
            .expect("set");
    };
    let another = |step: &str, fence| {
        let mut order = world.order("log", fence, "hush");
        order.start.job = format!("01J00000000000000000000000.{step}");
        order.lease.target = format!("site:{step}");
        start(&world.paths(), &order.lease, &order.start, &units).expect("started");
    };
    another("a", 1);
    assert_eq!(
        world.folder().order().expect("read").start.callback.secret,
        "hush1"
    );
    age(2);
    another("b", 1);
    assert_eq!(
        world.folder().order().expect("read").start.callback.secret,
        ""
    );
    age(8);
    another("c", 1);
    assert!(!world.folder().path().exists());
}

#[test]
fn a_damaged_order_is_refused_before_anything_is_done() {
    let (world, units) = (World::new(), Fake::default());
    let good = world.order("log", 1, "hush");
    let mut bad = good.clone();
    bad.start.job = "../../etc".into();
    let mut header = good.clone();
    header.start.callback.secret = "a\r\nb: c".into();
    let mut url = good.clone();
    url.start.callback.url = "file:///etc/passwd".into();
    let mut limit = good.clone();
    limit.start.limit_seconds = u64::MAX;
    for order in [bad, header, url, limit] {
        let error = start(&world.paths(), &order.lease, &order.start, &units).expect_err("refused");
        assert_eq!(error.code, "bad_request");
    }
    assert!(!world.paths().jobs().exists());
}
