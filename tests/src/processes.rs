//! What every process of this machine shows of itself: its arguments and its environment, watched for a while.
//!
//! Promise: all processes, those inside the booted servers too, because their kernel is this one's; a process that lives
//! shorter than a look may be missed, so looks follow each other closely.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Because a program that is started for one command lives for some tens of milliseconds.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Looks until it is asked what it saw.
pub struct Watch {
    stop: Arc<AtomicBool>,
    looks: JoinHandle<BTreeSet<Vec<u8>>>,
}

impl Watch {
    /// From now on.
    pub fn begin() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let until = stop.clone();
        let looks = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !until.load(Ordering::Relaxed) {
                look(&mut seen);
                std::thread::sleep(BETWEEN_LOOKS);
            }
            seen
        });
        Self { stop, looks }
    }

    /// All that was seen, one process a line.
    pub fn end(self) -> String {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.looks.join().expect("the looks end");
        let lines = seen.iter().map(|text| String::from_utf8_lossy(text));
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn look(seen: &mut BTreeSet<Vec<u8>>) {
    for process in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let is_process = process.file_name().as_encoded_bytes()[0].is_ascii_digit();
        if !is_process {
            continue;
        }
        for file in ["cmdline", "environ"] {
            // One that ended meanwhile has nothing to show.
            let text = std::fs::read(process.path().join(file)).unwrap_or_default();
            if !text.is_empty() {
                seen.insert(text);
            }
        }
    }
}
