//! The keys of the Compose specification, and which of them stay within a service's own containers.
//!
//! Promise: each key of the specification stands in exactly one list; a key that stands in none is refused.

use protocol::release::Allowance;

/// Harmless whatever they say.
pub const HARMLESS: [&str; 51] = [
    "attach",
    "blkio_config",
    "cap_drop",
    "command",
    "configs",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_shares",
    "cpus",
    "cpuset",
    "depends_on",
    "dns",
    "dns_opt",
    "dns_search",
    "domainname",
    "entrypoint",
    "environment",
    "expose",
    "extra_hosts",
    "group_add",
    "healthcheck",
    "hostname",
    "image",
    "init",
    "links",
    "mac_address",
    "mem_limit",
    "mem_reservation",
    "mem_swappiness",
    "memswap_limit",
    "pids_limit",
    "platform",
    "ports",
    "profiles",
    "pull_policy",
    "pull_refresh_after",
    "read_only",
    "restart",
    "scale",
    "secrets",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "tmpfs",
    "tty",
    "user",
    "working_dir",
    // Resolved by Compose, and gone from what it prints.
    "extends",
];

/// Refused whatever they say, with what an owner may allow.
pub const REFUSED: [(&str, Option<Allowance>); 24] = [
    ("annotations", Some(Allowance::SecurityOptions)),
    ("build", None),
    ("cap_add", Some(Allowance::Capabilities)),
    ("cgroup_parent", Some(Allowance::SecurityOptions)),
    ("container_name", Some(Allowance::External)),
    ("cpu_rt_period", Some(Allowance::SecurityOptions)),
    ("cpu_rt_runtime", Some(Allowance::SecurityOptions)),
    ("credential_spec", None),
    ("develop", None),
    ("device_cgroup_rules", Some(Allowance::Devices)),
    ("devices", Some(Allowance::Devices)),
    ("env_file", None),
    ("external_links", Some(Allowance::External)),
    ("gpus", Some(Allowance::Devices)),
    ("label_file", None),
    ("models", None),
    ("oom_kill_disable", Some(Allowance::SecurityOptions)),
    ("privileged", Some(Allowance::Privileged)),
    ("provider", None),
    ("runtime", Some(Allowance::SecurityOptions)),
    ("storage_opt", Some(Allowance::SecurityOptions)),
    ("sysctls", Some(Allowance::SecurityOptions)),
    ("use_api_socket", Some(Allowance::DockerSocket)),
    ("volumes_from", Some(Allowance::External)),
];

/// Judged by what they say, in [`super::service`].
pub const JUDGED: [&str; 17] = [
    "cgroup",
    "deploy",
    "ipc",
    "isolation",
    "labels",
    "logging",
    "network_mode",
    "networks",
    "oom_score_adj",
    "pid",
    "post_start",
    "pre_stop",
    "security_opt",
    "ulimits",
    "userns_mode",
    "uts",
    "volumes",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Of the service in the Compose specification's schema.
    const SPECIFICATION: &str = "annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command \
        configs container_name cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus \
        cpuset credential_spec depends_on deploy develop device_cgroup_rules devices dns dns_opt dns_search domainname \
        entrypoint env_file environment expose extends external_links extra_hosts gpus group_add healthcheck hostname \
        image init ipc isolation label_file labels links logging mac_address mem_limit mem_reservation mem_swappiness \
        memswap_limit models network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform ports \
        post_start pre_stop privileged profiles provider pull_policy pull_refresh_after read_only restart runtime scale \
        secrets security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits \
        use_api_socket user userns_mode uts volumes volumes_from working_dir";

    #[test]
    fn every_key_of_the_specification_stands_in_one_list() {
        let all: Vec<&str> = HARMLESS
            .into_iter()
            .chain(REFUSED.map(|(key, _)| key))
            .chain(JUDGED)
            .collect();
        let once: BTreeSet<&str> = all.iter().copied().collect();
        assert_eq!(once.len(), all.len(), "a key stands in two lists");
        assert_eq!(once, SPECIFICATION.split_whitespace().collect());
    }
}
