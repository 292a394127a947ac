//! What a container may use at most.
//!
//! Promise: a file that asks for less gets less; one that asks for more is lowered, and that is said.

use protocol::release::Limits;
use serde_json::{Map, Value, json};

/// Docker's log files: the oldest goes when the newest is full. Two keep half of the lines at every moment.
const LOG_FILES: u64 = 2;
/// Docker takes no less memory than this.
const LEAST_MEMORY_BYTES: u64 = 6 * 1024 * 1024;
/// The drivers whose files the engine keeps on this server.
const FILES_OF_THE_ENGINE: [&str; 2] = ["json-file", "local"];

/// Set them in a service of the model; notes for people are added.
pub fn set(name: &str, service: &mut Map<String, Value>, limits: &Limits, notes: &mut Vec<String>) {
    move_out_of_deploy(service);
    processors(name, service, limits, notes);
    memory(name, service, limits, notes);
    log(name, service, limits, notes);
}

/// Compose has two places for each limit, and refuses a file that fills both: one is enough.
fn move_out_of_deploy(service: &mut Map<String, Value>) {
    let Some(deploy) = service.remove("deploy") else {
        return;
    };
    let mut put = |name: &str, value: &Value| {
        if !value.is_null() && !service.contains_key(name) {
            service.insert(name.to_string(), value.clone());
        }
    };
    let resources = &deploy["resources"];
    put("cpus", &resources["limits"]["cpus"]);
    put("mem_limit", &resources["limits"]["memory"]);
    put("pids_limit", &resources["limits"]["pids"]);
    put("mem_reservation", &resources["reservations"]["memory"]);
    let restart = match deploy["restart_policy"]["condition"].as_str() {
        Some("none") => json!("no"),
        Some("on-failure") => match deploy["restart_policy"]["max_attempts"].as_u64() {
            Some(attempts) => json!(format!("on-failure:{attempts}")),
            None => json!("on-failure"),
        },
        Some("any") => json!("unless-stopped"),
        _ => Value::Null,
    };
    put("restart", &restart);
    let devices = &resources["reservations"]["devices"];
    if devices.is_array() {
        let kept = json!({ "resources": { "reservations": { "devices": devices } } });
        service.insert("deploy".into(), kept);
    }
}

fn processors(
    name: &str,
    service: &mut Map<String, Value>,
    limits: &Limits,
    notes: &mut Vec<String>,
) {
    let Some(most) = limits.milli_cpus.map(|milli| f64::from(milli) / 1000.0) else {
        return;
    };
    // The older form of the same: so much of each period.
    let period = service
        .remove("cpu_period")
        .and_then(|value| number(&value))
        .unwrap_or(100_000.0);
    let quota = service.remove("cpu_quota").and_then(|value| number(&value));
    let of_quota = quota
        .filter(|quota| *quota > 0.0)
        .map(|quota| quota / period);
    let own = service
        .get("cpus")
        .and_then(number)
        .filter(|cpus| *cpus > 0.0)
        .or(of_quota);
    if let Some(own) = own.filter(|own| *own > most) {
        notes.push(format!(
            "{name}: {own} processors are lowered to {most}, the environment's limit"
        ));
    }
    service.insert("cpus".into(), json!(own.map_or(most, |own| own.min(most))));
}

fn memory(name: &str, service: &mut Map<String, Value>, limits: &Limits, notes: &mut Vec<String>) {
    let Some(most) = limits
        .memory_bytes
        .map(|bytes| bytes.max(LEAST_MEMORY_BYTES))
    else {
        return;
    };
    let own = service
        .get("mem_limit")
        .and_then(bytes)
        .filter(|own| *own > 0);
    if let Some(own) = own.filter(|own| *own > most) {
        notes.push(format!(
            "{name}: {} MB of memory are lowered to {} MB, the environment's limit",
            own >> 20,
            most >> 20
        ));
    }
    let limit = own.map_or(most, |own| own.min(most));
    service.insert("mem_limit".into(), json!(limit.to_string()));
    if service
        .get("mem_reservation")
        .and_then(bytes)
        .is_some_and(|own| own > limit)
    {
        service.insert("mem_reservation".into(), json!(limit.to_string()));
    }
    // Memory and swap in one number, -1 for any: it may not be less than the memory alone.
    if service
        .get("memswap_limit")
        .is_some_and(|own| bytes(own).is_none_or(|own| own < limit || own > 2 * limit))
    {
        service.insert("memswap_limit".into(), json!((2 * limit).to_string()));
    }
}

