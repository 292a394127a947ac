//! What `nginx -T` prints: the whole configuration, file by file.
//!
//! Promise: comments, quotes and line breaks are read as nginx reads them, so no served name is missed.

/// The header before each file.
const HEADER: &str = "# configuration file ";

/// One directive with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// The file it stands in.
    pub file: String,
    /// Its name, then its arguments, without quotes.
    pub words: Vec<String>,
}

/// All directives of the dump, in order.
pub fn directives(dump: &str) -> Vec<Directive> {
    let mut all = Vec::new();
    for part in files(dump) {
        for words in statements(part.1) {
            all.push(Directive {
                file: part.0.to_string(),
                words,
            });
        }
    }
    all
}

/// Who serves `host`, as a server name of its own? `own` are the files that may.
pub fn server_of<'d>(directives: &'d [Directive], host: &str, own: &[String]) -> Option<&'d str> {
    directives
        .iter()
        .filter(|directive| {
            directive
                .words
                .first()
                .is_some_and(|word| word == "server_name")
                && !own.contains(&directive.file)
        })
        .find(|directive| {
            // A leading dot means the name itself and all below it.
            directive.words[1..]
                .iter()
                .any(|name| name.trim_start_matches('.').eq_ignore_ascii_case(host))
        })
        .map(|directive| directive.file.as_str())
}

/// The user nginx's workers run as.
pub fn worker_user(directives: &[Directive]) -> String {
    let user = directives
        .iter()
        .find(|directive| directive.words.first().is_some_and(|word| word == "user"));
    user.and_then(|directive| directive.words.get(1))
        .map_or("www-data", String::as_str)
        .to_string()
}

fn files(dump: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = dump;
    while let Some(start) = header(rest) {
        let line_end = rest[start..]
            .find('\n')
            .map_or(rest.len(), |end| start + end + 1);
        let name = rest[start + HEADER.len()..line_end]
            .trim_end()
            .trim_end_matches(':');
        rest = &rest[line_end..];
        let end = header(rest).unwrap_or(rest.len());
        found.push((name, &rest[..end]));
        rest = &rest[end..];
    }
    found
}

/// Where the next header line begins.
fn header(text: &str) -> Option<usize> {
    if text.starts_with(HEADER) {
        return Some(0);
    }
    text.find(&format!("\n{HEADER}")).map(|at| at + 1)
}

fn statements(text: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut letters = text.chars().peekable();
    let take = |word: &mut String, words: &mut Vec<String>| {
        if !word.is_empty() {
            words.push(std::mem::take(word));
        }
    };
    while let Some(letter) = letters.next() {
        match letter {
            // Quotes count only where a word begins.
            '"' | '\'' if word.is_empty() => {
                let mut quoted = String::new();
                while let Some(inner) = letters.next() {
                    match inner {
                        '\\' => quoted.extend(letters.next()),
                        _ if inner == letter => break,
                        _ => quoted.push(inner),
                    }
                }
                words.push(quoted);
            }
            '#' if word.is_empty() => while letters.next_if(|next| *next != '\n').is_some() {},
            '\\' => word.extend(letters.next()),
            // `${name}` is one word with its braces.
            '{' if word.ends_with('$') => {
                word.push(letter);
                for inner in letters.by_ref() {
                    word.push(inner);
                    if inner == '}' {
                        break;
                    }
                }
            }
            ';' | '{' | '}' => {
                take(&mut word, &mut words);
                if !words.is_empty() {
                    all.push(std::mem::take(&mut words));
                }
            }
            _ if letter.is_whitespace() => take(&mut word, &mut words),
            _ => word.push(letter),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = r#"nginx: the configuration file /etc/nginx/nginx.conf syntax is ok
# configuration file /etc/nginx/nginx.conf:
user www-data adm;
# server_name commented.test;
http { log_format main '$remote_addr "$request" # server_name quoted.test;';
  include /etc/nginx/sites-enabled/*; }

# configuration file /etc/nginx/sites-enabled/a.conf:
server {
  listen 80; server_name
     shop.test "Www.Shop.Test" # not.this.test
     .wild.test;
  set $x ${host}; location ~ \.php$ { }
}

# configuration file /etc/nginx/sites-enabled/b.conf:
server{server_name b.test;}
"#;

    #[test]
    fn every_served_name_is_found_with_its_file() {
        let all = directives(DUMP);
        let at = |host| server_of(&all, host, &[]);
        assert_eq!(at("shop.test"), Some("/etc/nginx/sites-enabled/a.conf"));
        assert_eq!(at("www.shop.test"), Some("/etc/nginx/sites-enabled/a.conf"));
        assert_eq!(at("wild.test"), Some("/etc/nginx/sites-enabled/a.conf"));
        assert_eq!(at("b.test"), Some("/etc/nginx/sites-enabled/b.conf"));
    }

    #[test]
    fn comments_and_quoted_text_serve_nothing() {
        let all = directives(DUMP);
        for host in [
            "commented.test",
            "quoted.test",
            "not.this.test",
            "op.test",
            "test",
        ] {
            assert_eq!(server_of(&all, host, &[]), None, "{host}");
        }
    }

    #[test]
    fn a_site_may_keep_its_own_name() {
        assert_eq!(
            server_of(
                &directives(DUMP),
                "b.test",
                &["/etc/nginx/sites-enabled/b.conf".into()]
            ),
            None
        );
    }

    #[test]
    fn the_workers_user_is_read_not_assumed() {
        assert_eq!(worker_user(&directives(DUMP)), "www-data");
        assert_eq!(
            worker_user(&directives("# configuration file /a:\nuser nginx;\n")),
            "nginx"
        );
        assert_eq!(worker_user(&[]), "www-data");
    }
}
