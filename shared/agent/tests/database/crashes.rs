//! Restores that are cut short: the agent killed, the server killed, at each act and at moments of no choice.
//!
//! Rule held: the live tables are all old or all new at any time, a repeat ends with the new side whole, and the way
//! back with the old side exactly as it was.

use crate::content::{disturb, fill};
use crate::fixture::{DEPLOYMENT, Host, SHOP, assert_same, lease, put};
use agent::database::{Restore, Server};
use agent::fault::{Result, broken};
use agent::paths::Paths;
use std::cell::{Cell, RefCell};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A site in one state, and the dump of another.
struct World {
    host: RefCell<Host>,
    dump: Vec<u8>,
    old: String,
    new: String,
    old_tables: String,
    new_tables: String,
}

impl World {
    fn up() -> Self {
        let host = Host::up();
        fill(&host);
        let (dump, new, new_tables) = (host.dump(SHOP), host.picture(), tables(&host));
        disturb(&host);
        Self {
            dump,
            new,
            new_tables,
            old: host.picture(),
            old_tables: tables(&host),
            host: RefCell::new(host),
        }
    }

    /// A restore in which `blow` strikes before the `n`th act; says whether there was one.
    fn struck<T>(
        &self,
        n: usize,
        blow: &dyn Fn() -> Result<()>,
        call: &dyn Fn(&Restore<'_>) -> Result<T>,
    ) -> (bool, Result<T>) {
        let (server, paths, lease) = {
            let host = self.host.borrow();
            (host.server.clone(), host.paths.clone(), host.lease.clone())
        };
        let at = Cell::new(0);
        let struck = Cell::new(false);
        let before = |_: &'static str| {
            at.set(at.get() + 1);
            if at.get() != n {
                return Ok(());
            }
            struck.set(true);
            blow()
        };
        let restore = Restore::new(&server, &paths, &lease, SHOP)
            .expect("a name")
            .stopping(&before);
        let result = call(&restore);
        (struck.get(), result)
    }

    fn assert_old_or_new(&self, when: &str) {
        let now = tables(&self.host.borrow());
        assert!(
            now == self.old_tables || now == self.new_tables,
            "{when}: {now}"
        );
    }

    fn assert_new_by_repeat(&self, when: &str) {
        let host = self.host.borrow();
        host.put(&self.dump)
            .unwrap_or_else(|error| panic!("{when}: {error:?}"));
        assert_same(&host.picture(), &self.new, when);
    }

    fn assert_old_by_way_back(&self, when: &str) {
        let host = self.host.borrow();
        host.restore()
            .swap_back()
            .unwrap_or_else(|error| panic!("{when}: {error:?}"));
        assert_same(&host.picture(), &self.old, when);
        host.assert_clean();
    }
}

/// The live tables and their rows, without what follows them.
fn tables(host: &Host) -> String {
    let names = host.sql(&format!(
        "SELECT CONCAT('`', REPLACE(table_name, '`', '``'), '`') FROM information_schema.tables WHERE table_schema = '{SHOP}' AND table_type NOT LIKE '%VIEW%' AND table_type <> 'SEQUENCE' ORDER BY table_name;"
    ));
    let checks: String = names
        .lines()
        .map(|name| format!("CHECKSUM TABLE {SHOP}.{name} EXTENDED;"))
        .collect();
    host.sql(&checks)
}

fn stopped() -> Result<()> {
    Err(broken("stopped", "Killed here."))
}

/// Each act, until there is none left.
fn each_act(world: &World, blow: &dyn Fn() -> Result<()>, then: &dyn Fn(&World, &str)) -> usize {
    for n in 1.. {
        let (struck, _) = world.struck(n, blow, &|restore| put(restore, &world.dump));
        if !struck {
            world.assert_old_by_way_back("the end");
            return n - 1;
        }
        let when = format!("struck before act {n}");
        world.assert_old_or_new(&when);
        then(world, &when);
    }
    unreachable!("acts come to an end")
}

#[test]
fn killed_between_any_two_acts_the_site_is_the_old_one_or_the_new_one() {
    let world = World::up();
    let acts = each_act(&world, &stopped, &|world, when| {
        world.assert_new_by_repeat(when);
        world.assert_old_by_way_back(when);
    });
    assert!(acts >= 14, "{acts}");
}

#[test]
fn killed_between_any_two_acts_the_way_back_is_open() {
    let world = World::up();
    each_act(&world, &stopped, &|world, when| {
        world.assert_old_by_way_back(when)
    });
}

#[test]
fn killed_twice_between_any_two_acts_of_the_way_back_it_is_finished_by_a_repeat() {
    let world = World::up();
    for stop in [
        "load",
        "rename",
        "make the new views, triggers, routines and events",
        "none",
    ] {
        for n in 1.. {
            let before = |act: &'static str| if act == stop { stopped() } else { Ok(()) };
            {
                let host = world.host.borrow();
                let _ = put(&host.restore().stopping(&before), &world.dump);
            }
            let (struck, _) = world.struck(n, &stopped, &|restore| restore.swap_back());
            world.assert_old_or_new(&format!("{stop} {n}"));
            world
                .struck(n, &stopped, &|restore| restore.swap_back())
                .1
                .err();
            world.assert_old_or_new(&format!("{stop} {n} again"));
            world.assert_old_by_way_back(&format!("{stop} {n}"));
            if !struck {
                break;
            }
        }
    }
}

#[test]
fn a_server_killed_between_any_two_acts_leaves_the_old_or_the_new_side() {
    let world = World::up();
    // Up again at once: the restore goes on as if nothing had been.
    each_act(
        &world,
        &|| {
            world.host.borrow_mut().crash();
            Ok(())
        },
        &|world, when| {
            world.assert_new_by_repeat(when);
            world.assert_old_by_way_back(when);
        },
    );
}