fn log(name: &str, service: &mut Map<String, Value>, limits: &Limits, notes: &mut Vec<String>) {
    let logging = service.entry("logging").or_insert_with(|| json!({}));
    let driver = logging["driver"].as_str().unwrap_or_default();
    if !driver.is_empty() && !FILES_OF_THE_ENGINE.contains(&driver) {
        return;
    }
    let driver = if driver.is_empty() {
        "json-file"
    } else {
        driver
    }
    .to_string();
    let mut options = logging["options"].as_object().cloned().unwrap_or_default();
    let size = options.get("max-size").and_then(bytes);
    let files = options
        .get("max-file")
        .and_then(number)
        .filter(|files| *files >= 1.0);
    let own = size.map(|size| size.saturating_mul(files.map_or(1, |files| files as u64)));
    if own.is_none_or(|own| own > limits.log_bytes) {
        if let Some(own) = own {
            notes.push(format!(
                "{name}: {} MB of log are lowered to {} MB, the environment's limit",
                own >> 20,
                limits.log_bytes >> 20
            ));
        }
        let each = (limits.log_bytes / LOG_FILES).max(1);
        options.insert("max-size".into(), json!(each.to_string()));
        options.insert("max-file".into(), json!(LOG_FILES.to_string()));
    }
    *logging = json!({ "driver": driver, "options": options });
}

fn number(value: &Value) -> Option<f64> {
    value
        .as_f64()
        .or_else(|| value.as_str()?.trim().parse().ok())
}

/// `1048576`, `10m`, `1g`, `512kb`: as Compose and the engine read sizes.
fn bytes(value: &Value) -> Option<u64> {
    if let Some(plain) = value.as_u64() {
        return Some(plain);
    }
    let text = value.as_str()?.trim().to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let shift = match text[digits.len()..]
        .trim()
        .trim_end_matches('b')
        .trim_end_matches('i')
    {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(service: Value, limits: &Limits) -> (Map<String, Value>, Vec<String>) {
        let mut service = service.as_object().expect("an object").clone();
        let mut notes = Vec::new();
        set("web", &mut service, limits, &mut notes);
        (service, notes)
    }

    const LIMITS: Limits = Limits {
        milli_cpus: Some(500),
        memory_bytes: Some(64 << 20),
        log_bytes: 10 << 20,
    };

    #[test]
    fn what_the_file_does_not_say_is_limited() {
        let (service, notes) = limited(json!({}), &LIMITS);
        assert_eq!(
            (&service["cpus"], &service["mem_limit"]),
            (&json!(0.5), &json!("67108864"))
        );
        assert_eq!(
            service["logging"]["options"],
            json!({"max-size": "5242880", "max-file": "2"})
        );
        assert!(notes.is_empty());
    }

    #[test]
    fn less_stays_and_more_is_lowered_with_a_note() {
        let less = json!({"cpus": 0.25, "mem_limit": "33554432", "memswap_limit": "33554432",
            "logging": {"driver": "local", "options": {"max-size": "1m"}}});
        let (service, notes) = limited(less.clone(), &LIMITS);
        assert_eq!((Value::Object(service), notes), (less, vec![]));
        let more = json!({"deploy": {"replicas": 2, "resources": {"limits": {"cpus": 4, "memory": "1073741824", "pids": 9},
            "reservations": {"memory": "536870912"}}}, "logging": {"options": {"max-size": "1g", "max-file": "3"}}});
        let (service, notes) = limited(more, &LIMITS);
        assert_eq!(
            (&service["cpus"], &service["mem_limit"]),
            (&json!(0.5), &json!("67108864"))
        );
        assert_eq!(
            (&service["mem_reservation"], &service["pids_limit"]),
            (&json!("67108864"), &json!(9))
        );
        assert_eq!((notes.len(), service.contains_key("deploy")), (3, false));
    }

    #[test]
    fn the_older_form_of_a_processor_limit_counts() {
        let (service, notes) = limited(json!({"cpu_quota": 25000}), &LIMITS);
        assert_eq!(
            (
                &service["cpus"],
                notes.len(),
                service.contains_key("cpu_quota")
            ),
            (&json!(0.25), 0, false)
        );
    }

    #[test]
    fn a_log_that_goes_elsewhere_is_left_alone() {
        let (service, _) = limited(json!({"logging": {"driver": "journald"}}), &LIMITS);
        assert_eq!(service["logging"], json!({"driver": "journald"}));
    }

    #[test]
    fn swap_is_never_less_than_memory_or_without_end() {
        let (service, _) = limited(json!({"memswap_limit": "-1"}), &LIMITS);
        assert_eq!(service["memswap_limit"], json!("134217728"));
    }

    #[test]
    fn sizes_are_read_as_the_engine_reads_them() {
        for (text, size) in [
            ("10m", Some(10 << 20)),
            ("1g", Some(1 << 30)),
            ("512kb", Some(512 << 10)),
            ("7", Some(7)),
            ("x", None),
            ("-1", None),
        ] {
            assert_eq!(bytes(&json!(text)), size, "{text}");
        }
    }
}
