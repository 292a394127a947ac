//! A site of a gigabyte in twelve thousand files, with a database of three hundred megabytes: backed up, damaged, put back,
//! equal; also while it is being written to.

use e2e::settled;
use e2e::shop::{Shop, equal};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Minutes on a machine with two busy cores; no deployment of the other tests takes so long.
const WITHIN: Duration = Duration::from_secs(900);

/// Half of it compresses well, half does not.
const FILL: &str = r#"
    $block = random_bytes(2000000); $text = str_repeat('What was asked, and what was answered: ', 60000);
    for ($i = 0; $i < 12000; $i++) {
        $folder = sprintf('wp-content/uploads/large/d%03d', $i % 300); @mkdir($folder, 0755, true);
        $size = $i % 12 ? 20000 + $i % 9000 : 740000 + $i * 10;
        $from = $i % 2 ? $block : $text;
        file_put_contents("$folder/f$i.bin", "$i\n" . substr($from, ($i * 37) % 1000000, $size));
    }"#;

async fn large(name: &str) -> Shop {
    let shop = Shop::new(name).await;
    shop.run(&format!(
        "cat > /root/fill.php <<'P'\n<?php {FILL}\nP\nphp /root/fill.php; chown -R $site: wp-content/uploads/large"
    ));
    shop.run(
        r#"mariadb "$site" -e "CREATE TABLE bulk (id INT PRIMARY KEY, body TEXT, raw BLOB) CHARSET utf8mb4;
            INSERT INTO bulk SELECT seq, REPEAT(MD5(seq), 24), RANDOM_BYTES(200) FROM seq_1_to_300000;
            CREATE TABLE debit (id INT PRIMARY KEY AUTO_INCREMENT) ENGINE=InnoDB; CREATE TABLE credit (id INT PRIMARY KEY AUTO_INCREMENT) ENGINE=InnoDB""#,
    );
    shop
}

async fn done(shop: &Shop, path: &str, body: Value) -> Value {
    let began = Instant::now();
    let id = shop.begun(path, body).await;
    let ended = shop.stack.ended_within(&id, WITHIN).await;
    settled(&ended, "completed").expect("completed");
    let steps = ended["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .map(|step| {
            let at = |name: &str| chrono(&step[name]);
            let seconds = at("finished_at")
                .zip(at("started_at"))
                .map(|(end, begin)| (end - begin) as f64 / 1000.0);
            format!(
                "{} {:.1} s",
                step["name"].as_str().unwrap_or_default(),
                seconds.unwrap_or_default()
            )
        });
    let steps: Vec<_> = steps.collect();
    println!(
        "{}: {:.1} s ({})",
        ended["operation_name"],
        began.elapsed().as_secs_f32(),
        steps.join(", ")
    );
    ended
}

/// Milliseconds since 1970.
fn chrono(time: &Value) -> Option<i64> {
    let time: domain::Time = time.as_str()?.parse().ok()?;
    Some(time.timestamp_millis())
}

#[tokio::test]
async fn a_gigabyte_and_a_large_database_come_back_equal_along_a_chain_and_while_they_are_written_to()
 {
    let shop = large("large").await;
    done(&shop, "", json!({})).await;
    let full = shop.backups().await[0].clone();
    let [files, tree, dump] = [
        "/files/entries",
        "/files/tree_bytes",
        "/database/dump_bytes",
    ]
    .map(|at| full.pointer(at).and_then(Value::as_u64).expect("a number"));
    println!(
        "{files} entries, {} MB, and a dump of {} MB",
        tree / 1_000_000,
        dump / 1_000_000
    );
    assert!(files > 12_000 && tree > 1_000_000_000 && dump > 300_000_000);
    let beside = Instant::now();
    shop.run("tar cf - . | zstd -3 -T0 -q > /root/beside.tar.zst; rm /root/beside.tar.zst");
    println!(
        "tar | zstd -3 -T0 on the same server: {:.1} s",
        beside.elapsed().as_secs_f32()
    );
    shop.run("for i in $(seq 0 119); do f=$(ls wp-content/uploads/large/d$(printf %03d $i)/* | head -1); echo changed >> $f; done");
    done(&shop, "", json!({})).await;
    let (backup, changed) = {
        let newest = &shop.backups().await[0];
        (
            newest["id"].as_str().expect("an id").to_string(),
            newest["files"]["changed"].as_u64(),
        )
    };
    assert!(changed < Some(400), "{changed:?}");
    let before = shop.digest();
    shop.damage();
    done(&shop, &format!("/{backup}/restore"), json!({})).await;
    equal(&shop.digest(), &before);

    // Every pair of rows is written in one transaction, so a dump of one moment has as many of each.
    shop.run(
        r#"cat > /root/writer.sh <<W
        while [ -e /root/writing ]; do
            mariadb $site -e "BEGIN; INSERT INTO debit () VALUES (); DO SLEEP(0.02); INSERT INTO credit () VALUES (); COMMIT"
            su -s /bin/bash $site -c "head -c 9000000 /dev/urandom > /home/$site/public/wp-content/uploads/hot.bin"
        done
W
        touch /root/writing; setsid nohup bash /root/writer.sh >/dev/null 2>&1 &"#,
    );
    done(&shop, "", json!({"full": true})).await;
    shop.run("rm /root/writing; sleep 1");
    let newest = shop.backups().await[0].clone();
    let noted = newest["notes"].to_string();
    assert!(
        noted.contains("hot.bin"),
        "what changed meanwhile is noted: {noted}"
    );
    let backup = newest["id"].as_str().expect("an id");
    let before = shop.run("find . -type f ! -name hot.bin -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum");
    shop.damage();
    done(&shop, &format!("/{backup}/restore"), json!({})).await;
    let after = shop.run("find . -type f ! -name hot.bin -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum");
    assert_eq!(after, before, "every other file");
    let pairs = shop.run(r#"mariadb -N "$site" -e "SELECT (SELECT COUNT(*) FROM debit), (SELECT COUNT(*) FROM credit), (SELECT COUNT(*) FROM bulk)""#);
    let counts: Vec<u64> = pairs.split_whitespace().flat_map(str::parse).collect();
    assert!(
        counts.len() == 3 && counts[0] == counts[1] && counts[0] > 0,
        "{pairs}"
    );
    assert_eq!(counts[2], 300_000);
    assert_eq!(shop.left_beside(), "");
}
