//! What may be typed about backups.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use domain::{BackupId, BackupScope, Retention};

#[derive(Debug, Subcommand)]
pub enum Backups {
    /// Back up a site: what changed since the backup before, and all of the database
    Create {
        /// Name, SERVER/NAME, or id
        site: String,
        /// What it is to hold [default: site]
        #[arg(long, value_parser = backup_scopes())]
        scope: Option<BackupScope>,
        /// Archive every file, rather than what changed since the backup before
        #[arg(long)]
        full: bool,
        /// A path of the web root that is left out, or a pattern with *, ? and **; may be given again
        #[arg(long, value_name = "PATTERN")]
        exclude: Vec<String>,
        /// What a backup configuration says: its name or id; the backup counts for its retention
        #[arg(long, value_name = "NAME", conflicts_with_all = ["scope", "exclude"])]
        configuration: Option<String>,
    },
    /// A site's backups, newest first
    List {
        /// Name, SERVER/NAME, or id
        site: String,
    },
    /// One backup
    Show {
        /// Name, SERVER/NAME, or id
        site: String,
        /// As `backups list` shows it
        #[arg(value_parser = backup_id)]
        backup: BackupId,
    },
    /// Put a backup back, after a backup of what is there
    Restore {
        /// Name, SERVER/NAME, or id
        site: String,
        /// As `backups list` shows it
        #[arg(value_parser = backup_id)]
        backup: BackupId,
        /// What of it [default: all that it holds]
        #[arg(long, value_parser = backup_scopes())]
        scope: Option<BackupScope>,
    },
    /// Delete a backup
    Delete {
        /// Name, SERVER/NAME, or id
        site: String,
        /// As `backups list` shows it
        #[arg(value_parser = backup_id)]
        backup: BackupId,
    },
    /// What a site can be restored to, and what was pruned
    RestorePoints {
        /// Name, SERVER/NAME, or id
        site: String,
    },
    /// What of a site is backed up when, and how long it is kept
    #[command(subcommand)]
    Configurations(BackupConfigurations),
}

#[derive(Debug, Subcommand)]
pub enum BackupConfigurations {
    /// Back up a site by a schedule
    Create(BackupConfigurationCreate),
    /// A site's backup configurations
    List {
        /// Name, SERVER/NAME, or id
        site: String,
    },
    /// One of them
    Show {
        /// Name, SERVER/NAME, or id
        site: String,
        /// Name or id
        configuration: String,
    },
    /// Change one: what is not given stays
    Update(BackupConfigurationUpdate),
    /// Delete one; its backups stay
    Delete {
        /// Name, SERVER/NAME, or id
        site: String,
        /// Name or id
        configuration: String,
    },
    /// Which backups its retention keeps now, and why
    Retention {
        /// Name, SERVER/NAME, or id
        site: String,
        /// Name or id
        configuration: String,
    },
}

#[derive(Debug, Args)]
pub struct BackupConfigurationCreate {
    /// Name, SERVER/NAME, or id
    pub site: String,
    /// Its name: 2 to 30 lower-case letters, digits and dashes
    pub name: String,
    /// A cron expression on the full hour, such as "0 3 * * *", or @hourly, @daily, @weekly, @monthly
    #[arg(long, value_name = "CRON")]
    pub schedule: String,
    /// The schedule's time zone, such as Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub time_zone: String,
    /// What is backed up
    #[arg(long, value_parser = backup_scopes(), default_value = "site")]
    pub scope: BackupScope,
    /// A path of the web root that is left out, or a pattern with *, ? and **; may be given again
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// Every so many backups one archives every file
    #[arg(long, value_name = "NUMBER", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pub full_every: u32,
    #[command(flatten)]
    pub keep: Keep,
    /// Its schedule does not count yet
    #[arg(long)]
    pub disabled: bool,
}

#[derive(Debug, Args)]
pub struct BackupConfigurationUpdate {
    /// Name, SERVER/NAME, or id
    pub site: String,
    /// Name or id
    pub configuration: String,
    /// Another name
    #[arg(long)]
    pub name: Option<String>,
    /// A cron expression on the full hour, or @hourly, @daily, @weekly, @monthly
    #[arg(long, value_name = "CRON")]
    pub schedule: Option<String>,
    /// The schedule's time zone
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<String>,
    /// What is backed up
    #[arg(long, value_parser = backup_scopes())]
    pub scope: Option<BackupScope>,
    /// What is left out, instead of what was before; may be given again
    #[arg(long, value_name = "PATTERN", conflicts_with = "exclude_nothing")]
    pub exclude: Vec<String>,
    /// Nothing is left out any more
    #[arg(long)]
    pub exclude_nothing: bool,
    /// Every so many backups one archives every file
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub full_every: Option<u32>,
    #[command(flatten)]
    pub keep: Keep,
    /// Keep all of its backups
    #[arg(long, conflicts_with_all = ["keep_last", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly"])]
    pub keep_all: bool,
    /// Its schedule counts
    #[arg(long, conflicts_with = "disable")]
    pub enable: bool,
    /// Its schedule does not count
    #[arg(long)]
    pub disable: bool,
}

/// How many backups are kept; without any of these all are.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Retention: what one of these keeps is kept")]
pub struct Keep {
    /// The newest so many
    #[arg(long, value_name = "NUMBER")]
    pub keep_last: Option<u32>,
    /// The newest of each of so many days
    #[arg(long, value_name = "NUMBER")]
    pub keep_daily: Option<u32>,
    /// The newest of each of so many weeks
    #[arg(long, value_name = "NUMBER")]
    pub keep_weekly: Option<u32>,
    /// The newest of each of so many months
    #[arg(long, value_name = "NUMBER")]
    pub keep_monthly: Option<u32>,
    /// The newest of each of so many years
    #[arg(long, value_name = "NUMBER")]
    pub keep_yearly: Option<u32>,
}

impl Keep {
    /// As the API takes it; nothing when none was given.
    pub fn retention(self) -> Option<Retention> {
        let given = [
            self.keep_last,
            self.keep_daily,
            self.keep_weekly,
            self.keep_monthly,
            self.keep_yearly,
        ];
        given.iter().any(Option::is_some).then(|| Retention {
            keep_last: self.keep_last.unwrap_or_default(),
            keep_daily: self.keep_daily.unwrap_or_default(),
            keep_weekly: self.keep_weekly.unwrap_or_default(),
            keep_monthly: self.keep_monthly.unwrap_or_default(),
            keep_yearly: self.keep_yearly.unwrap_or_default(),
        })
    }
}

/// Ids are written in capitals; people need not.
fn backup_id(text: &str) -> Result<BackupId, domain::ids::NotAnId> {
    text.to_ascii_uppercase().parse()
}

fn backup_scopes() -> impl TypedValueParser<Value = BackupScope> {
    PossibleValuesParser::new(["site", "files", "database"])
        .map(|text| text.parse().expect("only the words above come through"))
}
