//! The proofs, in the order in which an environment lives.

use crate::host::{Host, ask, connect, get};
use crate::site::{TOKEN, asked, id, named};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

type Proof = fn(&Host);

const NEIGHBOUR: &str = "blog";
const SHOP: &str = "shop";

/// A neighbour without health checks: nothing the engine knows of it changes by itself.
fn neighbour() -> Value {
    let compose = "services:\n  web:\n    image: registry.test:5000/busybox:1\n    command: [sh, -c, 'mkdir /www; echo blog > /www/index.html; exec httpd -f -p 80 -h /www']\n    stop_signal: SIGKILL\n";
    json!({ "environment": NEIGHBOUR, "compose": compose,
        "routes": [{ "host": "blog.test", "service": "web", "port": 80, "tls": "off" }] })
}

pub fn all(host: Host, word: &str) {
    host.sh("docker ps -aq --filter label=triphammer.environment | xargs -r docker rm -f; docker volume ls -q --filter label=triphammer.environment | xargs -r docker volume rm; rm -rf /var/lib/triphammer/releases /var/lib/triphammer/jobs");
    host.release(&id(1), &neighbour(), &[])
        .expect("the neighbour");
    let neighbour = host.all_of(NEIGHBOUR);
    let proofs: [(&str, Proof); 14] = [
        (
            "a first release starts all of it and is what it says",
            first,
        ),
        (
            "a second release stands beside, loses no request, and leaves the database alone",
            second,
        ),
        (
            "what ends is told at once with its cause, and the undo leaves what was",
            fails,
        ),
        ("what is not healthy in time is told with its replies", late),
        ("what needs too much memory is named so", needs_too_much),
        ("a change in place that fails is taken back", in_place),
        ("a switch is taken back", switched_back),
        (
            "killed at any point, the undo leaves what was",
            killed_and_undone,
        ),
        (
            "killed at any point, a repeat completes it",
            killed_and_repeated,
        ),
        (
            "an environment is stopped, released into, started and restarted",
            stopped,
        ),
        ("an older release is gone back to", gone_back),
        ("a reboot keeps ports and containers", rebooted),
        ("what is not as the release has it is seen", drifted),
        ("what is in the way is named", in_the_way),
    ];
    for (name, proof) in proofs {
        if name.contains(word) || name.starts_with("a first") {
            let begun = std::time::Instant::now();
            proof(&host);
            println!("{name} ... ok ({:.1} s)", begun.elapsed().as_secs_f32());
        }
        if name.contains("reboot") {
            continue;
        }
        let now = host.all_of(NEIGHBOUR);
        assert!(
            now == neighbour || name_is_after_reboot(name),
            "the neighbour was touched"
        );
        assert_eq!(host.get("blog.test"), (200, "blog".into()));
    }
}

/// From the reboot on, the neighbour's containers have started again.
fn name_is_after_reboot(name: &str) -> bool {
    name.starts_with("what is not as") || name.starts_with("what is in the way")
}

fn code(result: Result<Value, Value>) -> String {
    result.expect_err("refused")["code"]
        .as_str()
        .unwrap_or_default()
        .to_string()
}

