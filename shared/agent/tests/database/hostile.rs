//! Dumps that are odd or mean harm.
//!
//! Rule held: each is refused or harmless, the live tables and the neighbours stay as they are, and nothing of a
//! dump's text gets into an error.

use crate::fixture::{Host, SHOP, assert_same, packed, put};
use agent::database::{Restore, Server};
use agent::paths::Paths;
use protocol::AgentError;

const TABLE: &str = "CREATE TABLE t (a INT);\nINSERT INTO t VALUES (1);\n";
const END: &str = "-- Dump completed\n";

fn refused(host: &Host, dump: &str) -> AgentError {
    refused_bytes(host, &packed(dump))
}

fn refused_bytes(host: &Host, dump: &[u8]) -> AgentError {
    let before = host.picture();
    let error = host.put(dump).expect_err("refused");
    assert!(!format!("{error:?}").contains("hush"), "{error:?}");
    assert_same(&host.picture(), &before, "");
    host.back();
    host.assert_clean();
    error
}

#[test]
fn a_dump_does_not_leave_its_database() {
    let host = Host::up();
    host.script(
        SHOP,
        "CREATE TABLE live (a INT); INSERT INTO live VALUES (1);",
    );
    let file = host.socket().with_file_name("out.txt");
    let commands = [
        "USE neighbour;\nDROP TABLE t;\n",
        "CREATE DATABASE hush;\n",
        "/*!40000 DROP DATABASE IF EXISTS `neighbour`*/;\n",
        "DROP DATABASE neighbour;\n",
        "GRANT ALL ON *.* TO hush@localhost;\n",
        "CREATE USER hush@localhost;\n",
        "LOAD DATA INFILE '/etc/passwd' INTO TABLE t;\n",
        "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE t;\n",
        &format!("SELECT 'hush' INTO OUTFILE '{}';\n", file.display()),
        &format!("\\! touch {}\n", file.display()),
        &format!("system touch {}\n", file.display()),
        "source /etc/passwd\n",
        "\\. /etc/passwd\n",
        &format!("\\T {}\n", file.display()),
        "\\u neighbour\n",
        "use neighbour\n",
        "charset latin1\n",
        "\\C latin1\n",
        "connect neighbour\n",
        "delimiter \\!\n",
        "DELIMITER hush\nDROP DATABASE neighbour hush\nDELIMITER ;\n",
        "DELIMITER //\nINSERT INTO t VALUES (3); DROP DATABASE neighbour//\nDELIMITER ;\n",
        "SET GLOBAL max_connections = 1;\n",
        "SET @@GLOBAL.read_only = 1;\n",
        "SET PASSWORD = PASSWORD('hush');\n",
        "SHUTDOWN;\n",
        "INSTALL SONAME 'hush';\n",
        "(SELECT 1);\n",
        "CALL neighbour.hush();\n",
        "CREATE FUNCTION hush RETURNS STRING SONAME 'hush.so';\n",
        // These pass the first look, and meet the loader's rights.
        "DROP TABLE neighbour.t;\n",
        "INSERT INTO neighbour.t VALUES (2);\n",
        "INSERT INTO t VALUES ('hush', 1, 2);\n",
        "REPLACE INTO mysql.global_priv VALUES ('localhost', 'hush', '{}');\n",
        "CREATE VIEW v AS SELECT * FROM neighbour.t;\n",
        "CREATE TABLE x (a INT) ENGINE=InnoDB DATA DIRECTORY='/tmp/hush';\nCREATE TABLE neighbour.y (a INT);\n",
        "CREATE TRIGGER x BEFORE INSERT ON neighbour.t FOR EACH ROW SET @a = 1;\n",
        "CREATE EVENT neighbour.e ON SCHEDULE EVERY 1 SECOND DO DROP TABLE t;\n",
        "DELIMITER //\nCREATE PROCEDURE p() SELECT 1; DROP DATABASE neighbour//\nDELIMITER ;\n",
        "/*!99999 ' */ DROP DATABASE neighbour; /*!99999 ' */;\n",
        "SET @x = 'NO_BACKSLASH_ESCAPES', sql_mode = @x;\nINSERT INTO t VALUES ('\\'); DROP DATABASE neighbour; -- ');\n",
        "RENAME TABLE t TO neighbour.t2;\n",
        "ALTER TABLE t RENAME neighbour.t2;\n",
    ];
    for command in commands {
        let error = refused(&host, &format!("{TABLE}{command}{END}"));
        assert_eq!(
            error.kind,
            protocol::AgentErrorKind::Refused,
            "{command} {error:?}"
        );
        assert!(!file.exists(), "{command}");
    }
    assert_eq!(
        host.sql("SELECT user FROM mysql.user WHERE user LIKE '%hush%';"),
        ""
    );
}

