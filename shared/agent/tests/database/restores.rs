//! Going forth and back, again and again, with others in the way.
//!
//! Rule held: a repeat finds its work done, the way back names what it drops, and another deployment's things stay.

use crate::content::fill;
use crate::fixture::{Host, SHOP, assert_same, lease, packed, put};
use agent::database::Restore;
use std::ops::ControlFlow;

fn small(host: &Host) -> Vec<u8> {
    host.script(SHOP, "CREATE TABLE posts (id INT PRIMARY KEY AUTO_INCREMENT, t TEXT); INSERT INTO posts (t) VALUES ('a'), ('b'); CREATE TABLE options (a INT); INSERT INTO options VALUES (1); CREATE TABLE same (a INT);");
    let dump = host.dump(SHOP);
    host.script(SHOP, "DELETE FROM posts; INSERT INTO options VALUES (2);");
    dump
}

#[test]
fn rows_written_since_the_swap_are_counted_and_named() {
    let host = Host::up();
    let dump = small(&host);
    let before = host.picture();
    host.put(&dump).expect("restored");
    // UPDATE_TIME has whole seconds.
    host.sql("DO SLEEP(1.1);");
    host.script(SHOP, "INSERT INTO posts (t) VALUES ('c'), ('d'), ('e'); UPDATE options SET a = 7; CREATE TABLE orders (a INT); INSERT INTO orders VALUES (1);");
    let changed = host.back();
    assert_eq!(
        changed.notes,
        [
            "the tables of database shop_ab are those from before the restore",
            "options: changed since the restore, with as many rows",
            "orders: a table made since the restore, with 1 rows, was dropped",
            "posts: 3 rows written since the restore were dropped",
        ]
    );
    assert_same(&host.picture(), &before, "");
    host.assert_clean();
    assert!(!host.back().changed);
}

#[test]
fn a_repeat_finds_the_swap_done_and_reads_no_dump() {
    let host = Host::up();
    let dump = small(&host);
    let first = host.put(&dump).expect("restored");
    host.script(SHOP, "INSERT INTO posts (t) VALUES ('new');");
    assert_eq!(host.put(b"no dump").expect("a repeat"), first);
    assert_eq!(
        host.sql(&format!("SELECT COUNT(*) FROM {SHOP}.posts;")),
        "3\n"
    );
}

#[test]
fn cleaned_up_the_new_side_stays_and_nothing_lies_beside() {
    let host = Host::up();
    let dump = small(&host);
    host.put(&dump).expect("restored");
    let restored = host.picture();
    assert!(host.restore().clean_up().expect("cleaned up").changed);
    assert!(!host.restore().clean_up().expect("a repeat").changed);
    assert_same(&host.picture(), &restored, "");
    host.assert_clean();
    // Nothing is left to swap back to, and that is no failure.
    assert!(!host.back().changed);
    assert_same(&host.picture(), &restored, "");
}

#[test]
fn another_deployments_restore_is_left_alone_and_a_later_one_takes_over() {
    let host = Host::up();
    let dump = small(&host);
    host.put(&dump).expect("restored");
    let restored = host.picture();
    let other = lease("01J0000000000000000000000B");
    let theirs = Restore::new(&host.server, &host.paths, &other, SHOP).expect("a name");
    assert!(!theirs.swap_back().expect("not theirs").changed);
    assert!(!theirs.clean_up().expect("not theirs").changed);
    assert_same(&host.picture(), &restored, "");
    let notes = put(
        &theirs,
        &packed("CREATE TABLE x (a INT);\n-- Dump completed\n"),
    )
    .expect("restored")
    .notes;
    assert_eq!(
        notes,
        ["removed what an earlier restore had left beside database shop_ab"]
    );
    assert!(!host.back().changed);
    theirs.swap_back().expect("back");
    assert_same(&host.picture(), &restored, "");
    host.assert_clean();
}

#[test]
fn a_restore_that_stands_half_way_is_not_taken_over() {
    let host = Host::up();
    let dump = small(&host);
    let stop = |act: &str| {
        if act == "rename" {
            Err(agent::fault::broken("stopped", ""))
        } else {
            Ok(())
        }
    };
    put(&host.restore().stopping(&stop), &dump).expect_err("stopped");
    let other = lease("01J0000000000000000000000B");
    let theirs = Restore::new(&host.server, &host.paths, &other, SHOP).expect("a name");
    assert_eq!(
        put(&theirs, &dump).expect_err("half-way").code,
        "restore_unfinished"
    );
    assert_eq!(
        host.restore().clean_up().expect_err("half-way").code,
        "restore_unfinished"
    );
    host.back();
    host.assert_clean();
}

#[test]
fn undone_it_does_not_go_forward_again() {
    let host = Host::up();
    let dump = small(&host);
    host.put(&dump).expect("restored");
    let stop = |act: &str| {
        if act == "rename back" {
            Err(agent::fault::broken("stopped", ""))
        } else {
            Ok(())
        }
    };
    host.restore()
        .stopping(&stop)
        .swap_back()
        .expect_err("stopped");
    assert_eq!(host.put(&dump).expect_err("undone").code, "restore_undone");
    host.back();
    host.assert_clean();
}

#[test]
fn a_dump_with_no_room_is_refused_with_numbers() {
    let host = Host::up();
    let dump = small(&host);
    let error = host
        .restore()
        .load(&mut &dump[..], 1 << 50, &mut |_| ControlFlow::Continue(()))
        .expect_err("no room");
    assert_eq!(error.code, "disk_full");
    assert!(
        error
            .message
            .contains(&((1u64 << 50) / 2 * 3 + 128 * 1024 * 1024).to_string()),
        "{error:?}"
    );
    host.back();
    host.assert_clean();
}

#[test]
fn a_foreign_key_of_another_database_stops_it_before_it_begins() {
    let host = Host::up();
    fill(&host);
    let dump = host.dump(SHOP);
    host.sql(&format!(
        "CREATE TABLE neighbour.c (a INT, FOREIGN KEY (a) REFERENCES {SHOP}.parents (id));"
    ));
    assert_eq!(
        host.put(&dump).expect_err("refused").code,
        "foreign_key_from_outside"
    );
}

#[test]
fn a_cancelled_load_ends_at_once_and_leaves_the_site_alone() {
    let host = Host::up();
    let dump = small(&host);
    let before = host.picture();
    let error = host
        .restore()
        .load(&mut &dump[..], 10, &mut |_| ControlFlow::Break(()))
        .expect_err("cancelled");
    assert_eq!(error.code, "cancelled");
    assert_same(&host.picture(), &before, "");
    host.back();
    host.assert_clean();
}

#[test]
fn a_query_that_runs_long_stops_the_swap_and_not_the_site() {
    let host = Host::up();
    let dump = small(&host);
    let before = host.picture();
    let restore = host.restore();
    restore
        .load(&mut &dump[..], 10, &mut |_| ControlFlow::Continue(()))
        .expect("loaded");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            host.client(
                SHOP,
                &[],
                "BEGIN; SELECT COUNT(*) FROM posts; DO SLEEP(60);",
            )
        });
        while host.sql("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'DO SLEEP%' OR state = 'User sleep';") == "0\n" {
            std::thread::yield_now();
        }
        assert_eq!(restore.swap().expect_err("in use").code, "database_busy");
        let id =
            host.sql("SELECT id FROM information_schema.processlist WHERE state = 'User sleep';");
        host.sql(&format!("KILL {};", id.trim()));
    });
    host.back();
    assert_same(&host.picture(), &before, "");
    host.assert_clean();
}
