//! The proxy as systemd keeps it, on a server.

use crate::client::{Asked, ask_once};
use crate::proofs::{self, way};
use crate::upstream::{Done, Upstream};
use agent::paths::Paths;
use agent::proxy;
use agent::run::{self, As};
use protocol::release::Tls;
use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

const UNIT: &str = "/etc/systemd/system/triphammer-proxy.service";
const SOCKET: &str = "/run/triphammer-proxy/admin.sock";
/// systemd starts what was killed after a second.
const BACK_WITHIN: Duration = Duration::from_secs(20);

pub fn proofs() {
    let paths = Paths::host();
    in_the_way(&paths);
    println!("what is in its way is named, and left alone ... ok");
    set_up(&paths);
    println!("it is set up once ... ok");
    guarded();
    println!("only root and itself reach its admin address ... ok");
    proofs::all(&paths);
    killed(&paths);
    println!("what was killed comes back with the routes that are kept ... ok");
    certified(&paths);
    println!("a certificate comes from an authority, and outlives a restart ... ok");
    removed(&paths);
    println!("its removal leaves nothing ... ok");
}

fn said(words: &[&str]) -> String {
    let program = run::find(words[0]).expect("every server has it");
    let seen = run::run(run::command(&program, As::Root).args(&words[1..]), b"").expect("run");
    seen.output.trim().to_string()
}

/// Debian's package starts a service of its own, which listens on port 80.
fn in_the_way(paths: &Paths) {
    said(&["systemctl", "start", "caddy"]);
    let lacks = proxy::missing(paths);
    let line = "caddy.service holds port 80, which the proxy needs: systemctl disable --now caddy";
    assert_eq!(lacks, [line]);
    let error = proxy::set_up(paths).expect_err("no port");
    assert_eq!(error.code, "port_taken");
    assert!(error.message.contains(line), "{}", error.message);
    assert_eq!(said(&["systemctl", "is-active", "caddy"]), "active");
    assert!(!Path::new(UNIT).exists());
    said(&["systemctl", "disable", "--now", "caddy"]);
    assert_eq!(proxy::missing(paths), Vec::<String>::new());
}

fn set_up(paths: &Paths) {
    assert!(proxy::set_up(paths).expect("set up"));
    let pid = said(&[
        "systemctl",
        "show",
        "--value",
        "--property=MainPID",
        proxy::UNIT,
    ]);
    assert!(!proxy::set_up(paths).expect("again"));
    assert_eq!(
        said(&[
            "systemctl",
            "show",
            "--value",
            "--property=MainPID",
            proxy::UNIT
        ]),
        pid
    );
    assert_eq!(said(&["systemctl", "is-enabled", proxy::UNIT]), "enabled");
    assert_eq!(proxy::missing(paths), Vec::<String>::new());
    assert_eq!(
        fs::read_to_string("/proc/sys/net/ipv4/tcp_migrate_req")
            .expect("read")
            .trim(),
        "1"
    );
    let status = ask_once(&Asked::get("nobody.test", "/"))
        .expect("answered")
        .status;
    assert_eq!(status, 404);
    let user = said(&["ps", "-o", "user=", "-p", &pid]);
    assert_ne!(user, "root");
}

fn guarded() {
    let setpriv = [
        "setpriv",
        "--reuid=1000",
        "--regid=1000",
        "--clear-groups",
        "curl",
        "-s",
        "-o",
        "/dev/null",
    ];
    let by_socket = [
        &setpriv[..],
        &[
            "-w",
            "%{http_code}",
            "--unix-socket",
            SOCKET,
            "-H",
            "Host: triphammer",
            "http://triphammer/config/",
        ],
    ]
    .concat();
    assert_eq!(said(&by_socket), "000");
    assert_eq!(said(&by_socket[4..]), "200");
    assert_eq!(said(&["ss", "-Hltn", "sport = :2019"]), "");
    assert_eq!(
        said(&[
            "curl",
            "-s",
            "-w",
            "%{http_code}",
            "-o",
            "/dev/null",
            "--unix-socket",
            SOCKET,
            "http://evil.test/config/"
        ]),
        "403"
    );
}

fn killed(paths: &Paths) {
    let done = Done::default();
    let web = Upstream::start("web", &done);
    let ways = [way("shop.test", None, Tls::Off, &[&web])];
    proxy::set(paths, "shop", &ways).expect("set");
    said(&["systemctl", "kill", "--signal=KILL", proxy::UNIT]);
    // A change starts it, or finds it started.
    let blog = [way("blog.test", None, Tls::Off, &[&web])];
    proxy::set(paths, "blog", &blog).expect("set");
    said(&["systemctl", "kill", "--signal=KILL", proxy::UNIT]);
    for host in ["shop.test", "blog.test"] {
        answers(host);
    }
    assert!(!proxy::set(paths, "shop", &ways).expect("unchanged"));
    said(&["systemctl", "stop", proxy::UNIT]);
    assert_eq!(proxy::missing(paths).len(), 1);
    assert_eq!(
        proxy::seen(paths, "shop").expect_err("down").code,
        "proxy_down"
    );
    assert!(proxy::set(paths, "blog", &[]).expect("taken away"));
    answers("shop.test");
    proxy::set(paths, "shop", &[]).expect("taken away");
}

