//! A site's server block, as text.
//!
//! Promise: made of checked names only, and the same for the same site: attaching a domain and detaching it again gives the old bytes.

use crate::paths::Paths;

/// As much as PHP takes, see the pool.
const UPLOAD: &str = "64m";
/// A slow import or update in the dashboard; the pool ends a request at the same time.
const REQUEST_SECONDS: u32 = 300;

/// What a block is made of.
#[derive(Debug, Clone)]
pub struct Block<'a> {
    /// The site.
    pub site: &'a str,
    /// The line that says whose it is.
    pub mark: &'a str,
    /// All host names, the main one first.
    pub names: Vec<&'a str>,
    /// Does this host speak IPv6?
    pub ipv6: bool,
}

/// The file's content.
pub fn render(paths: &Paths, block: &Block<'_>) -> String {
    let Block { site, mark, .. } = block;
    let names = block.names.join(" ");
    let root = paths.public(site).display().to_string();
    let socket = paths.socket(site).display().to_string();
    let conf = paths.tower_conf(site).display().to_string();
    let ipv6 = if block.ipv6 {
        "    listen [::]:80;\n"
    } else {
        ""
    };
    format!(
        r#"# {mark}
server {{
    listen 80;
{ipv6}    server_name {names};
    root {root};
    index index.php index.html;
    client_max_body_size {UPLOAD};

    # A link in the tree to another site's file is not followed.
    disable_symlinks if_not_owner from=$document_root;

    include {conf}/nginx/*.conf;

    location ~ /\.(?!well-known(?:/|$)) {{
        deny all;
    }}

    # Nothing that was uploaded is ever run.
    location ~* ^/wp-content/uploads/.*\.ph(?:p|ar|tml)[0-9]*(?:/|$) {{
        deny all;
    }}

    location / {{
        try_files $uri $uri/ /index.php?$args;
    }}

    location ~ \.php$ {{
        try_files $uri =404;
        include fastcgi_params;
        fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
        fastcgi_param HTTP_PROXY "";
        fastcgi_read_timeout {REQUEST_SECONDS}s;
        fastcgi_pass unix:{socket};
    }}
}}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::dump;

    #[test]
    fn its_own_names_are_read_back() {
        let block = Block {
            site: "shop",
            mark: "managed by triphammer, deployment d1",
            names: vec!["shop.test", "www.shop.test"],
            ipv6: true,
        };
        let text = render(&Paths::host(), &block);
        assert!(text.starts_with("# managed by triphammer, deployment d1\n"));
        let all = dump::directives(&format!("# configuration file /b:\n{text}"));
        assert_eq!(dump::server_of(&all, "www.shop.test", &[]), Some("/b"));
    }
}