fn first(host: &Host) {
    // A server that a release left out has nothing to stop or start.
    for (number, act) in [(61, "stop"), (62, "start"), (63, "restart")] {
        let seen = host
            .job(&id(number), &format!("{act}_environment"), named(SHOP))
            .expect("nothing to do");
        assert_eq!(
            (&seen["current"], &seen["containers"]),
            (&Value::Null, &json!([]))
        );
    }
    let ask = asked(SHOP, "one", json!({}));
    let plan = host
        .call(&id(2), "release_prepare", ask.clone())
        .expect("prepared");
    let by_name = |name: &str| {
        let all = plan["services"].as_array().expect("services");
        all.iter()
            .find(|one| one["service"] == name)
            .expect("planned")
            .clone()
    };
    assert_eq!(
        (&by_name("web")["update"], &by_name("db")["update"]),
        (&json!("beside"), &json!("in_place"))
    );
    assert_eq!(by_name("db")["because"], "it has the volume data");
    assert_eq!(by_name("migrate")["update"], "beside");
    assert!(
        by_name("web")["image"]
            .as_str()
            .expect("pinned")
            .contains("@sha256:")
    );
    assert!(!plan.to_string().contains(TOKEN));
    assert_eq!(
        host.call(&id(2), "release_prepare", ask.clone())
            .expect("again"),
        plan
    );
    // A failed first release leaves nothing but volumes and networks.
    host.job(&id(2), "pull_images", named(SHOP))
        .expect("pulled");
    let volumes = host
        .call(&id(2), "volumes_create", named(SHOP))
        .expect("made");
    assert_eq!(volumes["created"], json!(["shop_data"]));
    let again = host
        .call(&id(2), "volumes_create", named(SHOP))
        .expect("found");
    assert_eq!(
        (&again["created"], &again["kept"]),
        (&json!([]), &json!(["shop_data"]))
    );
    host.job(&id(2), "start_containers", named(SHOP))
        .expect("started");
    assert_eq!(
        (
            host.running(SHOP, "web").len(),
            host.running(SHOP, "db").len()
        ),
        (2, 1)
    );
    host.undo(&id(2), SHOP);
    host.undo(&id(2), SHOP);
    assert_eq!(host.all_of(SHOP), "");
    assert_eq!(host.run(&["docker", "volume", "ls", "-q"]), "shop_data");

    let finished = host.release(&id(3), &ask, &[]).expect("released");
    let web = &host.running(SHOP, "web")[0];
    let limits = "{{.HostConfig.LogConfig.Config}} {{.HostConfig.RestartPolicy.Name}} {{.HostConfig.Memory}}";
    assert_eq!(
        host.run(&["docker", "inspect", "-f", limits, web]),
        "map[max-file:2 max-size:26214400] unless-stopped 33554432"
    );
    assert_eq!(host.get("shop.test"), (200, "one".into()));
    assert_eq!(finished["observed"]["drift"], json!([]));
    assert_eq!(finished["observed"]["current"], json!(id(3)));
    assert_eq!(
        finished["observed"]["routes"][0]["upstreams"]
            .as_array()
            .expect("upstreams")
            .len(),
        2
    );
}

/// Ask all the time; how many requests were answered well, and what was wrong with the others.
fn meanwhile<T>(host: &Host, act: impl FnOnce() -> T) -> (T, u64) {
    let (over, good) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (over, good, address) =
                (Arc::clone(&over), Arc::clone(&good), host.address.clone());
            thread::spawn(move || {
                let mut bad = Vec::new();
                while !over.load(Ordering::SeqCst) {
                    match get(&address, "shop.test") {
                        Some((200, _)) => {
                            good.fetch_add(1, Ordering::SeqCst);
                        }
                        other => bad.push(format!("{other:?}")),
                    }
                    sleep(Duration::from_millis(5));
                }
                bad
            })
        })
        .collect();
    let done = act();
    over.store(true, Ordering::SeqCst);
    let bad: Vec<String> = clients
        .into_iter()
        .flat_map(|one| one.join().expect("a client"))
        .collect();
    assert!(
        bad.is_empty(),
        "{} requests failed: {:?}",
        bad.len(),
        &bad[..bad.len().min(5)]
    );
    (done, good.load(Ordering::SeqCst))
}

fn second(host: &Host) {
    let (db, web) = (host.running(SHOP, "db"), host.running(SHOP, "web"));
    let volume = host.sh("docker volume inspect shop_data; docker run --rm -v shop_data:/d registry.test:5000/busybox:1 cat /d/starts");
    let (finished, good) = meanwhile(host, || {
        host.up_to_switch(&id(4), &asked(SHOP, "two", json!({})))
            .expect("ready");
        // As browsers open them ahead: what is asked on it comes when the old containers are to go.
        let ahead = connect(&host.address).expect("connected");
        let late = thread::spawn(move || {
            sleep(Duration::from_secs(4));
            ask(ahead, "shop.test")
        });
        host.call(&id(4), "route_switch", named(SHOP))
            .expect("switched");
        let finished = host.finish(&id(4), SHOP, &[&id(3)]).expect("finished");
        let answer = late.join().expect("a client");
        assert_eq!(answer.map(|(status, _)| status), Some(200));
        finished
    });
    println!("  {good} requests were answered meanwhile");
    assert!(good > 100);
    assert_eq!(host.get("shop.test"), (200, "two".into()));
    assert_eq!(host.running(SHOP, "db"), db, "the database was not touched");
    assert!(host.running(SHOP, "web").iter().all(|id| !web.contains(id)));
    assert_eq!(finished["removed"].as_array().expect("names").len(), 3);
    assert_eq!(finished["observed"]["drift"], json!([]));
    assert_eq!(finished["observed"]["can_return_to"], json!([id(3)]));
    assert_eq!(host.sh("docker volume inspect shop_data; docker run --rm -v shop_data:/d registry.test:5000/busybox:1 cat /d/starts"), volume);
}

