//! What can go wrong while a job is at work on a server, for real: with the API, the store, the network, the machine, and
//! the site's own user against it.
//!
//! The rule held after each: the deployment completes, or it fails with the site as it was; what was backed up comes back
//! equal. A job that says nothing is given up after ninety seconds, and its step begun again.

use e2e::shop::{Shop, equal};
use e2e::{Fault, Stack, settled};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A fault that no job is lost in.
const SOON: Duration = Duration::from_secs(90);
/// A job is lost: its heartbeats end, its step is begun again, and the rest of the way.
const AFTER_A_LOST_JOB: Duration = Duration::from_secs(300);
/// A cancel is heard so soon.
const CANCELLED_WITHIN: Duration = Duration::from_secs(10);
const CALLBACK: &str = "the job's order";

/// Every request of a server to the store takes seconds, for as long as it lives: time to let something go wrong.
fn slow_store(stack: &Stack) -> Fault {
    stack.fault(json!({"store": ["slow"], "store_times": 1000}))
}

async fn at_work(shop: &Shop, id: &str, step: &str) {
    shop.stack.step_is(id, step, "running").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
}

async fn completes(shop: &Shop, id: &str, bound: Duration) {
    let began = Instant::now();
    let ended = shop.stack.ended_within(id, bound).await;
    settled(&ended, "completed").expect("completed");
    let took = began.elapsed().as_secs_f32();
    println!("{}: settled {took:.1} s after", ended["operation_name"]);
}

/// The newest backup puts everything back.
async fn comes_back(shop: &Shop) {
    let before = shop.contents();
    let backup = shop.backups().await[0]["id"]
        .as_str()
        .expect("an id")
        .to_string();
    shop.damage();
    shop.restored(&backup, json!({})).await;
    equal(&shop.contents(), &before);
    assert_eq!(shop.left_beside(), "");
}

/// A fault of the lab's only server.
fn lab(shop: &Shop, fault: &str, more: &[&str]) {
    let name = shop.stack.server().name.clone();
    let words: Vec<&str> = [fault, &name]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
    shop.stack.lab.fault(&words).expect("a fault");
}

fn port(stack: &Stack) -> String {
    let port = stack.endpoint.rsplit(':').next().expect("a port");
    port.to_string()
}

#[tokio::test]
async fn a_store_that_fails_answers_slowly_and_closes_in_the_middle_delays_and_damages_nothing() {
    let shop = Shop::new("bad-store").await;
    let bad = json!({"store": ["500", "slow", "503", "close"], "store_times": 12});
    let fault = shop.stack.fault(bad.clone());
    let before = shop.contents();
    let backup = shop.backed_up(json!({})).await;
    drop(fault);
    shop.damage();
    let fault = shop.stack.fault(bad);
    shop.restored(&backup, json!({})).await;
    drop(fault);
    equal(&shop.contents(), &before);
}

#[tokio::test]
async fn an_api_and_store_that_are_away_for_two_minutes_delay_a_backup() {
    let shop = Shop::new("api-away").await;
    let slow = slow_store(&shop.stack);
    let id = shop.begun("", json!({})).await;
    at_work(&shop, &id, "archive_files").await;
    lab(&shop, "away", &[&port(&shop.stack)]);
    drop(slow);
    tokio::time::sleep(Duration::from_secs(120)).await;
    lab(&shop, "heal", &[]);
    completes(&shop, &id, AFTER_A_LOST_JOB).await;
    comes_back(&shop).await;
}

#[tokio::test]
async fn a_job_killed_with_all_it_started_is_begun_again() {
    let shop = Shop::new("job-killed").await;
    let slow = slow_store(&shop.stack);
    let id = shop.begun("", json!({})).await;
    at_work(&shop, &id, "archive_files").await;
    shop.run("systemctl kill --signal=KILL 'triphammer-job-*'");
    drop(slow);
    completes(&shop, &id, AFTER_A_LOST_JOB).await;
    comes_back(&shop).await;
}

#[tokio::test]
async fn a_server_that_loses_its_power_in_the_middle_goes_on_after_its_boot() {
    let shop = Shop::new("power-cut").await;
    let slow = slow_store(&shop.stack);
    let id = shop.begun("", json!({})).await;
    at_work(&shop, &id, "archive_files").await;
    lab(&shop, "power-cut", &[]);
    drop(slow);
    tokio::time::sleep(Duration::from_secs(5)).await;
    lab(&shop, "power-on", &[]);
    // The schedules of the sites would change them between two looks.
    shop.run("systemctl stop cron");
    completes(&shop, &id, AFTER_A_LOST_JOB).await;
    comes_back(&shop).await;
}

