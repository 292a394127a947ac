//! Where the API is and which token to use: flags, environment, or the configuration file.
//!
//! Promise: a token from the file goes to the address beside it in the file and to no other. Messages never show a token.

use crate::ending::Fault;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The API, and who calls it.
#[derive(PartialEq, Eq)]
pub struct Access {
    pub api_url: String,
    pub token: String,
    pub host_header: Option<String>,
}

/// What the flags say.
#[derive(Default)]
pub struct Flags {
    pub api_url: Option<String>,
    pub token: Option<String>,
    pub profile: Option<String>,
}

/// What the environment says.
#[derive(Default)]
pub struct Environment {
    pub api_url: Option<String>,
    pub token: Option<String>,
    pub host_header: Option<String>,
    pub profile: Option<String>,
    /// The configuration file, there or not.
    pub file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Configuration {
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    api_url: Option<String>,
    token: Option<String>,
    host_header: Option<String>,
}

impl Environment {
    /// Of this process.
    pub fn read() -> Self {
        #[allow(clippy::disallowed_methods, reason = "the one place that asks")]
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let folder = set("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| set("HOME").map(|home| Path::new(&home).join(".config")));
        Self {
            api_url: set("TRIPHAMMER_API_URL"),
            token: set("TRIPHAMMER_TOKEN"),
            host_header: set("TRIPHAMMER_HOST_HEADER"),
            profile: set("TRIPHAMMER_PROFILE"),
            file: set("TRIPHAMMER_CONFIG")
                .map(PathBuf::from)
                .or_else(|| folder.map(|folder| folder.join("triphammer/config.toml"))),
        }
    }
}

/// Flags go first, then a profile named by a flag, then the environment, then the profile of the environment or `default`.
pub fn access(
    flags: Flags,
    environment: Environment,
    warn: impl Fn(String),
) -> Result<Access, Fault> {
    let path = environment.file.clone();
    let named = flags.profile.is_some();
    let name = flags
        .profile
        .or(environment.profile)
        .unwrap_or_else(|| "default".to_string());
    let from_environment = |value: Option<String>| value.filter(|_| !named);
    let api_url = flags
        .api_url
        .or_else(|| from_environment(environment.api_url));
    let token = flags.token.or_else(|| from_environment(environment.token));
    let host_header = from_environment(environment.host_header);
    if let (Some(api_url), Some(token)) = (&api_url, &token) {
        return Ok(Access {
            api_url: api_url.clone(),
            token: token.clone(),
            host_header,
        });
    }
    let profile = match &path {
        Some(path) => profile(path, &name, &warn)?,
        None => None,
    };
    let place = path.map_or("no configuration file".to_string(), |path| {
        path.display().to_string()
    });
    let Some(profile) = profile else {
        if named || api_url.is_none() && token.is_none() {
            return Err(Fault::said(format!(
                "there is no profile {name:?} in {place}. Write one, or set TRIPHAMMER_API_URL and TRIPHAMMER_TOKEN; triphammer --help shows the layout"
            )));
        }
        let missing = if api_url.is_none() {
            "the API's address is not known: pass --api-url or set TRIPHAMMER_API_URL"
        } else {
            "there is no token: set TRIPHAMMER_TOKEN or pass --token"
        };
        return Err(Fault::said(missing));
    };
    joined(api_url, token, host_header, profile, &name)
}

fn joined(
    api_url: Option<String>,
    token: Option<String>,
    host_header: Option<String>,
    profile: Profile,
    name: &str,
) -> Result<Access, Fault> {
    let same = |url: &String| {
        profile
            .api_url
            .as_ref()
            .is_some_and(|own| own.trim_end_matches('/') == url.trim_end_matches('/'))
    };
    let elsewhere = api_url.as_ref().is_some_and(|url| !same(url));
    let token = match (token, profile.token) {
        (Some(token), _) => token,
        (None, Some(token)) if !elsewhere => token,
        (None, Some(_)) => {
            return Err(Fault::said(format!(
                "the token of profile {name:?} is for another address; set TRIPHAMMER_TOKEN or pass --token for this one"
            )));
        }
        (None, None) => {
            return Err(Fault::said(format!(
                "there is no token in profile {name:?}: add one, set TRIPHAMMER_TOKEN, or pass --token"
            )));
        }
    };
    let api_url = api_url.or(profile.api_url).ok_or_else(|| {
        Fault::said(format!(
            "there is no api_url in profile {name:?}: add one, set TRIPHAMMER_API_URL, or pass --api-url"
        ))
    })?;
    let own_host = profile.host_header.filter(|_| !elsewhere);
    Ok(Access {
        api_url,
        token,
        host_header: host_header.or(own_host),
    })
}

fn profile(path: &Path, name: &str, warn: &impl Fn(String)) -> Result<Option<Profile>, Fault> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Fault::said(format!(
                "{} cannot be read: {error}",
                path.display()
            )));
        }
    };
    let configuration: Configuration = toml::from_str(&text).map_err(|error| {
        // Its own words would show the line, and with it perhaps a token.
        let line = error.span().map_or(1, |span| {
            text[..span.start.min(text.len())].lines().count().max(1)
        });
        Fault::said(format!(
            "{}, line {line}: {}",
            path.display(),
            error.message()
        ))
    })?;
    let profile = configuration.profiles.get(name).cloned();
    if profile.as_ref().is_some_and(|found| found.token.is_some()) && others_may_read(path) {
        warn(format!(
            "{} holds a token and can be read by others; run: chmod 600 {}",
            path.display(),
            path.display()
        ));
    }
    Ok(profile)
}

