//! Metrics, as CloudWatch's embedded format: a log line that becomes a number.

use crate::Cloud;
use serde_json::json;

/// The namespace of all of them.
pub const NAMESPACE: &str = "Triphammer";

/// How much of something there is now.
#[allow(clippy::print_stdout, reason = "the line is the metric")]
pub fn gauge(cloud: &Cloud, name: &str, value: u64) {
    println!("{}", line(cloud, name, value));
}

fn line(cloud: &Cloud, name: &str, value: u64) -> serde_json::Value {
    json!({
        "_aws": {
            "Timestamp": cloud.clock.milliseconds(),
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [["Stack"]],
                "Metrics": [{"Name": name, "Unit": "Count"}],
            }],
        },
        "Stack": cloud.config.stack,
        name: value,
    })
}