fn fails(host: &Host) {
    let before = host.snapshot();
    let ask = asked(SHOP, "three", json!({ "BEGIN": "exit 3" }));
    let begun = std::time::Instant::now();
    let error = host.up_to_switch(&id(5), &ask).expect_err("fails");
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "at once, not at the timeout"
    );
    assert_eq!(error["code"], "container_exited");
    let message = error["message"].as_str().expect("a message");
    assert!(
        message.starts_with("web: its container ended with exit code 3"),
        "{message}"
    );
    assert!(host.log().contains("token ***"), "{}", host.log());
    assert!(!host.log().contains(TOKEN) && !error.to_string().contains(TOKEN));
    host.undo(&id(5), SHOP);
    assert_eq!(host.snapshot(), before);
    let ask = asked(SHOP, "three", json!({ "BEGIN": "exec /nothing" }));
    assert_eq!(
        host.up_to_switch(&id(15), &ask).expect_err("fails")["code"],
        "container_exited"
    );
    host.undo(&id(15), SHOP);
    assert_eq!(host.snapshot(), before);
    // A program that is not in the image: the engine itself cannot start it.
    let mut ask = asked(SHOP, "three", json!({}));
    ask["compose"] = json!(
        ask["compose"]
            .as_str()
            .expect("text")
            .replace("[\"sh\", \"-c\", \"mkdir", "[\"nosuch\", \"-c\", \"mkdir")
    );
    let error = host.up_to_switch(&id(16), &ask).expect_err("fails");
    assert_eq!(error["code"], "container_not_started", "{error}");
    host.undo(&id(16), SHOP);
    // The migration fails: nothing new has begun to serve.
    let error = host
        .up_to_switch(&id(17), &asked(SHOP, "", json!({})))
        .expect_err("fails");
    assert_eq!(error["code"], "container_not_started", "{error}");
    let message = error["message"].as_str().expect("a message");
    assert!(
        message.starts_with("migrate: its container ended with exit code 1"),
        "{message}"
    );
    assert!(host.log().contains("migrating"));
    host.undo(&id(17), SHOP);
    assert_eq!(host.snapshot(), before);
}

fn late(host: &Host) {
    let before = host.snapshot();
    let mut ask = asked(SHOP, "three", json!({}));
    ask["gates"]["web"]["within_seconds"] = json!(3);
    ask["gates"]["web"]["http"]["contains"] = json!("never");
    let error = host.up_to_switch(&id(6), &ask).expect_err("fails");
    assert_eq!(error["code"], "not_healthy");
    let message = error["message"].as_str().expect("a message");
    assert!(
        message.contains("within 3 seconds: / answered 200, but not with the text"),
        "{message}"
    );
    host.undo(&id(6), SHOP);
    assert_eq!(host.snapshot(), before);
}

fn needs_too_much(host: &Host) {
    let before = host.snapshot();
    let mut ask = asked(
        SHOP,
        "three",
        json!({ "BEGIN": "exec tail -c 100m /dev/zero" }),
    );
    ask["limits"] = json!({ "memory_bytes": 16 << 20, "log_bytes": 1 << 20 });
    let plan = host
        .call(&id(18), "release_prepare", ask.clone())
        .expect("prepared");
    assert!(
        plan["notes"]
            .to_string()
            .contains("web: 32 MB of memory are lowered to 16 MB"),
        "{plan}"
    );
    let error = host.up_to_switch(&id(18), &ask).expect_err("fails");
    let message = error["message"].as_str().expect("a message");
    assert!(
        message.contains("needed more than its 16 MB of memory"),
        "{message}"
    );
    host.undo(&id(18), SHOP);
    assert_eq!(host.snapshot(), before);
    // What an application says itself is no error of the proxy's.
    let mut ask = asked(SHOP, "three", json!({ "BEGIN": "rm /www/index.html" }));
    ask["gates"]["web"]["http"] = json!({ "path": "/", "statuses": [404], "timeout_seconds": 2 });
    host.up_to_switch(&id(19), &ask).expect("ready");
    host.call(&id(19), "route_switch", named(SHOP))
        .expect("switched");
    assert_eq!(host.get("shop.test").0, 404);
    host.undo(&id(19), SHOP);
    assert_eq!(host.snapshot(), before);
}

fn setting(host: &Host) -> String {
    host.sh("docker inspect -f '{{.Config.Env}}' $(docker ps -q --filter label=triphammer.environment=shop --filter label=triphammer.service=db) | grep -o 'SETTING=.'")
}