#[cfg(unix)]
fn others_may_read(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn others_may_read(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    const FILE: &str = r#"
        [profiles.default]
        api_url = "https://default.example"
        token = "th_default"
        [profiles.local]
        api_url = "http://127.0.0.1:4566/stage"
        token = "th_local"
        host_header = "api.local"
    "#;

    fn with(file: &str, flags: Flags, environment: Environment) -> (Result<Access, Fault>, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.toml");
        std::fs::write(&path, file).expect("a file");
        let warned = RefCell::new(String::new());
        let environment = Environment {
            file: Some(path),
            ..environment
        };
        let access = access(flags, environment, |text| {
            warned.borrow_mut().push_str(&text)
        });
        (access, warned.into_inner())
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_string())
    }

    fn said(result: Result<Access, Fault>) -> String {
        result
            .err()
            .map(|fault| fault.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn without_a_word_the_default_profile_is_used() {
        let (access, warned) = with(FILE, Flags::default(), Environment::default());
        let access = access.expect("access");
        assert_eq!(
            (access.api_url.as_str(), access.token.as_str()),
            ("https://default.example", "th_default")
        );
        assert!(warned.contains("chmod 600"), "{warned}");
    }

    #[test]
    fn a_profile_named_by_a_flag_goes_before_the_environment() {
        let environment = || Environment {
            api_url: some("https://env.example"),
            token: some("th_env"),
            ..Environment::default()
        };
        let flags = Flags {
            profile: some("local"),
            ..Flags::default()
        };
        let access = with(FILE, flags, environment()).0.expect("access");
        assert_eq!(access.token, "th_local");
        assert_eq!(access.host_header.as_deref(), Some("api.local"));
        let access = with(FILE, Flags::default(), environment())
            .0
            .expect("access");
        assert_eq!(access.token, "th_env");
    }

    #[test]
    fn a_token_of_the_file_does_not_go_to_another_address() {
        let flags = || Flags {
            api_url: some("https://elsewhere.example"),
            ..Flags::default()
        };
        let why = said(with(FILE, flags(), Environment::default()).0);
        assert!(why.contains("another address"), "{why}");
        let flags = Flags {
            token: some("th_flag"),
            ..flags()
        };
        assert!(with(FILE, flags, Environment::default()).0.is_ok());
    }

    #[test]
    fn what_is_missing_is_named_and_no_token_is_shown() {
        let unknown = Flags {
            profile: some("nowhere"),
            ..Flags::default()
        };
        assert!(
            said(with(FILE, unknown, Environment::default()).0).contains("no profile \"nowhere\"")
        );
        let broken = "[profiles.default]\ntoken = \"th_secret\n";
        let why = said(with(broken, Flags::default(), Environment::default()).0);
        assert!(
            why.contains("line 2") && !why.contains("th_secret"),
            "{why}"
        );
        let typo = "[profiles.default]\napi_ulr = \"x\"\n";
        let why = said(with(typo, Flags::default(), Environment::default()).0);
        assert!(why.contains("api_ulr"), "{why}");
        let why = said(
            with(
                "",
                Flags {
                    api_url: some("https://x"),
                    ..Flags::default()
                },
                Environment::default(),
            )
            .0,
        );
        assert!(why.contains("no token"), "{why}");
    }
}
