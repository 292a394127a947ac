//! Dumps as they are made.
//!
//! Rule held: a dump is whole or an error, and an error holds nothing of a row.

use crate::content::fill;
use crate::fixture::{Host, SHOP};
use agent::database::{dump, estimate};
use std::cell::RefCell;
use std::io::{self, Write};
use std::ops::ControlFlow;

fn grown(host: &Host) {
    host.script(SHOP, "CREATE TABLE big (id INT PRIMARY KEY AUTO_INCREMENT, t TEXT); INSERT INTO big (t) SELECT REPEAT(CONCAT('hush ', seq), 400) FROM seq_1_to_20000;");
}

#[test]
fn a_dump_says_what_it_is_and_which_tables_are_of_another_moment() {
    let host = Host::up();
    fill(&host);
    let mut out = Vec::new();
    let mut last = 0;
    let seen = dump(&host.server, SHOP, &mut out, &mut |bytes| {
        assert!(bytes >= last);
        last = bytes;
        ControlFlow::Continue(())
    })
    .expect("dumped");
    let text = zstd::decode_all(&out[..]).expect("unpacked");
    assert_eq!(
        (seen.dump_bytes, last),
        (text.len() as u64, text.len() as u64)
    );
    assert!(text.trim_ascii_end().ends_with(b"-- Dump completed"));
    assert_eq!(seen.tables, 18);
    assert!(seen.client.starts_with("mariadb-dump 1") && seen.server.starts_with("MariaDB 1"));
    assert_eq!(
        seen.notes,
        ["not InnoDB, so their rows may be of a slightly later moment than the rest: mine, ours"]
    );
    assert_eq!(
        dump(&host.server, SHOP, &mut io::sink(), &mut |_| {
            ControlFlow::Continue(())
        })
        .expect("again"),
        seen
    );
}

#[test]
fn a_dump_is_of_one_moment() {
    let host = Host::up();
    host.script(SHOP, "CREATE TABLE a (n INT); CREATE TABLE z (n INT); INSERT INTO a VALUES (0); INSERT INTO z VALUES (0);");
    grown(&host);
    let mut out = Vec::new();
    let mut n = 0;
    dump(&host.server, SHOP, &mut out, &mut |_| {
        n += 1;
        host.sql(&format!(
            "BEGIN; UPDATE {SHOP}.a SET n = {n}; UPDATE {SHOP}.z SET n = {n}; COMMIT;"
        ));
        ControlFlow::Continue(())
    })
    .expect("dumped");
    assert!(n > 10);
    host.put(&out).expect("restored");
    let both = host.sql(&format!("SELECT n FROM {SHOP}.a; SELECT n FROM {SHOP}.z;"));
    let (a, z) = both.trim().split_once('\n').expect("two");
    assert_eq!(a, z);
}

#[test]
fn a_database_that_is_not_there_is_refused() {
    let host = Host::up();
    let error = dump(&host.server, "nothing", &mut io::sink(), &mut |_| {
        ControlFlow::Continue(())
    })
    .expect_err("none");
    assert_eq!(error.code, "database_missing");
    let error = dump(&host.server, "a;b", &mut io::sink(), &mut |_| {
        ControlFlow::Continue(())
    })
    .expect_err("no name");
    assert_eq!(error.code, "bad_request");
}

#[test]
fn a_server_that_dies_in_the_dump_is_an_error_without_rows() {
    let host = RefCell::new(Host::up());
    grown(&host.borrow());
    let server = host.borrow().server.clone();
    let mut killed = false;
    let error = dump(&server, SHOP, &mut io::sink(), &mut |bytes| {
        if bytes > 1_000_000 && !killed {
            killed = true;
            host.borrow_mut().kill();
        }
        ControlFlow::Continue(())
    })
    .expect_err("the server died");
    assert_eq!(error.code, "database_unreachable");
    assert!(!format!("{error:?}").contains("hush"));
}

#[test]
fn a_cancel_ends_the_client() {
    let host = Host::up();
    grown(&host);
    let error = dump(&host.server, SHOP, &mut io::sink(), &mut |bytes| {
        if bytes > 1_000_000 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .expect_err("cancelled");
    assert_eq!(error.code, "cancelled");
    while host.sql(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT /*!40001%';",
    ) != "0\n"
    {
        std::thread::yield_now();
    }
}

#[test]
fn a_cancel_is_heard_while_the_server_hangs() {
    let host = Host::up();
    grown(&host);
    let mut stopped = false;
    let signal = |name: &str| {
        let sent = std::process::Command::new("kill")
            .arg(name)
            .arg(host.pid().to_string())
            .status();
        assert!(sent.expect("kill").success());
    };
    let mut silent = 0;
    let mut before = 0;
    let error = dump(&host.server, SHOP, &mut io::sink(), &mut |bytes| {
        if bytes > 1_000_000 && !stopped {
            stopped = true;
            signal("-STOP");
        }
        silent = if bytes == before { silent + 1 } else { 0 };
        before = bytes;
        if silent > 2 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .expect_err("cancelled");
    signal("-CONT");
    assert_eq!(error.code, "cancelled");
}

struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::from_raw_os_error(28))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_said_to_be_one() {
    let host = Host::up();
    grown(&host);
    let error = dump(&host.server, SHOP, &mut Full, &mut |_| {
        ControlFlow::Continue(())
    })
    .expect_err("no room");
    assert_eq!(error.code, "disk_full");
}

#[test]
fn a_view_that_reads_nothing_is_named_as_the_cause() {
    let host = Host::up();
    host.script(
        SHOP,
        "CREATE TABLE hush (a INT); CREATE VIEW v AS SELECT a FROM hush; DROP TABLE hush;",
    );
    let error = dump(&host.server, SHOP, &mut io::sink(), &mut |_| {
        ControlFlow::Continue(())
    })
    .expect_err("a broken view");
    assert_eq!(error.code, "view_broken");
    assert!(!format!("{error:?}").contains("hush"));
}

#[test]
fn the_size_is_guessed_beforehand() {
    let host = Host::up();
    assert_eq!(estimate(&host.server, SHOP).expect("none"), 0);
    grown(&host);
    host.sql(&format!("ANALYZE TABLE {SHOP}.big;"));
    let guess = estimate(&host.server, SHOP).expect("some");
    let bytes = host.dump_text(SHOP).len() as u64;
    assert!(guess > bytes / 2 && guess < bytes * 2, "{guess} {bytes}");
}