#[tokio::test]
async fn a_job_needs_no_ssh_once_it_has_begun() {
    let shop = Shop::new("no-ssh").await;
    let frozen = shop.stack.freeze_database();
    let id = shop.begun("", json!({"scope": "database"})).await;
    at_work(&shop, &id, "backup_database").await;
    lab(&shop, "drop", &["22"]);
    drop(frozen);
    let began = Instant::now();
    let ended = shop.stack.ended_within(&id, SOON).await;
    lab(&shop, "heal", &[]);
    settled(&ended, "completed").expect("completed");
    println!("without SSH: {:.1} s", began.elapsed().as_secs_f32());
}

/// The order of the job at work, as root reads it on the server.
fn order(shop: &Shop, id: &str, step: &str) -> Value {
    let text = shop.run(&format!(
        "cat /var/lib/triphammer/jobs/{id}.{step}/order.json"
    ));
    serde_json::from_str(&text).expect(CALLBACK)
}

#[allow(
    clippy::disallowed_methods,
    reason = "it calls the stack on this machine"
)]
async fn report(order: &Value, secret: &str, fence: u64, say: Value) -> u16 {
    let url = order["start"]["callback"]["url"].as_str().expect(CALLBACK);
    let sent = reqwest::Client::new()
        .request(Method::POST, url)
        .header("authorization", format!("Bearer {secret}"))
        .body(json!({"fence": fence, "say": say}).to_string())
        .send()
        .await;
    sent.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn reports_that_are_forged_doubled_late_or_another_jobs_change_nothing() {
    let shop = Shop::new("forged").await;
    let slow = slow_store(&shop.stack);
    let earlier = shop.begun("", json!({"scope": "database"})).await;
    at_work(&shop, &earlier, "backup_database").await;
    let other = order(&shop, &earlier, "backup_database");
    completes(&shop, &earlier, SOON).await;
    let id = shop.begun("", json!({})).await;
    at_work(&shop, &id, "archive_files").await;
    let ours = order(&shop, &id, "archive_files");
    let fence = ours["lease"]["fence"].as_u64().expect(CALLBACK);
    let secret = |order: &Value| {
        let secret = &order["start"]["callback"]["secret"];
        secret.as_str().expect(CALLBACK).to_string()
    };
    let done = json!({"ended": {"result": {"done": {"gives": {}, "summary": "forged"}}}});
    let alive = json!({"alive": {"progress": null, "log": []}});
    assert_eq!(report(&ours, "guessed", fence, done.clone()).await, 401);
    assert_eq!(
        report(&ours, &secret(&other), fence, done.clone()).await,
        401
    );
    assert_eq!(
        report(&ours, &secret(&ours), fence - 1, done.clone()).await,
        401
    );
    assert_eq!(
        report(&ours, &secret(&ours), fence, json!({"alive": 1})).await,
        400
    );
    for _ in 0..2 {
        assert_eq!(
            report(&ours, &secret(&ours), fence, alive.clone()).await,
            200
        );
    }
    let elsewhere = json!({"fetch": {"object": "database"}});
    assert!(
        report(&ours, &secret(&ours), fence, elsewhere).await >= 400,
        "no object of its own"
    );
    drop(slow);
    completes(&shop, &id, SOON).await;
    let before = shop.stack.deployment(&id).await;
    assert_eq!(
        report(&ours, &secret(&ours), fence, alive).await,
        410,
        "late"
    );
    let failed = json!({"ended": {"result": {"failed": {"kind": "refused", "code": "late", "message": "late", "cause": null}}}});
    let late = report(&ours, &secret(&ours), fence, failed).await;
    assert!(late >= 200, "{late}");
    assert_eq!(
        shop.stack.deployment(&id).await,
        before,
        "what is over stays as it is"
    );
    assert_eq!(report(&other, &secret(&other), 1, done).await, 401);
}

#[tokio::test]
async fn a_disk_without_room_refuses_a_restore_before_anything_is_touched() {
    let shop = Shop::new("no-room-left").await;
    let backup = shop.backed_up(json!({})).await;
    shop.run("echo changed > index.php");
    lab(&shop, "fill-disk", &["/home"]);
    let before = shop.contents();
    let id = shop.begun(&format!("/{backup}/restore"), json!({})).await;
    let ended = shop.stack.ended(&id).await;
    let after = shop.contents();
    let left = shop.left_beside();
    lab(&shop, "free-disk", &["/home"]);
    settled(&ended, "failed").expect("refused");
    assert_eq!(ended["error"]["code"], "disk_full", "{ended:#}");
    equal(&after, &before);
    assert_eq!(left, "");
}

#[tokio::test]
async fn a_database_server_killed_in_a_dump_or_a_load_is_waited_for() {
    let shop = Shop::new("db-killed").await;
    let killed = |shop: &Shop| {
        shop.run("systemctl kill --signal=KILL mariadb; sleep 3; systemctl start mariadb")
    };
    let frozen = shop.stack.freeze_database();
    let id = shop.begun("", json!({})).await;
    at_work(&shop, &id, "backup_database").await;
    killed(&shop);
    drop(frozen);
    completes(&shop, &id, AFTER_A_LOST_JOB).await;
    let before = shop.contents();
    let backup = shop.backups().await[0]["id"]
        .as_str()
        .expect("an id")
        .to_string();
    shop.damage();
    let slow = slow_store(&shop.stack);
    let id = shop.begun(&format!("/{backup}/restore"), json!({})).await;
    at_work(&shop, &id, "download_backup").await;
    let frozen = shop.stack.freeze_database();
    drop(slow);
    at_work(&shop, &id, "restore_database").await;
    killed(&shop);
    drop(frozen);
    completes(&shop, &id, AFTER_A_LOST_JOB).await;
    equal(&shop.contents(), &before);
}

#[tokio::test]
async fn the_sites_own_user_reads_no_secret_ends_no_job_and_fools_no_archive() {
    let shop = Shop::new("hostile").await;
    let slow = slow_store(&shop.stack);
    let id = shop.begun("", json!({})).await;
    at_work(&shop, &id, "archive_files").await;
    let tried = shop.run(
        r#"as() { su -s /bin/bash "$site" -c "$1" >/dev/null 2>&1 && echo "it could: $1" || true; }
        as "ls /var/lib/triphammer/jobs"; as "cat /var/lib/triphammer/jobs/*/order.json"
        as "echo 9999999 > /var/lib/triphammer/leases/x"; as "rm -rf /var/lib/triphammer/leases"; as "touch /var/lib/triphammer/jobs/x"
        root=$(systemctl show -p MainPID --value 'triphammer-job-*' | grep -v '^0$' | head -1); test -n "$root"
        as "kill -9 $root"; as "cat /proc/$root/environ"; as "systemctl kill --signal=KILL 'triphammer-job-*'""#,
    );
    assert_eq!(tried, "");
    drop(slow);
    completes(&shop, &id, SOON).await;
    // What it swaps for a link while it is walked is taken as the link that it is, or as what was there.
    shop.run(
        r#"su -s /bin/bash "$site" -c 'cd wp-content/uploads; mkdir -p swapped/etc; echo mine > swapped/shadow
        (end=$((SECONDS+25)); while [ $SECONDS -lt $end ]; do mv -T swapped kept; ln -sfn /etc swapped; rm -f swapped; mv -T kept swapped; done) >/dev/null 2>&1 &'"#,
    );
    let id = shop
        .begun("", json!({"scope": "files", "full": true}))
        .await;
    completes(&shop, &id, AFTER_A_LOST_JOB).await;
    tokio::time::sleep(Duration::from_secs(25)).await;
    let backup = shop.backups().await[0]["id"]
        .as_str()
        .expect("an id")
        .to_string();
    let store = shop.stack.state_dir.join("s3");
    let search = format!(
        "f=$(find {} -type f -path '*/{backup}/*' -name 'files.tar.zst*' | head -1); zstd -dc \"$f\" 2>/dev/null | tar -xO --wildcards '*swapped*' 2>/dev/null | grep -c '^root:' || true; zstd -dc \"$f\" | tar -t | grep -c wp-config.php",
        store.display()
    );
    let found = std::process::Command::new("bash")
        .args(["-c", &search])
        .output()
        .expect("bash");
    let found = String::from_utf8_lossy(&found.stdout).trim().to_string();
    assert!(found.starts_with("0\n") && found != "0\n0", "{found}");
}

#[tokio::test]
async fn a_cancel_in_the_middle_of_a_restore_is_heard_within_ten_seconds_and_leaves_the_site() {
    let shop = Shop::new("called-off").await;
    let backup = shop.backed_up(json!({})).await;
    shop.run("echo changed > index.php");
    let before = shop.contents();
    let slow = slow_store(&shop.stack);
    let id = shop.begun(&format!("/{backup}/restore"), json!({})).await;
    at_work(&shop, &id, "download_backup").await;
    let path = format!("/v1/deployments/{id}/cancel");
    assert_eq!(shop.stack.post(&path, json!({})).await.status, 200);
    let began = Instant::now();
    shop.stack.step_is(&id, "download_backup", "failed").await;
    let took = began.elapsed();
    drop(slow);
    let ended = shop.stack.ended(&id).await;
    settled(&ended, "cancelled").expect("cancelled");
    assert!(took < CANCELLED_WITHIN, "{took:?}");
    println!("heard after {:.1} s", took.as_secs_f32());
    equal(&shop.contents(), &before);
    assert_eq!(shop.left_beside(), "");
}
