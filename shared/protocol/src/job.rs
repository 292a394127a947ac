//! Work that takes longer than seconds: how a job is started, and what it and the callback say to each other.
//!
//! Promise: a job is named by its deployment and step, so a second start finds the first. It says all it has to say to
//! one address, with a secret of its own, and every report may come twice. Object names are short words; only the
//! callback knows where in the store they are.

use crate::{AgentError, Lease, release};
use serde::{Deserialize, Serialize};

/// How often a job says that it lives: a cancel must reach it within ten seconds, and the reply brings it.
pub const HEARTBEAT_SECONDS: u64 = 5;
/// A report weighs at most this, a [`Say::Complete`] left out.
pub const REPORT_LIMIT_BYTES: usize = 256 * 1024;
/// A [`Say::Complete`] names all parts, and 10,000 of them weigh up to this.
pub const COMPLETE_LIMIT_BYTES: usize = 2 * 1024 * 1024;
/// What a job may log; the rest is left out, and that is said.
pub const LOG_LIMIT_BYTES: u64 = 50 * 1024 * 1024;
/// URLs for so many parts are asked for at once.
pub const PARTS_LIMIT: usize = 16;

/// Start this job, or take it over with this lease and secret when it runs already. Replies [`JobStarted`].
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobStart {
    /// `<deployment id>.<step>`: `[0-9A-Z]{26}\.[a-z][a-z0-9_]{0,62}`.
    pub job: String,
    /// Where it reports.
    pub callback: Callback,
    /// It is ended after this long, whatever it does.
    pub limit_seconds: u64,
    /// What to do.
    pub work: Work,
}

/// Where a job reports, and what it proves itself with.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Callback {
    /// http or https; each report is a POST of a [`Report`] to it, answered by a [`ReportReply`].
    pub url: String,
    /// Sent as `Authorization: Bearer …`.
    pub secret: String,
}

impl std::fmt::Debug for JobStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobStart")
            .field("job", &self.job)
            .field("work", &self.work)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Callback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callback")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// What became of a start.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum JobStarted {
    /// It begins now.
    Started,
    /// It was at work already, and reports with the new lease and secret from now on.
    Running,
    /// It had ended; its result is reported again with the new lease and secret.
    Finished,
}

/// What a job may be asked to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Work {
    /// Dump a site's database into the object `database`. Gives [`DatabaseBackedUp`].
    BackupDatabase(Database),
    /// Walk a site's files and compare them with the manifest of the backup before. Gives [`FilesCollected`].
    CollectFiles(Files),
    /// Archive a site's files into the objects `files` and `manifest`. Gives [`FilesArchived`].
    ArchiveFiles(Files),
    /// All of a backup in one: before a restore. Gives [`SiteBackedUp`].
    BackupSite(BackupSite),
    /// Fetch all that a restore needs, check it, and put it together beside the live site, which is not touched.
    /// Gives [`BackupDownloaded`].
    DownloadBackup(DownloadBackup),
    /// Load the downloaded dump beside the live tables, and swap them in. Gives [`DatabaseRestored`].
    RestoreDatabase(Database),
    /// Swap the downloaded tree in. Gives [`FilesRestored`].
    RestoreFiles(Site),
    /// Throw the old sides and all temporary files away. Gives nothing.
    CleanUpRestore(Database),
    /// The source in a checkout of the deployment's own. Gives [`release::SourceFetched`].
    FetchSource(release::FetchSource),
    /// Build an image from the checkout. Gives [`release::ImageBuilt`].
    BuildImage(release::BuildImage),
    /// Fetch the prepared release's images. Gives [`release::ImagesPulled`].
    PullImages(release::PullImages),
    /// Start the prepared release's containers beside the old ones; on a first release all of them. Gives
    /// [`release::ContainersStarted`].
    StartContainers(release::EnvironmentName),
    /// Wait until they are ready, then update the others in place, and wait for those. Gives [`release::HealthSeen`].
    AwaitHealth(release::EnvironmentName),
    /// Drain and remove what was replaced; prune what nothing needs. Gives [`release::ReleaseFinished`].
    FinishRelease(release::FinishRelease),
    /// Stop the current release's containers; the routes say that it is stopped. Gives [`release::Observed`].
    StopEnvironment(release::EnvironmentName),
    /// Start them again. Gives [`release::Observed`].
    StartEnvironment(release::EnvironmentName),
    /// Restart them, one after the other where there are several. Gives [`release::Observed`].
    RestartEnvironment(release::EnvironmentName),
    /// All that the environment has here goes. Gives [`release::EnvironmentRemoved`].
    RemoveEnvironment(release::RemoveEnvironment),
    /// Send images that were built here to the store. Gives [`release::ImagesSaved`].
    SaveImages(release::SaveImages),
    /// Take such images from it. Gives nothing.
    LoadImages(release::LoadImages),
}

