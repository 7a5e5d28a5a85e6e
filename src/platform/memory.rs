//! How much memory this process may use.

use std::path::Path;

/// Taken where the system does not say.
const UNKNOWN_BYTES: u64 = 2 << 30;

/// The machine's memory, or the control group's bound where that is less.
pub fn memory_bytes() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let group = std::fs::read_to_string(Path::new("/sys/fs/cgroup/memory.max")).ok();
    let group = group.and_then(|text| text.trim().parse().ok());
    machine.into_iter().chain(group).min().unwrap_or(UNKNOWN_BYTES)
}

/// `MemTotal:  16384 kB`
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_its_memory() {
        assert_eq!(total("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16_777_216));
        assert_eq!(total("nothing"), None);
        assert!(memory_bytes() > 1 << 20);
    }
}
