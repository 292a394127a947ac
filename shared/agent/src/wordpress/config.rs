//! A new site's wp-config.php.
//!
//! Promise: any value is quoted so that PHP reads it back as it was; salts are fresh; the address is left to the options.

use crate::secret;

/// WordPress's own eight.
const SALTS: [&str; 8] = [
    "AUTH_KEY",
    "SECURE_AUTH_KEY",
    "LOGGED_IN_KEY",
    "NONCE_KEY",
    "AUTH_SALT",
    "SECURE_AUTH_SALT",
    "LOGGED_IN_SALT",
    "NONCE_SALT",
];
/// As long as WordPress's own generator makes them.
const SALT_LETTERS: usize = 64;

/// The file's content.
pub fn render(mark: &str, database: &str, password: &str) -> String {
    let mut text = format!("<?php\n// {mark}\n\n");
    let values = [
        ("DB_NAME", database),
        ("DB_USER", database),
        ("DB_PASSWORD", password),
        ("DB_HOST", "localhost"),
        ("DB_CHARSET", "utf8mb4"),
        ("DB_COLLATE", ""),
    ];
    for (name, value) in values {
        text.push_str(&define(name, &quoted(value)));
    }
    text.push('\n');
    for name in SALTS {
        text.push_str(&define(name, &quoted(&secret::letters(SALT_LETTERS))));
    }
    text.push_str("\n$table_prefix = 'wp_';\n\n");
    text.push_str("// cron calls wp-cron.php, so that no visitor waits for it.\n");
    text.push_str(&define("DISABLE_WP_CRON", "true"));
    text.push_str("\nif ( ! defined( 'ABSPATH' ) ) {\n\tdefine( 'ABSPATH', __DIR__ . '/' );\n}\nrequire_once ABSPATH . 'wp-settings.php';\n");
    text
}

fn define(name: &str, value: &str) -> String {
    format!("define( '{name}', {value} );\n")
}

/// A PHP string in single quotes: only the quote and the backslash mean anything in it.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_stay_inside_the_string() {
        assert_eq!(quoted(r"a'b\c"), r"'a\'b\\c'");
        assert_eq!(
            quoted(r"\'); system('id'); //"),
            r"'\\\'); system(\'id\'); //'"
        );
        assert_eq!(quoted("$x {$y}"), "'$x {$y}'");
    }

    #[test]
    fn the_address_is_no_constant_and_salts_differ() {
        let text = render("managed by triphammer, deployment d1", "shop", "p");
        assert!(text.starts_with("<?php\n// managed by triphammer, deployment d1\n"));
        assert!(!text.contains("WP_HOME") && !text.contains("WP_SITEURL"));
        assert!(text.contains("define( 'DISABLE_WP_CRON', true );"));
        let salts: std::collections::BTreeSet<&str> = text
            .lines()
            .filter(|line| line.contains("_SALT'") || line.contains("_KEY'"))
            .collect();
        assert_eq!(salts.len(), SALTS.len());
    }
}
