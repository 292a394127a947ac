//! Sources on the hub: folders with a Dockerfile, repositories that need a key, images that need a login.

use crate::Stack;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The registry that wants a login.
pub const PRIVATE_REGISTRY: &str = "private.registry.test:5001";
/// Who may use it.
pub const REGISTRY_USER: &str = "deployer";
/// With this.
pub const REGISTRY_PASSWORD: &str = "s3cret-registry";
/// Opens the hub's private repositories over HTTP.
pub const GIT_TOKEN: &str = "s3cret-token";

/// Where the sample application's binary is.
pub fn sample_app() -> PathBuf {
    let path = std::env::var_os("TRIPHAMMER_SAMPLE_APP");
    let path = path.expect(
        "TRIPHAMMER_SAMPLE_APP is not set: run these tests by `cargo xtask test --end-to-end`",
    );
    path.into()
}

/// A folder with the sample application of this version, and a Dockerfile for it with more lines.
pub fn folder(version: &str, more: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::copy(sample_app(), at("app")).expect("copied");
    let file = format!(
        "FROM scratch\nCOPY app /app\n{more}ENV VERSION={version} PORT=8080\nCMD [\"/app\"]\n"
    );
    std::fs::write(at("Dockerfile"), file).expect("written");
    folder
}

/// A pair of keys in this folder: the private half, and the public one beside it.
pub fn key(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
        .arg(&path)
        .status();
    assert!(made.expect("ssh-keygen").success());
    path
}

/// The hub's repositories over TLS too, with a certificate of its own, which is printed.
const SERVE_TLS: &str = "cd /etc/nginx
test -e git.crt || {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=git.test -addext subjectAltName=DNS:git.test -keyout git.key -out git.crt 2> /dev/null
  sed -i 's,listen 80 default_server;,& listen 443 ssl; ssl_certificate /etc/nginx/git.crt; ssl_certificate_key /etc/nginx/git.key;,' sites-enabled/git
  systemctl reload nginx
}
cat git.crt";

impl Stack {
    /// Serve the hub's repositories as `https://git.test/`, with a certificate that its Docker hosts trust: tokens are sent
    /// no other way.
    pub fn git_over_https(&self) {
        let certificate = self.hub(SERVE_TLS);
        let trust = "cd /usr/local/share/ca-certificates; echo \"$1\" > git.crt; update-ca-certificates > /dev/null 2>&1";
        for host in self.docker_hosts() {
            let words = ["sh", "-ec", trust, "sh", &certificate];
            let trusted = self.lab.exec(&host.name, &words);
            trusted.expect("a certificate");
        }
    }

    /// Let a key open the hub's repositories over SSH.
    pub fn trust_key(&self, key: &Path) {
        let public = std::fs::read_to_string(key.with_extension("pub")).expect("a public half");
        let keys = "/srv/git/.ssh/authorized_keys";
        self.hub(&format!("echo '{}' >> {keys}", public.trim()));
    }

    /// Run a script on the hub.
    pub fn hub(&self, script: &str) -> String {
        let said = self.lab.exec("hub", &["sh", "-euc", script]);
        said.unwrap_or_else(|error| panic!("{script}: {error:#}"))
    }
}