fn answers(host: &str) {
    let until = Instant::now() + BACK_WITHIN;
    while ask_once(&Asked::get(host, "/")).map(|answer| answer.status) != Ok(200) {
        assert!(Instant::now() < until, "{host} is not back");
        sleep(Duration::from_millis(50));
    }
}

struct Authority(Child);

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Another Caddy is the authority; it asks for the proof at port 80 of the name, as Let's Encrypt does.
fn authority() -> Authority {
    let configuration = r#"{
        "admin": { "disabled": true },
        "apps": {
            "pki": { "certificate_authorities": { "local": { "install_trust": false } } },
            "http": { "servers": { "ca": {
                "listen": ["127.0.0.1:9443"],
                "automatic_https": { "disable": true },
                "tls_connection_policies": [{}],
                "routes": [{ "match": [{ "host": ["ca.test"] }], "handle": [{ "handler": "acme_server" }] }]
            } } },
            "tls": {
                "certificates": { "automate": ["ca.test"] },
                "automation": { "policies": [{ "subjects": ["ca.test"], "issuers": [{ "module": "internal" }] }] }
            }
        }
    }"#;
    fs::create_dir_all("/root/ca").expect("made");
    fs::write("/root/ca/caddy.json", configuration).expect("written");
    let hosts = fs::read_to_string("/etc/hosts").expect("read");
    fs::write("/etc/hosts", hosts + "127.0.0.1 ca.test acme.test\n").expect("written");
    let child = Command::new("caddy")
        .args(["run", "--config", "/root/ca/caddy.json"])
        .env("XDG_DATA_HOME", "/root/ca")
        .stderr(std::process::Stdio::null())
        .spawn();
    Authority(child.expect("started"))
}

fn certified(paths: &Paths) {
    let _authority = authority();
    let root = "/root/ca/caddy/pki/authorities/local/root.crt";
    let until = Instant::now() + BACK_WITHIN;
    while !Path::new(root).exists() {
        assert!(Instant::now() < until, "no authority");
        sleep(Duration::from_millis(50));
    }
    let readable = "/etc/ssl/ca-test.crt";
    let certificate = fs::read(root).expect("read");
    fs::write(readable, certificate).expect("written");
    let settings = format!(
        r#"{{"ca":"https://ca.test:9443/acme/local/directory","trusted_roots_pem_files":["{readable}"]}}"#
    );
    fs::write(paths.proxy().join(proxy::CERTIFICATE_AUTHORITY), settings).expect("written");
    let done = Done::default();
    let web = Upstream::start("web", &done);
    let ways = [way("acme.test", None, Tls::Acme, &[&web])];
    proxy::set(paths, "shop", &ways).expect("set");
    let get = [
        "curl",
        "-s",
        "--cacert",
        readable,
        "-w",
        " %{http_version} %{http_code}",
        "https://acme.test/",
    ];
    let until = Instant::now() + Duration::from_secs(60);
    while !said(&get).ends_with(" 2 200") {
        assert!(
            Instant::now() < until,
            "no certificate: {}",
            said(&["journalctl", "-n20", "-u", proxy::UNIT])
        );
        sleep(Duration::from_millis(200));
    }
    drop(_authority);
    said(&["systemctl", "restart", proxy::UNIT]);
    answers_over(&get);
}

fn answers_over(get: &[&str]) {
    let until = Instant::now() + BACK_WITHIN;
    while !said(get).ends_with(" 2 200") {
        assert!(Instant::now() < until, "the certificate is lost");
        sleep(Duration::from_millis(100));
    }
}

fn removed(paths: &Paths) {
    assert!(proxy::remove(paths).expect("removed"));
    assert!(!proxy::remove(paths).expect("removed again"));
    for path in [
        UNIT,
        "/etc/systemd/system/multi-user.target.wants/triphammer-proxy.service",
        "/etc/sysctl.d/60-triphammer-proxy.conf",
        "/var/lib/triphammer-proxy",
        "/var/lib/private/triphammer-proxy",
        "/var/lib/triphammer/proxy",
        "/run/triphammer-proxy",
    ] {
        assert!(fs::symlink_metadata(path).is_err(), "{path}");
    }
    assert_eq!(said(&["ss", "-Hltn", "sport = :80 or sport = :443"]), "");
    assert_eq!(proxy::missing(paths), Vec::<String>::new());
    said(&["systemctl", "stop", "docker.socket", "docker"]);
    assert_eq!(
        proxy::missing(paths),
        ["the container engine does not answer: systemctl status docker"]
    );
}