fn in_place(host: &Host) {
    let starts = || {
        host.sh("docker exec shop-db-1 cat /data/starts")
            .lines()
            .count()
    };
    let (web, started) = (host.running(SHOP, "web"), starts());
    let ask = asked(
        SHOP,
        "four",
        json!({ "SETTING": "b", "BEGIN_DB": "exit 4" }),
    );
    let plan = host
        .call(&id(7), "release_prepare", ask.clone())
        .expect("prepared");
    assert!(plan["notes"].to_string().contains("db restarts"), "{plan}");
    let error = host.up_to_switch(&id(7), &ask).expect_err("fails");
    assert_eq!(error["code"], "container_exited", "{error}");
    host.undo(&id(7), SHOP);
    assert_eq!(
        (setting(host).as_str(), host.running(SHOP, "web")),
        ("SETTING=a", web)
    );
    assert_eq!(starts(), started + 1);
    let seen = host.observe(SHOP);
    assert_eq!(seen["drift"], json!([]));
    // And one that does not fail.
    host.release(
        &id(8),
        &asked(SHOP, "five", json!({ "SETTING": "b" })),
        &[&id(4)],
    )
    .expect("released");
    assert_eq!(
        (setting(host).as_str(), starts()),
        ("SETTING=b", started + 2)
    );
    assert_eq!(host.observe(SHOP)["drift"], json!([]));
}

fn switched_back(host: &Host) {
    let (_, good) = meanwhile(host, || {
        host.up_to_switch(&id(9), &asked(SHOP, "six", json!({ "SETTING": "b" })))
            .expect("ready");
        let before = host.snapshot();
        host.call(&id(9), "route_switch", named(SHOP))
            .expect("switched");
        let again = host
            .call(&id(9), "route_switch", named(SHOP))
            .expect("again");
        assert_eq!(again["changed"], false);
        assert_eq!(host.get("shop.test"), (200, "six".into()));
        assert_eq!(
            code(host.call(&id(9), "containers_remove", named(SHOP))),
            "still_live"
        );
        host.call(&id(9), "route_switch_back", named(SHOP))
            .expect("back");
        assert_eq!(host.get("shop.test"), (200, "five".into()));
        assert_eq!(host.snapshot(), before);
        host.undo(&id(9), SHOP);
    });
    assert!(good > 100);
    assert_eq!(host.observe(SHOP)["drift"], json!([]));
}

const POINTS_MS: [u64; 8] = [50, 200, 400, 700, 1000, 1500, 2200, 3500];

fn killed_and_undone(host: &Host) {
    let before = host.snapshot();
    for (number, point) in (20..).zip(POINTS_MS) {
        let ask = asked(SHOP, "seven", json!({ "SETTING": "b" }));
        let deployment = id(number);
        host.call(&deployment, "release_prepare", ask)
            .expect("prepared");
        host.call(&deployment, "volumes_create", named(SHOP))
            .expect("made");
        let job = host.begin(&deployment, "start_containers", named(SHOP));
        sleep(Duration::from_millis(point));
        host.kill(&job);
        host.undo(&deployment, SHOP);
        assert_eq!(
            host.snapshot(),
            before,
            "killed after {point} ms of the start"
        );
    }
    // In place: the database is another container afterwards, with what it had before.
    for (number, point) in (40..).zip(POINTS_MS) {
        let deployment = id(number);
        let ask = asked(SHOP, "seven", json!({ "SETTING": "c" }));
        host.call(&deployment, "release_prepare", ask)
            .expect("prepared");
        host.call(&deployment, "volumes_create", named(SHOP))
            .expect("made");
        host.job(&deployment, "start_containers", named(SHOP))
            .expect("started");
        let job = host.begin(&deployment, "await_health", named(SHOP));
        sleep(Duration::from_millis(point + 300));
        host.kill(&job);
        host.undo(&deployment, SHOP);
        assert_eq!(
            setting(host),
            "SETTING=b",
            "killed after {point} ms of the wait"
        );
        let seen = host.observe(SHOP);
        assert_eq!(
            seen["drift"],
            json!([]),
            "killed after {point} ms of the wait"
        );
        assert_eq!(seen["containers"].as_array().expect("containers").len(), 4);
    }
}