#[test]
fn a_server_that_dies_in_the_load_leaves_the_site_as_it_was() {
    let world = World::up();
    {
        let host = world.host.borrow();
        host.script(SHOP, "CREATE TABLE big (id INT PRIMARY KEY AUTO_INCREMENT, t TEXT); INSERT INTO big SELECT seq, REPEAT(CONCAT('hush ', seq), 400) FROM seq_1_to_20000;");
    }
    let dump = world.host.borrow().dump(SHOP);
    let before = world.host.borrow().picture();
    for restart in [false, true] {
        let (server, paths, lease) = {
            let host = world.host.borrow();
            (host.server.clone(), host.paths.clone(), host.lease.clone())
        };
        let restore = Restore::new(&server, &paths, &lease, SHOP).expect("a name");
        let killed = Cell::new(false);
        let mut on = |bytes: u64| {
            if bytes > 8_000_000 && !killed.replace(true) {
                let mut host = world.host.borrow_mut();
                host.kill();
                if restart {
                    host.start_again();
                }
            }
            ControlFlow::Continue(())
        };
        let error = restore
            .load(&mut &dump[..], dump.len() as u64, &mut on)
            .expect_err("the server died");
        assert!(killed.get());
        assert_eq!(error.code, "database_unreachable");
        assert!(!format!("{error:?}").contains("hush"));
        if !restart {
            assert_eq!(
                restore.swap_back().expect_err("away").code,
                "database_unreachable"
            );
            world.host.borrow_mut().start_again();
        }
        assert_same(&world.host.borrow().picture(), &before, "");
        assert_eq!(
            restore.swap().expect_err("not loaded").code,
            "restore_not_loaded"
        );
    }
    let host = world.host.borrow();
    host.put(&dump).expect("a repeat");
    host.back();
    assert_same(&host.picture(), &before, "");
    host.assert_clean();
}

#[test]
fn a_server_killed_at_any_moment_of_the_swap_has_one_side_live() {
    let world = World::up();
    for delay in (0..150).step_by(12) {
        let when = format!("killed after {delay} ms");
        let (server, paths, lease) = {
            let host = world.host.borrow();
            (host.server.clone(), host.paths.clone(), host.lease.clone())
        };
        let restore = Restore::new(&server, &paths, &lease, SHOP).expect("a name");
        restore
            .load(&mut &world.dump[..], 10, &mut |_| ControlFlow::Continue(()))
            .expect("loaded");
        std::thread::scope(|scope| {
            let swap = scope.spawn(|| restore_of(&server, &paths).swap().is_ok());
            std::thread::sleep(Duration::from_millis(delay));
            world.host.borrow_mut().kill();
            let _ = swap.join();
        });
        world.host.borrow_mut().start_again();
        world.assert_old_or_new(&when);
        if delay % 24 == 0 {
            world.assert_new_by_repeat(&when);
        }
        world.assert_old_by_way_back(&when);
    }
}

#[test]
fn what_a_server_that_died_knows_nothing_of_does_not_close_the_way_back() {
    let world = World::up();
    let folder = |host: &Host| {
        let names = host.sql("SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE '%\\_\\_new\\_%';");
        host.data().join(names.trim())
    };
    let load = |host: &Host| {
        let mut ignored = |_| ControlFlow::Continue(());
        let loaded = host.restore().load(&mut &world.dump[..], 10, &mut ignored);
        loaded.expect("loaded");
        // As a server leaves it that is killed while it drops a trigger.
        fs::write(folder(host).join("left.TRN"), "TYPE=TRIGGERNAME\n").expect("written");
    };
    {
        let host = world.host.borrow();
        load(&host);
    }
    world.assert_old_by_way_back("a trigger's name is left");
}

fn restore_of<'a>(server: &'a Server, paths: &'a Paths) -> Restore<'a> {
    let lease = Box::leak(Box::new(lease(DEPLOYMENT)));
    Restore::new(server, paths, lease, SHOP).expect("a name")
}

/// Not a test: the process that the next one kills.
#[test]
#[ignore = "started by another test"]
fn child() {
    let Some(root) = std::env::var_os("RESTORE_ROOT") else {
        return;
    };
    let root = Path::new(&root);
    let server = Server::at(&root.join("run/sock"));
    let dump = fs::read(root.join("dump")).expect("the dump");
    let _ = put(
        &restore_of(&server, &Paths::under(&root.join("agent"))),
        &dump,
    );
}

#[test]
fn an_agent_killed_at_any_moment_leaves_what_a_repeat_or_the_way_back_mends() {
    let world = World::up();
    let root = world
        .host
        .borrow()
        .socket()
        .ancestors()
        .nth(2)
        .expect("a root")
        .to_path_buf();
    fs::write(root.join("dump"), &world.dump).expect("written");
    for delay in (0..1500).step_by(95) {
        let when = format!("killed after {delay} ms");
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "crashes::child", "--ignored", "--quiet"])
            .env("RESTORE_ROOT", &root)
            .stdout(Stdio::null())
            .spawn()
            .expect("started");
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().expect("killed");
        child.wait().expect("gone");
        // The server goes on with the statement that it has; queries of a site wait for its end, a list of names does not.
        while world.host.borrow().is_renaming() {
            std::thread::sleep(Duration::from_millis(5));
        }
        world.assert_old_or_new(&when);
        if delay % 2 == 0 {
            world.assert_new_by_repeat(&when);
        }
        world.assert_old_by_way_back(&when);
    }
}