/// A site of this host.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// As in [`crate::SiteName`].
    pub site: String,
}

/// A site's database.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// As in [`crate::SiteName`].
    pub site: String,
    /// As in [`crate::DatabaseName`].
    pub database: String,
}

/// A site's files.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// As in [`crate::SiteName`].
    pub site: String,
    /// Paths relative to the web root that are left out: `wp-content/cache`, or patterns with `*`, `?` and `**`.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// The object `parent_manifest`: what the backup before had, so that only changes are archived.
    #[serde(default)]
    pub parent: Option<Sealed>,
}

/// A site's files and database.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupSite {
    /// As in [`crate::SiteName`].
    pub site: String,
    /// As in [`crate::DatabaseName`]; absent for files alone.
    #[serde(default)]
    pub database: Option<String>,
    /// Absent for the database alone.
    #[serde(default)]
    pub files: Option<Files>,
}

/// What a restore fetches. In the chain `files_0` with `manifest_0` is the full archive, `files_1`… follow in order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DownloadBackup {
    /// As in [`crate::SiteName`].
    pub site: String,
    /// The object `database`; absent when only files are restored.
    #[serde(default)]
    pub database: Option<Dump>,
    /// The full one first, each with the checksum that its backup recorded; empty when only the database is restored.
    #[serde(default)]
    pub chain: Vec<Link>,
}

/// A dump in the store.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Dump {
    /// As its backup recorded it.
    pub sealed: Sealed,
    /// Its length when unpacked.
    pub dump_bytes: u64,
}

/// One backup of a chain.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Of `files_<n>`.
    pub files: Sealed,
    /// Of `manifest_<n>`.
    pub manifest: Sealed,
    /// Bytes of the tree it stands for.
    pub tree_bytes: u64,
}

/// An object as it was when it was complete.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// Its length.
    pub size_bytes: u64,
    /// Hex SHA-256 of all of it.
    pub sha256: String,
}

/// One word of a job to the callback.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Of the lease the job works with.
    pub fence: u64,
    /// What it says.
    pub say: Say,
}

/// What a job has to say.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Say {
    /// It lives. Sent every [`HEARTBEAT_SECONDS`], and sooner when there is much to log.
    Alive {
        /// How far it is; absent when nothing changed.
        #[serde(default)]
        progress: Option<Progress>,
        /// What it logged since the last word that was heard.
        #[serde(default)]
        log: Vec<LogLine>,
    },
    /// It has these parts of an object ready. Answered with a URL for each.
    Parts {
        /// `database`, `files`, `manifest`.
        object: String,
        /// At most [`PARTS_LIMIT`].
        parts: Vec<Part>,
    },
    /// All parts of an object are there. The callback reads back, completes it and checks its size.
    Complete {
        /// As above.
        object: String,
        /// All of them, in order.
        parts: Vec<PartSent>,
        /// Of the whole object.
        sealed: Sealed,
    },
    /// It wants to read an object. Answered with a URL.
    Fetch {
        /// `parent_manifest`, `files_0`…
        object: String,
    },
    /// It is over; sent until it is heard.
    Ended {
        /// How.
        result: JobResult,
        /// The last of what it logged.
        #[serde(default)]
        log: Vec<LogLine>,
    },
}

/// A part to be sent.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// 1 to 10,000.
    pub number: u32,
    /// Its length.
    pub size_bytes: u64,
    /// Base64 SHA-256, as S3 takes it.
    pub sha256: String,
}

