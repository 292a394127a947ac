//! What a site's database may hold, and comes back whole.

use crate::fixture::{Host, SHOP, assert_same};

/// One of everything that is known to be lost on the way somewhere.
pub const EVERYTHING: &str = r#"
SET sql_mode = '';
CREATE TABLE parents (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50)) ENGINE=InnoDB AUTO_INCREMENT=4711;
CREATE TABLE children (id INT PRIMARY KEY, parent INT, CONSTRAINT fk_named FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE CASCADE, FOREIGN KEY (parent) REFERENCES parents (id)) ENGINE=InnoDB;
INSERT INTO parents VALUES (1, 'emoji 😀 ü'), (2, 'it''s; -- Dump completed\n'), (3, '\\!');
INSERT INTO children VALUES (10, 1), (11, 2);
CREATE TABLE loops (id INT PRIMARY KEY, up INT, FOREIGN KEY (up) REFERENCES loops (id)) ENGINE=InnoDB;
INSERT INTO loops VALUES (1, NULL), (2, 1);
CREATE TABLE dates (d DATE NOT NULL DEFAULT '0000-00-00', t DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00', s TIMESTAMP NULL);
INSERT INTO dates VALUES ('0000-00-00', '0000-00-00 00:00:00', '2020-02-02 02:02:02'), ('2024-02-30', '2024-00-01 00:00:00', NULL);
CREATE TABLE odd_types (id INT PRIMARY KEY AUTO_INCREMENT, b BIT(9), g GEOMETRY, bin VARBINARY(99), bl LONGBLOB, j JSON, dec1 DECIMAL(30,10), f DOUBLE, i INET6, u UUID);
INSERT INTO odd_types VALUES (1, b'101010101', ST_GeomFromText('POINT(1 2)'), 0x00FF5C27220A1A, 0x27275C0000FF, '{"a":"\\"b"}', -1.5, 1e300, '::1', UUID()), (-5, NULL, NULL, '', NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE generated (a INT, b INT AS (a * 2) VIRTUAL, c INT AS (a + 1) STORED, KEY (c));
INSERT INTO generated (a) VALUES (1), (NULL);
CREATE TABLE latin (t VARCHAR(20) COLLATE latin1_german1_ci) DEFAULT CHARSET=latin1;
INSERT INTO latin VALUES ('äöü');
CREATE TABLE mine (a INT, FULLTEXT KEY (t), t TEXT) ENGINE=MyISAM; INSERT INTO mine VALUES (1, 'full text');
CREATE TABLE ours (a INT) ENGINE=Aria; INSERT INTO ours VALUES (1);
CREATE TABLE ft (id INT PRIMARY KEY, t TEXT, FULLTEXT KEY (t)) ENGINE=InnoDB; INSERT INTO ft VALUES (1, 'words');
CREATE TABLE parts (id INT PRIMARY KEY, y INT) PARTITION BY HASH (id) PARTITIONS 3; INSERT INTO parts VALUES (1, 1), (2, 2);
CREATE TABLE `select` (`from` INT, `a``b` INT, `c"d` INT); INSERT INTO `select` VALUES (1, 2, 3);
CREATE TABLE `odd - na/me.éЖ`(a INT) ; CREATE TABLE `back``tick``` (a INT); INSERT INTO `back``tick``` VALUES (7);
CREATE TABLE `CREATE TABLE ``x``` (a INT); CREATE TABLE zero_id (id INT PRIMARY KEY AUTO_INCREMENT);
SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'; INSERT INTO zero_id VALUES (0); SET sql_mode = '';
CREATE SEQUENCE numbers START WITH 7 INCREMENT BY 3; SELECT NEXTVAL(numbers), NEXTVAL(numbers);
CREATE TABLE log (id INT PRIMARY KEY AUTO_INCREMENT, t TEXT);
CREATE VIEW a_first AS SELECT id, name FROM z_second;
CREATE OR REPLACE VIEW z_second AS SELECT id, name FROM parents WHERE name <> 'DEFINER=`x`@`y`';
CREATE OR REPLACE SQL SECURITY INVOKER VIEW a_first AS SELECT id, name FROM z_second;
DELIMITER //
CREATE DEFINER=`shop_ab`@`localhost` FUNCTION twice(a INT) RETURNS VARCHAR(200) DETERMINISTIC SQL SECURITY INVOKER
BEGIN
  -- a comment; with 'a quote
  RETURN CONCAT('DEFINER=`root`@`localhost` ', a * 2, ' \\! ', "; //", '-- Dump completed');
END//
CREATE DEFINER=`shop_ab`@`localhost` PROCEDURE note_it(IN t TEXT) COMMENT 'DEFINER=`a`@`b`'
BEGIN INSERT INTO log (t) VALUES (t); /* a block ' comment */ END//
SET sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES'//
CREATE DEFINER=`shop_ab`@`localhost` FUNCTION slash() RETURNS TEXT DETERMINISTIC RETURN 'a\'//
SET sql_mode = ''//
CREATE DEFINER=`shop_ab`@`localhost` TRIGGER before_child BEFORE INSERT ON children FOR EACH ROW BEGIN INSERT INTO log (t) VALUES (CONCAT('first ', NEW.id)); END//
CREATE DEFINER=`shop_ab`@`localhost` TRIGGER a_second BEFORE INSERT ON children FOR EACH ROW FOLLOWS before_child INSERT INTO log (t) VALUES ('second')//
CREATE DEFINER=`shop_ab`@`localhost` TRIGGER `odd;``name` AFTER DELETE ON `select` FOR EACH ROW SET @x = OLD.`from`//
CREATE DEFINER=`shop_ab`@`localhost` EVENT daily ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' COMMENT 'DISABLE' DO BEGIN DELETE FROM log WHERE id = -1; END//
CREATE DEFINER=`shop_ab`@`localhost` EVENT asleep ON SCHEDULE EVERY 1 HOUR STARTS '2037-01-01 00:00:00' DISABLE DO DELETE FROM log WHERE id = -2//
DELIMITER ;
CREATE DEFINER=`shop_ab`@`localhost` VIEW with_function AS SELECT twice(id) AS t FROM parents;
"#;

/// [`EVERYTHING`] in the site's database, with the site's own account as definer throughout.
pub fn fill(host: &Host) {
    let text = EVERYTHING
        .replace("CREATE VIEW a_first AS SELECT id, name FROM z_second;", "")
        .replace(
            "CREATE OR REPLACE VIEW",
            "CREATE OR REPLACE DEFINER=`shop_ab`@`localhost` VIEW",
        )
        .replace(
            "CREATE OR REPLACE SQL SECURITY INVOKER VIEW",
            "CREATE OR REPLACE DEFINER=`shop_ab`@`localhost` SQL SECURITY INVOKER VIEW",
        );
    host.script(SHOP, &text);
}

/// Another state, told from the first at each place.
pub fn disturb(host: &Host) {
    host.script(
        SHOP,
        "SET foreign_key_checks = 0; DROP TABLE `select`, dates; DELETE FROM parents WHERE id = 1; \
         DROP VIEW a_first, with_function; DROP FUNCTION twice; DROP TRIGGER before_child; DROP EVENT daily; \
         CREATE DEFINER=root@localhost PROCEDURE other() SELECT 1; CREATE TABLE a_first (a INT); INSERT INTO a_first VALUES (1), (2); \
         CREATE TABLE brand_new (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parents (id)); \
         CREATE DEFINER=root@localhost TRIGGER other_trigger AFTER INSERT ON brand_new FOR EACH ROW SET @y = 1; \
         CREATE DEFINER=root@localhost VIEW other_view AS SELECT * FROM brand_new;",
    );
}

#[test]
fn all_a_database_may_hold_survives_a_restore() {
    let host = Host::up();
    fill(&host);
    let before = host.picture();
    let dump = host.dump(SHOP);
    disturb(&host);
    let disturbed = host.picture();
    assert_ne!(before, disturbed);
    let restored = host.put(&dump).expect("restored");
    assert_eq!(restored.notes, Vec::<String>::new());
    assert_same(&host.picture(), &before, "");
    host.back();
    assert_same(&host.picture(), &disturbed, "");
    host.assert_clean();
}

#[test]
fn a_trigger_survives_a_restore() {
    let host = Host::up();
    fill(&host);
    let dump = host.dump(SHOP);
    host.sql(&format!("DROP TRIGGER {SHOP}.before_child;"));
    host.put(&dump).expect("restored");
    let log = host.sql(&format!(
        "INSERT INTO {SHOP}.children VALUES (12, 3); SELECT t FROM {SHOP}.log ORDER BY id;"
    ));
    assert_eq!(log, "first 12\nsecond\n");
}

#[test]
fn foreign_keys_point_at_the_restored_tables() {
    let host = Host::up();
    fill(&host);
    let dump = host.dump(SHOP);
    host.put(&dump).expect("restored");
    assert!(
        host.server
            .sql(&format!("INSERT INTO {SHOP}.children VALUES (99, 999);"))
            .is_err()
    );
    let rest = host.sql(&format!(
        "DELETE FROM {SHOP}.children WHERE parent = 2; INSERT INTO {SHOP}.children VALUES (12, 3);\
         SELECT DISTINCT unique_constraint_schema FROM information_schema.referential_constraints WHERE constraint_schema = '{SHOP}';\
         SELECT COUNT(*) FROM information_schema.referential_constraints WHERE constraint_schema = '{SHOP}';"
    ));
    assert_eq!(rest, format!("{SHOP}\n3\n"));
    host.restore().clean_up().expect("cleaned up");
    host.sql(&format!("INSERT INTO {SHOP}.children VALUES (13, 3);"));
    host.assert_clean();
}

#[test]
fn an_empty_database_is_dumped_and_restored() {
    let host = Host::up();
    let dump = host.dump(SHOP);
    let empty = host.picture();
    fill(&host);
    let full = host.picture();
    assert_eq!(host.put(&dump).expect("restored").tables, 0);
    assert_same(&host.picture(), &empty, "");
    host.back();
    assert_same(&host.picture(), &full, "");
}

#[test]
fn a_thousand_tables_change_places_at_once() {
    let host = Host::up();
    let tables: String = (0..1000)
        .map(|n| format!("CREATE TABLE t{n} (a INT); INSERT INTO t{n} VALUES ({n});"))
        .collect();
    host.script(SHOP, &tables);
    let dump = host.dump(SHOP);
    host.sql(&format!(
        "UPDATE {SHOP}.t999 SET a = 0; DROP TABLE {SHOP}.t5;"
    ));
    assert_eq!(host.put(&dump).expect("restored").tables, 1000);
    assert_eq!(
        host.sql(&format!(
            "SELECT a FROM {SHOP}.t999; SELECT a FROM {SHOP}.t5;"
        )),
        "999\n5\n"
    );
    host.back();
    assert_eq!(host.sql(&format!("SELECT a FROM {SHOP}.t999;")), "0\n");
    host.assert_clean();
}

#[test]
fn a_view_in_another_character_set_comes_back_as_it_was() {
    let host = Host::up();
    host.script(SHOP, "CREATE TABLE t (a INT);");
    let latin = host.client(SHOP, &["--default-character-set=latin1"], "");
    assert!(latin.status.success());
    host.script(
        SHOP,
        "SET NAMES latin1; CREATE DEFINER=`shop_ab`@`localhost` VIEW v AS SELECT 'é' AS c;\n\
         CREATE DEFINER=`shop_ab`@`localhost` FUNCTION f() RETURNS VARCHAR(9) CHARSET utf8mb4 DETERMINISTIC RETURN 'é';",
    );
    let look = format!("SELECT HEX(c) FROM {SHOP}.v; SELECT HEX({SHOP}.f());");
    let (before, picture) = (host.sql(&look), host.picture());
    let dump = host.dump(SHOP);
    host.put(&dump).expect("restored");
    assert_eq!(
        (host.sql(&look), host.picture()),
        (before.clone(), picture.clone())
    );
    host.back();
    assert_eq!((host.sql(&look), host.picture()), (before, picture));
}

#[test]
fn the_charset_of_the_database_itself_is_kept() {
    let host = Host::up();
    host.script(SHOP, "CREATE DEFINER=`shop_ab`@`localhost` FUNCTION f(a TEXT) RETURNS INT DETERMINISTIC RETURN 1; ALTER DATABASE shop_ab COLLATE utf8mb4_bin;");
    let before = host.picture();
    let dump = host.dump(SHOP);
    assert!(host.dump_text(SHOP).contains("ALTER DATABASE `shop_ab`"));
    host.put(&dump).expect("restored");
    assert_same(&host.picture(), &before, "");
    host.back();
    assert_same(&host.picture(), &before, "");
    host.assert_clean();
}