#[test]
fn a_row_is_a_row_whatever_it_says() {
    let host = Host::up();
    let rows = r"INSERT INTO t VALUES ('\\! touch /tmp/hush'),('USE neighbour;'),('-- Dump completed'),('
-- Dump completed
'),('DELIMITER ;;
system ls
'),('it''s \'quoted\' \\'),('\0');
";
    let dump = format!("CREATE TABLE t (a TEXT);\n{rows}{END}");
    host.put(&packed(&dump)).expect("restored");
    assert_eq!(host.sql(&format!("SELECT COUNT(*) FROM {SHOP}.t;")), "7\n");
    let cut = format!(
        "CREATE TABLE t (a TEXT);\n{}",
        rows.split("system").next().unwrap_or_default()
    );
    host.back();
    assert_eq!(refused(&host, &cut).code, "dump_incomplete");
}

#[test]
fn a_definer_of_another_server_becomes_the_sites_own() {
    let host = Host::up();
    let dump = format!(
        "{TABLE}/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`root`@`localhost` SQL SECURITY DEFINER */\n/*!50001 VIEW `v` AS select * from t where 'DEFINER=`a`@`b`' <> '' */;\n\
         DELIMITER ;;\nCREATE DEFINER=`gone`@`elsewhere` PROCEDURE p() SQL SECURITY DEFINER SELECT 'DEFINER=`a`@`b`';;\n\
         /*!50003 CREATE*/ /*!50017 DEFINER=`root`@`localhost`*/ /*!50003 TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 5 */;;\n\
         CREATE DEFINER = root@localhost EVENT e ON SCHEDULE EVERY 1 SECOND ON COMPLETION NOT PRESERVE ENABLE DO INSERT INTO t VALUES (9);;\nDELIMITER ;\n{END}"
    );
    host.put(&packed(&dump)).expect("restored");
    let definers = host.sql(&format!(
        "SELECT DISTINCT definer FROM (SELECT definer FROM information_schema.views WHERE table_schema = '{SHOP}' \
         UNION ALL SELECT definer FROM information_schema.routines WHERE routine_schema = '{SHOP}' \
         UNION ALL SELECT definer FROM information_schema.triggers WHERE trigger_schema = '{SHOP}' \
         UNION ALL SELECT definer FROM information_schema.events WHERE event_schema = '{SHOP}') all_of_them;"
    ));
    assert_eq!(definers, format!("{SHOP}@localhost\n"));
    assert_eq!(
        host.sql(&format!("SELECT status FROM information_schema.events WHERE event_schema = 'shop_ab'; CALL {SHOP}.p(); SELECT security_type FROM information_schema.routines WHERE routine_schema = '{SHOP}';")),
        "ENABLED\nDEFINER=`a`@`b`\nDEFINER\n"
    );
    host.back();
    host.sql(&format!("DROP USER {SHOP}@localhost;"));
    assert_eq!(refused(&host, &dump).code, "database_user_missing");
}

#[test]
fn an_event_of_the_dump_does_not_run_beside_the_live_site() {
    let host = Host::up();
    let dump =
        format!("{TABLE}CREATE EVENT e ON SCHEDULE EVERY 1 SECOND ENABLE DO DELETE FROM t;\n{END}");
    let restore = host.restore();
    let bytes = packed(&dump);
    restore
        .load(&mut &bytes[..], 10, &mut |_| {
            std::ops::ControlFlow::Continue(())
        })
        .expect("loaded");
    assert_eq!(
        host.sql("SELECT status FROM information_schema.events;"),
        "DISABLED\n"
    );
    restore.swap().expect("swapped");
    assert_eq!(
        host.sql("SELECT status FROM information_schema.events WHERE event_schema = 'shop_ab';"),
        "ENABLED\n"
    );
}

#[test]
fn a_collation_of_another_server_is_mapped_and_named() {
    let host = Host::up();
    let dump = format!(
        "/*!999999\\- enable the sandbox mode */ \nSET collation_connection = utf8mb4_0900_ai_ci;\n\
         CREATE TABLE t (a VARCHAR(99) COLLATE utf8mb4_0900_ai_ci DEFAULT 'utf8mb4_0900_ai_ci' COMMENT 'COLLATE utf8mb4_0900_ai_ci', b VARCHAR(99) COLLATE utf8mb4_0900_as_cs, c VARCHAR(99) COLLATE utf8mb4_uca1400_german2_ai_ci) \
         DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;\nINSERT INTO t VALUES ('utf8mb4_0900_ai_ci', 'COLLATE utf8mb4_0900_ai_ci', 'c');\n{END}"
    );
    let notes = host.put(&packed(&dump)).expect("restored").notes;
    // 10.11 has the uca1400 ones itself.
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes[0].contains("utf8mb4_0900_ai_ci: utf8mb4_unicode_520_ci")
            && notes[1].contains("utf8mb4_bin")
    );
    assert_eq!(
        host.sql(&format!("SELECT * FROM {SHOP}.t;")),
        "utf8mb4_0900_ai_ci\tCOLLATE utf8mb4_0900_ai_ci\tc\n"
    );
}