/// A part that was sent.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct PartSent {
    /// The part.
    pub part: Part,
    /// As the store answered.
    pub etag: String,
}

/// How far a job is.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// So much is done.
    pub done: u64,
    /// Of so much, when it is known.
    #[serde(default)]
    pub total: Option<u64>,
    /// `bytes`, `files`, `rows`.
    pub unit: String,
    /// Per second, over the last seconds.
    #[serde(default)]
    pub rate: Option<f64>,
}

/// A line of a job's log.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct LogLine {
    /// Counts up from 0 over the job's life, so that a line that came twice is seen to.
    pub number: u64,
    /// Milliseconds since 1970 by the server's clock.
    pub at_ms: i64,
    /// Which stream it came from.
    pub stream: Stream,
    /// Without its end; at most 8 KB.
    pub text: String,
}

/// Where a line came from.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// The program's output.
    Out,
    /// Its complaints.
    Err,
}

/// How a job ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum JobResult {
    /// With its work done: what it gives, and for people.
    Done {
        /// As its [`Work`] says.
        gives: serde_json::Value,
        /// One line: "Archived 11,962 files, 938 MB".
        summary: String,
    },
    /// Without; nothing half done is left that a repeat or the undo would not mend.
    Failed(AgentError),
    /// It was told to stop, and did.
    Cancelled,
}

/// What the callback answers. 410 instead of it means that the job is over, and must end at once.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportReply {
    /// Stop now, and say so.
    #[serde(default)]
    pub cancel: bool,
    /// No more log is taken.
    #[serde(default)]
    pub log_full: bool,
    /// For `parts`, one each; for `fetch`, one.
    #[serde(default)]
    pub urls: Vec<Url>,
}

/// Where to send or fetch bytes; good for 15 minutes.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Url {
    /// Of the part; 0 for a fetch.
    pub number: u32,
    /// With its signature, so it is a secret.
    pub url: String,
    /// To be sent along, because they are signed.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
}

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Url")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// Reply to [`Work::BackupDatabase`].
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct DatabaseBackedUp {
    /// The object `database`.
    pub database: Sealed,
    /// The dump itself.
    pub dump_bytes: u64,
    /// How many tables it has.
    pub tables: u64,
    /// `mariadb-dump 10.11.19`.
    pub client: String,
    /// `MariaDB 10.11.19`.
    pub server: String,
    /// What people should know: tables that are not InnoDB.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Reply to [`Work::CollectFiles`].
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct FilesCollected {
    /// All there is.
    pub entries: u64,
    /// Bytes of all files.
    pub tree_bytes: u64,
    /// Entries that are new or changed.
    pub changed: u64,
    /// Bytes of those.
    pub changed_bytes: u64,
    /// Entries that are gone.
    pub deleted: u64,
}

/// Reply to [`Work::ArchiveFiles`].
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct FilesArchived {
    /// The object `files`.
    pub files: Sealed,
    /// The object `manifest`.
    pub manifest: Sealed,
    /// As in [`FilesCollected`], as they were archived.
    #[serde(flatten)]
    pub collected: FilesCollected,
    /// Files that changed while they were read, and were read again: at most 20 names.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Reply to [`Work::BackupSite`].
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct SiteBackedUp {
    /// Of the database.
    #[serde(default)]
    pub database: Option<DatabaseBackedUp>,
    /// Of the files.
    #[serde(default)]
    pub files: Option<FilesArchived>,
}

/// Reply to [`Work::RestoreDatabase`].
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct DatabaseRestored {
    /// How many tables were swapped in.
    pub tables: u64,
    /// What people should know.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Reply to [`Work::DownloadBackup`].
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct BackupDownloaded {
    /// In the tree beside the live one.
    pub entries: u64,
    /// Bytes of all its files.
    pub tree_bytes: u64,
    /// Of the dump, when there is one.
    pub dump_bytes: u64,
}

/// Reply to [`Work::RestoreFiles`].
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct FilesRestored {
    /// In the live tree now.
    pub entries: u64,
}

/// What is on disk about a job that was started: the request's lease and itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobOrder {
    /// Whose turn it is.
    pub lease: Lease,
    /// What was asked.
    pub start: JobStart,
}
