//! Dumps as the reader takes them.
//!
//! Rule held: where a piece ends makes no difference, and only what the client reads as code is code.

use super::*;

fn changes(definer: Definer) -> Changes {
    Changes {
        definer,
        collations: BTreeSet::from(["utf8mb4_bin".to_string()]),
        events: Events::Sleep,
    }
}

/// Read in pieces of this length.
fn read(dump: &str, length: usize) -> Result<String> {
    let mut script = Script::dump(changes(Definer::Strip));
    let (mut all, mut some) = (Vec::new(), Vec::new());
    for piece in dump.as_bytes().chunks(length) {
        script.feed(piece)?;
        script.take(&mut some);
        all.append(&mut some);
    }
    script.end()?;
    script.take(&mut some);
    all.append(&mut some);
    Ok(String::from_utf8(all).expect("text"))
}

#[test]
fn wherever_it_is_cut_a_dump_reads_the_same() {
    let dump = "/*M!999999\\- enable the sandbox mode */ \n-- a 'comment\nCREATE TABLE `a``;b` (t TEXT COLLATE utf8mb4_0900_ai_ci) /* ; */;\n\
        INSERT INTO `t` VALUES ('it''s \\'; DEFINER=`a`@`b`', -5, 0xAB, '\n-- Dump completed');\n\
        /*!50001 CREATE*/ /*!50017 DEFINER=`ro``ot`@`%`*/ /*!50003 VIEW `v` AS select 1 */;\n\
        DELIMITER ;;\nCREATE DEFINER=a@localhost EVENT `e` ON SCHEDULE EVERY 1 DAY ENABLE DO BEGIN SELECT 1; SELECT 'ENABLE'; END ;;\nDELIMITER ;\n\
        ALTER DATABASE `shop` CHARACTER SET utf8mb4;\nSET sql_mode = 'NO_BACKSLASH_ESCAPES';\nINSERT INTO t VALUES ('\\');\n-- Dump completed\n";
    let whole = read(dump, dump.len()).expect("read");
    for length in 1..80 {
        assert_eq!(read(dump, length).expect("read"), whole, "{length}");
    }
    for part in [
        "TEXT COLLATE utf8mb4_unicode_520_ci)",
        "('it''s \\'; DEFINER=`a`@`b`', -5, 0xAB, '\n-- Dump completed');",
        "/*!50001 CREATE*/ /*!50017 */ /*!50003 VIEW `v`",
        "CREATE  EVENT `e` ON SCHEDULE EVERY 1 DAY DISABLE DO BEGIN SELECT 1; SELECT 'ENABLE'; END ;;",
        "ALTER DATABASE  CHARACTER SET utf8mb4;",
    ] {
        assert!(whole.contains(part), "{part} in {whole}");
    }
    assert!(!whole.contains("999999") && !whole.contains("a 'comment"));
}

#[test]
fn the_last_line_counts_only_where_it_is_the_last() {
    for cut in [
        "",
        "CREATE TABLE t (a INT);\n",
        "-- Dump completed\nSET @a = 1;\n",
        "INSERT INTO t VALUES ('\n-- Dump completed\n",
        "/* \n-- Dump completed\n",
    ] {
        assert_eq!(
            read(cut, 7).expect_err("cut").code,
            "dump_incomplete",
            "{cut}"
        );
    }
    for whole in [
        "-- Dump completed",
        "SET @a = 1;\n\n-- Dump completed on 2026-01-01  1:02:03\n\n",
    ] {
        assert!(read(whole, 7).is_ok(), "{whole}");
    }
}

#[test]
fn a_statement_in_which_the_client_could_see_a_command_is_not_made() {
    let one = |text: &str, mode: &str| {
        Script::one(
            text.as_bytes(),
            mode,
            changes(Definer::Be("`s`@`h`".into())),
        )
    };
    let made = one("CREATE DEFINER=`a`@`b` PROCEDURE `p`() SELECT '\\C'", "").expect("made");
    assert_eq!(
        made,
        b"CREATE DEFINER=`s`@`h`  PROCEDURE `p`() SELECT '\\C'"
    );
    assert!(
        one(
            "CREATE PROCEDURE p() SELECT 1 /*!99999 '*/ ' \\C gbk ' */ '",
            ""
        )
        .is_err()
    );
    assert!(
        one(
            "CREATE PROCEDURE p() SELECT 'a\\' \\C gbk",
            "NO_BACKSLASH_ESCAPES"
        )
        .is_err()
    );
    assert!(one("CREATE VIEW v AS SELECT 1; DROP DATABASE other", "").is_err());
    assert!(one("CREATE VIEW v AS SELECT 'open", "").is_err());
}
