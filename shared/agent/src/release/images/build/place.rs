//! Where a build takes what it needs.
//!
//! Promise: beneath the checkout, all links resolved. Nobody but root can change it, so what is seen here holds.

use crate::fault::{Result, bad_request, refused};
use protocol::release::BuildImage;
use std::fs;
use std::path::{Path, PathBuf};

/// Are names of arguments and of the stage nothing but names?
pub fn arguments_ok(asked: &BuildImage) -> Result<()> {
    let word = |text: &str| {
        !text.is_empty()
            && !text.starts_with(|c: char| c.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let stage = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
    };
    if !asked.arguments.keys().all(|name| word(name)) {
        return Err(bad_request(
            "A build argument's name must be letters, digits and underscores, not beginning with a digit.",
        ));
    }
    if asked.arguments.values().any(|value| value.contains('\0')) {
        return Err(bad_request(
            "A build argument's value holds a character that none may hold.",
        ));
    }
    if !asked.target.as_deref().is_none_or(stage) {
        return Err(bad_request("The stage's name is not one."));
    }
    Ok(())
}

/// Where a build takes what it needs, all links resolved.
#[derive(Debug)]
pub struct Place {
    /// The file.
    pub dockerfile: PathBuf,
    /// The folder that is sent to the builder.
    pub context: PathBuf,
}

impl Place {
    /// Of this order, or what it lacks.
    pub fn of(checkout: &Path, asked: &BuildImage) -> Result<Self> {
        let top = fs::canonicalize(checkout).map_err(|_| {
            refused(
                "not_fetched",
                "The source is not on this server. Deploy again.",
            )
        })?;
        let missing = |path: &str| {
            refused(
                "dockerfile_missing",
                format!(
                    "The source has no Dockerfile at {path:?}. Check the path, or add the file."
                ),
            )
        };
        let no_folder = |path: &str| {
            refused(
                "context_missing",
                format!("The source has no folder {path:?} to build in. Check the path."),
            )
        };
        let dockerfile = beneath(&top, &asked.dockerfile).filter(|path| path.is_file());
        let context = beneath(&top, &asked.context).filter(|path| path.is_dir());
        Ok(Self {
            dockerfile: dockerfile.ok_or_else(|| missing(&asked.dockerfile))?,
            context: context.ok_or_else(|| no_folder(&asked.context))?,
        })
    }
}

fn beneath(top: &Path, path: &str) -> Option<PathBuf> {
    let path = if path.is_empty() { "." } else { path };
    if Path::new(path).is_absolute() || path.contains('\0') {
        return None;
    }
    let found = fs::canonicalize(top.join(path)).ok()?;
    found.starts_with(top).then_some(found)
}

/// Images that a Dockerfile names in words, stages of its own left out.
pub fn bases(text: &str) -> Vec<&str> {
    let mut stages: Vec<String> = vec!["scratch".into()];
    let mut bases = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if !words
            .next()
            .is_some_and(|first| first.eq_ignore_ascii_case("from"))
        {
            continue;
        }
        let mut words = words.skip_while(|word| word.starts_with("--"));
        let Some(base) = words.next() else {
            continue;
        };
        if !base.contains('$') && !stages.contains(&base.to_ascii_lowercase()) {
            bases.push(base);
        }
        if let (Some(_), Some(stage)) = (words.next(), words.next()) {
            stages.push(stage.to_ascii_lowercase());
        }
    }
    bases
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn asked(dockerfile: &str, context: &str) -> BuildImage {
        let value = serde_json::json!({
            "environment": "shop", "dockerfile": dockerfile, "context": context, "tag": "triphammer/shop:1", "keep_free_bytes": 0,
        });
        serde_json::from_value(value).expect("an order")
    }

    #[test]
    fn neither_dockerfile_nor_context_leads_out_of_the_checkout() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let top = root.path().join("checkout");
        fs::create_dir_all(top.join("app")).expect("made");
        fs::write(root.path().join("Dockerfile"), "FROM scratch").expect("written");
        fs::write(top.join("app/Dockerfile"), "FROM scratch").expect("written");
        symlink("app/Dockerfile", top.join("inside")).expect("linked");
        symlink("../Dockerfile", top.join("outside")).expect("linked");
        symlink("/", top.join("root")).expect("linked");
        let place = |dockerfile, context| {
            Place::of(&top, &asked(dockerfile, context)).map_err(|error| error.code)
        };
        assert!(place("app/Dockerfile", ".").is_ok());
        assert!(place("inside", "app").is_ok());
        assert!(place("app/../inside", "").is_ok());
        for bad in [
            "outside",
            "../Dockerfile",
            "root/etc/passwd",
            "/etc/passwd",
            "app",
            "nope",
            "",
        ] {
            assert_eq!(place(bad, ".").expect_err(bad), "dockerfile_missing");
        }
        for bad in ["root", "..", "root/etc", "/", "inside", "app/../.."] {
            assert_eq!(place("inside", bad).expect_err(bad), "context_missing");
        }
        assert_eq!(
            Place::of(&root.path().join("gone"), &asked("a", "."))
                .expect_err("gone")
                .code,
            "not_fetched"
        );
    }

    #[test]
    fn arguments_with_meaning_to_the_program_are_refused() {
        let mut order = asked("Dockerfile", ".");
        order.target = Some("--output=/".into());
        assert!(arguments_ok(&order).is_err());
        order.target = Some("build-stage.1".into());
        order.arguments.insert("VERSION".into(), "a=b --c".into());
        assert!(arguments_ok(&order).is_ok());
        order.arguments.insert("A=B".into(), String::new());
        assert!(arguments_ok(&order).is_err());
    }

    #[test]
    fn bases_are_those_that_a_registry_gives() {
        let text = "ARG A=1\nFROM --platform=linux/amd64 registry.test:5000/a:1 AS Build\nFROM build\nfrom scratch\nFROM ${A}\nCOPY --from=x . .\nFROM b\n";
        assert_eq!(bases(text), ["registry.test:5000/a:1", "b"]);
    }
}