fn killed_and_repeated(host: &Host) {
    for (number, point) in (60..).zip(POINTS_MS) {
        let deployment = id(number);
        let (setting_now, version) = (
            if number % 2 == 0 { "d" } else { "e" },
            format!("v{number}"),
        );
        let ask = asked(SHOP, &version, json!({ "SETTING": setting_now }));
        host.call(&deployment, "release_prepare", ask)
            .expect("prepared");
        host.call(&deployment, "volumes_create", named(SHOP))
            .expect("made");
        let finish = json!({ "environment": SHOP, "drain_seconds": 5, "keep": [] });
        for (name, asked) in [
            ("start_containers", named(SHOP)),
            ("await_health", named(SHOP)),
            ("finish_release", finish),
        ] {
            if name == "finish_release" {
                host.call(&deployment, "route_switch", named(SHOP))
                    .expect("switched");
            }
            let job = host.begin(&deployment, name, asked.clone());
            sleep(Duration::from_millis(point));
            host.kill(&job);
            host.job(&deployment, name, asked)
                .unwrap_or_else(|error| panic!("{name}, killed after {point} ms: {error}"));
        }
        assert_eq!(host.get("shop.test"), (200, version));
        assert_eq!(setting(host), format!("SETTING={setting_now}"));
        let seen = host.observe(SHOP);
        assert_eq!(seen["drift"], json!([]), "killed after {point} ms");
        assert_eq!(seen["containers"].as_array().expect("containers").len(), 4);
        assert_eq!(
            host.sh("ls -d /var/lib/triphammer/releases/shop/*/ | wc -l"),
            "1"
        );
    }
}

fn stopped(host: &Host) {
    let version = host.get("shop.test").1;
    let stopped = host
        .job(&id(80), "stop_environment", named(SHOP))
        .expect("stopped");
    assert_eq!(
        (host.get("shop.test").0, &stopped["drift"]),
        (503, &json!([]))
    );
    assert!(host.running(SHOP, "db").is_empty() && host.running(SHOP, "web").is_empty());
    // A release into it that fails leaves it stopped.
    let before = host.snapshot();
    let ask = asked(SHOP, "eight", json!({ "SETTING": "e", "BEGIN": "exit 3" }));
    assert_eq!(
        host.up_to_switch(&id(81), &ask).expect_err("fails")["code"],
        "container_exited"
    );
    host.undo(&id(81), SHOP);
    assert!(host.running(SHOP, "db").is_empty());
    assert_eq!(host.get("shop.test").0, 503);
    assert_eq!(
        host.snapshot()
            .lines()
            .filter(|line| !line.contains("/shop-db-1"))
            .collect::<Vec<_>>(),
        before
            .lines()
            .filter(|line| !line.contains("/shop-db-1"))
            .collect::<Vec<_>>()
    );
    host.job(&id(82), "start_environment", named(SHOP))
        .expect("started");
    assert_eq!(host.get("shop.test"), (200, version.clone()));
    let web = host.running(SHOP, "web");
    // One that ended some time ago, and that the engine started again, is no reason to fail.
    host.sh(&format!(
        "kill -9 $(docker inspect -f '{{{{.State.Pid}}}}' {0}); until [ \"$(docker inspect -f '{{{{.RestartCount}}}} {{{{.State.Running}}}}' {0})\" = '1 true' ]; do sleep 0.2; done",
        web[0]
    ));
    let (restarted, good) = meanwhile(host, || {
        host.job(&id(83), "restart_environment", named(SHOP))
            .expect("restarted")
    });
    println!("  {good} requests were answered while it restarted");
    assert_eq!(
        (host.running(SHOP, "web"), &restarted["drift"]),
        (web, &json!([]))
    );
    // One that goes well ends the stop.
    host.job(&id(84), "stop_environment", named(SHOP))
        .expect("stopped");
    host.release(&id(85), &asked(SHOP, "nine", json!({})), &[])
        .expect("released");
    assert_eq!(
        (host.get("shop.test"), host.observe(SHOP)["drift"].clone()),
        ((200, "nine".into()), json!([]))
    );
}

fn gone_back(host: &Host) {
    host.release(&id(90), &asked(SHOP, "ten", json!({})), &[&id(85)])
        .expect("released");
    let back = host
        .release(
            &id(91),
            &asked(SHOP, "nine", json!({})),
            &[&id(85), &id(90)],
        )
        .expect("released");
    assert_eq!(host.get("shop.test"), (200, "nine".into()));
    assert_eq!(back["observed"]["can_return_to"], json!([id(85), id(90)]));
}

