//! Dumps and restores against a real MariaDB.
//!
//! Rule held: what was dumped comes back as it was; a restore that is cut short anywhere leaves the old tables or the
//! new ones, and a repeat finishes it or the way back reverses it; a dump reaches nothing but its own database.

#[path = "database/content.rs"]
mod content;
#[path = "database/crashes.rs"]
mod crashes;
#[path = "database/dumps.rs"]
mod dumps;
#[path = "database/fixture.rs"]
mod fixture;
#[path = "database/hostile.rs"]
mod hostile;
#[path = "database/measure.rs"]
mod measure;
#[path = "database/restores.rs"]
mod restores;
