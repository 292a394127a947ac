//! `triphammer env`: set, list, get, unset.

use crate::args::Env;
use crate::ending::{Ending, Fault};
use crate::invocation::Invocation;
use crate::output::plain;
use crate::table::{Cell, Table};
use crate::{plan, resolve};
use contract::{EnvironmentView, MASK, ValuesChange, ValuesReplace, ValuesView};
use domain::names;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// See the module.
pub async fn perform(invocation: &Invocation, command: Env) -> Result<Ending, Fault> {
    let client = &invocation.client;
    match command {
        Env::Set {
            environment,
            values,
            file,
            replace,
        } => {
            let found = resolve::environment(client, &environment).await?;
            let mut set = match &file {
                Some(path) => from_file(path)?,
                None => BTreeMap::new(),
            };
            set.extend(values);
            if set.is_empty() && !replace {
                return Err(Fault::said("nothing to set: give NAME=VALUE, or --file"));
            }
            change(invocation, &found, set, Vec::new(), replace).await
        }
        Env::Unset { environment, names } => {
            let found = resolve::environment(client, &environment).await?;
            change(invocation, &found, BTreeMap::new(), names, false).await
        }
        Env::List { environment } => {
            let found = resolve::environment(client, &environment).await?;
            let values = client.values(found.id).await?;
            shown(invocation, &values)
        }
        Env::Get { environment, name } => {
            let found = resolve::environment(client, &environment).await?;
            let value = client.value(found.id, &name).await?;
            if invocation.output.json {
                invocation.output.document(&value)?;
            } else {
                // As it is: whoever asks for it may pipe it on.
                invocation.output.line(&value.value)?;
            }
            Ok(Ending::Done)
        }
    }
}

/// Lines NAME=VALUE, as `docker run --env-file` and most shells take them.
fn from_file(path: &Path) -> Result<BTreeMap<String, String>, Fault> {
    let text = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin())?
    } else {
        super::services::text(path)?
    };
    lines(&text)
}

fn lines(text: &str) -> Result<BTreeMap<String, String>, Fault> {
    let mut values = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        // Never the line itself: it holds a secret.
        let wrong = |why: &str| Fault::said(format!("line {number}: {why}"));
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| wrong("write NAME=VALUE"))?;
        let name =
            names::value_name(name.trim()).map_err(|why| wrong(&format!("the name {why}")))?;
        values.insert(name, unquoted(value.trim()).map_err(wrong)?);
    }
    Ok(values)
}

/// `"a\nb"` with its escapes, `'a'` as it is, the rest up to a comment.
fn unquoted(value: &str) -> Result<String, &'static str> {
    if let Some(rest) = value.strip_prefix('\'') {
        let (inner, _) = rest.split_once('\'').ok_or("the quote has no end")?;
        return Ok(inner.to_string());
    }
    let Some(rest) = value.strip_prefix('"') else {
        let plain = value.split_once(" #").map_or(value, |(before, _)| before);
        return Ok(plain.trim_end().to_string());
    };
    let mut inner = String::new();
    let mut letters = rest.chars();
    loop {
        match letters.next() {
            None => return Err("the quote has no end"),
            Some('"') => return Ok(inner),
            Some('\\') => match letters.next() {
                Some('n') => inner.push('\n'),
                Some('r') => inner.push('\r'),
                Some('t') => inner.push('\t'),
                Some(other) => inner.push(other),
                None => return Err("the quote has no end"),
            },
            Some(other) => inner.push(other),
        }
    }
}

async fn change(
    invocation: &Invocation,
    found: &EnvironmentView,
    set: BTreeMap<String, String>,
    unset: Vec<String>,
    replace: bool,
) -> Result<Ending, Fault> {
    let client = &invocation.client;
    if invocation.dry_run {
        let names: Vec<_> = set.keys().cloned().collect();
        let of =
            json!({"environment": found.path, "set": names, "unset": unset, "replace": replace});
        let mut words = format!("change values of {}", plain(&found.path));
        if !names.is_empty() {
            words.push_str(&format!(": set {}", names.join(", ")));
        }
        if !unset.is_empty() {
            words.push_str(&format!(": unset {}", plain(&unset.join(", "))));
        }
        if replace {
            words.push_str(", and take all others away");
        }
        return plan::say(invocation, "change_values", of, &words);
    }
    let changed = if replace {
        let question = format!(
            "Take away all values of {} that are not given?",
            plain(&found.path)
        );
        if !invocation.sure(&question).await? {
            return Err(Fault::said("not changed"));
        }
        client
            .values_replace(found.id, &ValuesReplace { set })
            .await?
    } else {
        client
            .values_change(found.id, &ValuesChange { set, unset })
            .await?
    };
    if !invocation.output.json {
        invocation.output.note(format!(
            "the next deploy takes them: triphammer deploy {}",
            plain(&found.path)
        ));
    }
    shown(invocation, &changed)
}

fn shown(invocation: &Invocation, values: &ValuesView) -> Result<Ending, Fault> {
    let output = &invocation.output;
    if output.json {
        output.document(values)?;
        return Ok(Ending::Done);
    }
    if values.values.is_empty() {
        output.note("no values yet");
    }
    let mut table = Table::with(&["NAME", "VALUE", "SET BY VERSION"]);
    for value in &values.values {
        table.row([
            Cell::from(&value.name),
            MASK.into(),
            value.version.to_string().into(),
        ]);
    }
    output.table(&table)?;
    Ok(Ending::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        lines(text).expect("values").into_iter().collect()
    }

    #[test]
    fn an_env_file_is_read_with_its_quotes_and_comments() {
        let text = "# a comment\n\nexport A=1\nB = two words # why\nC=\"a\\nb # no\"\nD='$x'\nE=\n";
        let pairs = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "a\nb # no"),
            ("D", "$x"),
            ("E", ""),
        ];
        let pairs: Vec<_> = pairs.map(|(a, b)| (a.to_string(), b.to_string())).into();
        assert_eq!(read(text), pairs);
    }

    #[test]
    fn a_line_that_is_wrong_is_named_by_its_number_and_not_shown() {
        for text in ["A=1\nsecret-alone", "A=1\n9B=secret", "A=1\nB=\"secret"] {
            let told = lines(text).expect_err("refused").to_string();
            assert!(told.starts_with("line 2: "), "{told}");
            assert!(!told.contains("secret"), "{told}");
        }
    }
}