fn rebooted(host: &Host) {
    let ports = || host.observe(SHOP)["routes"][0]["upstreams"].clone();
    let before = ports();
    host.fault(&["reboot", "docker1"]);
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while host.get("shop.test") != (200, "nine".into()) || host.get("blog.test").0 != 200 {
        assert!(
            std::time::Instant::now() < until,
            "{:?}",
            host.get("shop.test")
        );
        sleep(Duration::from_millis(200));
    }
    assert_eq!(ports(), before);
    // A moment later its health check has passed again.
    assert_eq!(host.observe(SHOP)["drift"], json!([]));
    host.sh("systemctl is-active docker");
}

fn drifted(host: &Host) {
    host.sh("docker stop -t 0 $(docker ps -q --filter label=triphammer.environment=shop --filter label=triphammer.service=web | head -1)");
    host.sh("docker run -d --name stranger --label triphammer.environment=shop registry.test:5000/busybox:1 sleep 600");
    let seen = host.observe(SHOP);
    let drift = seen["drift"].to_string();
    assert!(
        drift.contains("web: 1 of 2 containers run")
            && drift.contains("stranger: a container that the release does not have"),
        "{drift}"
    );
    // A release heals it, and leaves alone what is not a project's of ours.
    host.release(&id(95), &asked(SHOP, "eleven", json!({})), &[])
        .expect("released");
    assert_eq!(
        host.observe(SHOP)["drift"],
        json!(["stranger: a container that the release does not have"])
    );
    host.sh("docker rm -f stranger");
}

fn in_the_way(host: &Host) {
    let before = host.snapshot();
    // A volume of somebody else's.
    host.sh("docker volume create shop_other");
    let mut ask = asked(SHOP, "twelve", json!({}));
    ask["compose"] = json!(
        ask["compose"]
            .as_str()
            .expect("text")
            .replace("volumes: { data: {} }", "volumes: { data: {}, other: {} }")
            .replace("\"data:/data\" ]", "\"data:/data\", \"other:/other\" ]")
    );
    host.call(&id(96), "release_prepare", ask)
        .expect("prepared");
    let error = host
        .call(&id(96), "volumes_create", named(SHOP))
        .expect_err("refused");
    assert_eq!(error["code"], "already_exists");
    host.undo(&id(96), SHOP);
    host.sh("docker volume rm shop_other");
    // A port that somebody took between the plan and the start.
    host.call(&id(97), "release_prepare", asked(SHOP, "twelve", json!({})))
        .expect("prepared");
    let ports = host.sh(&format!(
        "cat /var/lib/triphammer/releases/shop/{}/ports.json",
        id(97)
    ));
    let ports: Value = serde_json::from_str(&ports).expect("JSON");
    let port = ports["web"]["8080"][0].to_string();
    host.sh(&format!(
        "docker run -d --name taker -p 127.0.0.1:{port}:80 registry.test:5000/busybox:1 sleep 600"
    ));
    let error = host
        .job(&id(97), "start_containers", named(SHOP))
        .expect_err("refused");
    assert_eq!(error["code"], "port_in_use");
    assert!(
        error["message"]
            .as_str()
            .expect("a message")
            .contains(&port),
        "{error}"
    );
    host.sh("docker rm -f taker");
    host.undo(&id(97), SHOP);
    assert_eq!(host.snapshot(), before);
    // The engine is away.
    host.call(&id(98), "release_prepare", asked(SHOP, "twelve", json!({})))
        .expect("prepared");
    host.sh("systemctl stop docker.socket docker");
    let error = host
        .job(&id(98), "start_containers", named(SHOP))
        .expect_err("away");
    assert_eq!(
        (&error["code"], &error["kind"]),
        (&json!("engine_away"), &json!("unavailable")),
        "{error}"
    );
    assert_eq!(
        code(host.call(&id(98), "containers_remove", named(SHOP))),
        "engine_away"
    );
    host.sh("systemctl start docker");
    host.undo(&id(98), SHOP);
    // A cancel ends the wait soon.
    let mut ask = asked(SHOP, "twelve", json!({}));
    ask["gates"]["web"]["http"]["contains"] = json!("never");
    host.call(&id(99), "release_prepare", ask)
        .expect("prepared");
    host.job(&id(99), "start_containers", named(SHOP))
        .expect("started");
    host.begin(&id(99), "await_health", named(SHOP));
    sleep(Duration::from_secs(1));
    host.world.seen().cancel = true;
    assert_eq!(host.ended().expect_err("cancelled"), "cancelled");
    host.undo(&id(99), SHOP);
    assert_eq!(host.observe(SHOP)["drift"], json!([]));
}
