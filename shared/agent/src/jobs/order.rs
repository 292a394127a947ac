//! An order as it came in, judged before anything is done about it.
//!
//! Promise: what passes has no meaning to a path, a unit's name or a header beyond being that name.

use crate::fault::{Result, bad_request};
use protocol::job::JobStart;

/// A week: no site is so large.
const LIMIT_SECONDS: u64 = 7 * 24 * 3600;
/// A ULID.
const DEPLOYMENT_LENGTH: usize = 26;
/// As the protocol says.
const STEP_LIMIT: usize = 63;
/// Longer ones are no secret of ours.
const SECRET_LIMIT: usize = 512;
/// Longer ones are no address of ours.
const URL_LIMIT: usize = 2048;

/// Is this a job that can be started?
pub fn check(asked: &JobStart) -> Result<()> {
    name(&asked.job)?;
    let url = &asked.callback.url;
    let graphic = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
    if !(url.starts_with("https://") || url.starts_with("http://"))
        || url.len() > URL_LIMIT
        || !graphic(url)
    {
        return Err(bad_request(
            "The callback's address must begin with http:// or https:// and hold no spaces.",
        ));
    }
    let secret = &asked.callback.secret;
    if !(1..=SECRET_LIMIT).contains(&secret.len()) || !graphic(secret) {
        return Err(bad_request("The callback's secret is not one."));
    }
    if !(1..=LIMIT_SECONDS).contains(&asked.limit_seconds) {
        return Err(bad_request("A job's limit must be 1 second to 7 days."));
    }
    Ok(())
}

/// `[0-9A-Z]{26}\.[a-z][a-z0-9_]{0,62}`
pub fn name(job: &str) -> Result<()> {
    let ok = job.split_once('.').is_some_and(|(deployment, step)| {
        deployment.len() == DEPLOYMENT_LENGTH
            && deployment
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
            && step.len() <= STEP_LIMIT
            && step.starts_with(|c: char| c.is_ascii_lowercase())
            && step
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    });
    if ok {
        return Ok(());
    }
    Err(bad_request("The job's name is not one."))
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn a_name_with_meaning_elsewhere_is_refused() {
        let deployment = "01J00000000000000000000000";
        assert!(name(&format!("{deployment}.dump_database")).is_ok());
        for bad in ["", "../x", "x", deployment] {
            assert!(name(bad).is_err(), "{bad}");
        }
        for step in ["", "A", "1a", "a/b", "a.b", "a b", "..", "a-b", "a@b"] {
            assert!(name(&format!("{deployment}.{step}")).is_err(), "{step}");
        }
    }
}