#[test]
fn a_broken_or_cut_dump_changes_nothing() {
    let host = Host::up();
    host.script(
        SHOP,
        "CREATE TABLE live (a INT); INSERT INTO live VALUES (1);",
    );
    assert_eq!(refused(&host, TABLE).code, "dump_incomplete");
    assert_eq!(refused(&host, "").code, "dump_incomplete");
    assert_eq!(
        refused(&host, &format!("{END}{TABLE}")).code,
        "dump_incomplete"
    );
    assert_eq!(
        refused(&host, "INSERT INTO t VALUES ('\n-- Dump completed\n").code,
        "dump_incomplete"
    );
    assert_eq!(
        refused(&host, &format!("{TABLE}/* {END}")).code,
        "dump_incomplete"
    );
    assert_eq!(
        refused(
            &host,
            &format!("{TABLE}CREATE TABLE hush (a INT, hush);\n{END}")
        )
        .code,
        "dump_failed"
    );
    let whole = packed(&format!("{TABLE}{END}"));
    assert_eq!(
        refused_bytes(&host, &whole[..whole.len() - 5]).code,
        "dump_damaged"
    );
    assert_eq!(refused_bytes(&host, b"hush").code, "dump_damaged");
    assert_eq!(refused_bytes(&host, b"").code, "dump_damaged");
    let mut bent = host.dump(SHOP);
    let middle = bent.len() / 2;
    bent[middle] ^= 0x55;
    assert_eq!(
        refused_bytes(&host, &bent).kind,
        protocol::AgentErrorKind::Refused
    );
}

#[test]
fn a_failing_statements_text_is_in_no_error_however_long_it_is() {
    let host = Host::up();
    let rows = vec!["('hush ERROR 2013 (HY000)')"; 60_000].join(",");
    let dump = format!(
        "CREATE TABLE t (a TEXT, b INT NOT NULL);\nINSERT INTO t (a) VALUES {rows},(1,2,3);\n{END}"
    );
    let error = refused(&host, &dump);
    assert_eq!(
        (error.code.as_str(), error.detail.as_str()),
        ("dump_failed", "exit status: 1 ERROR 1136")
    );
}

#[test]
fn a_blob_larger_than_the_servers_packet_is_restored() {
    let host = Host::up();
    host.script(
        SHOP,
        "CREATE TABLE t (a LONGBLOB); INSERT INTO t VALUES (REPEAT(0x00, 12000000));",
    );
    let dump = host.dump(SHOP);
    host.put(&dump).expect("restored");
    assert_eq!(
        host.sql(&format!("SELECT LENGTH(a) FROM {SHOP}.t;")),
        "12000000\n"
    );
    host.restore().clean_up().expect("cleaned up");
    host.assert_clean();
}

#[test]
fn a_namesake_beside_is_refused_and_left_alone() {
    let host = Host::up();
    let dump = packed(&format!("{TABLE}{END}"));
    host.put(&dump).expect("restored");
    let beside = host
        .sql("SHOW DATABASES LIKE '%\\_\\_new\\_%';")
        .trim()
        .to_string();
    host.restore().clean_up().expect("cleaned up");
    host.sql(&format!(
        "CREATE DATABASE `{beside}`; CREATE TABLE `{beside}`.theirs (a INT);"
    ));
    assert_eq!(host.put(&dump).expect_err("refused").code, "already_exists");
    host.back();
    assert_eq!(host.sql(&format!("SHOW TABLES IN `{beside}`;")), "theirs\n");
}

#[test]
fn a_server_that_is_away_says_so() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let server = Server::at(&root.path().join("none"));
    let (paths, lease) = (Paths::under(root.path()), crate::fixture::lease("d1"));
    let restore = Restore::new(&server, &paths, &lease, SHOP).expect("a name");
    assert_eq!(
        put(&restore, b"").expect_err("away").code,
        "database_unreachable"
    );
    // Nothing was begun, so there is nothing to ask the server for.
    assert!(!restore.swap_back().expect("nothing to do").changed);
}
