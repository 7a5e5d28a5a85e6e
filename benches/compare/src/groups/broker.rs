//! What the broker's process costs, as the kernel counts it.

use std::fs;

use crate::Outcome;
use crate::arguments::Arguments;

/// Linux's clock ticks per second, as user space sees them.
const TICKS: f64 = 100.0;
const PAGE_BYTES: f64 = 4096.0;

pub struct Broker {
    pid: u32,
    cpu_before: f64,
}

impl Broker {
    /// Counting starts here.
    pub fn watch(arguments: &Arguments) -> Outcome<Broker> {
        let pid = arguments.number("broker_pid")?;
        Ok(Broker { pid, cpu_before: cpu_seconds(pid)? })
    }

    /// The fields `cpu_s` and `rss_mib` of a report.
    pub fn report(&self) -> Outcome<String> {
        let cpu = cpu_seconds(self.pid)? - self.cpu_before;
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.pid))?;
        let pages: f64 = statm.split(' ').nth(1).ok_or("statm without a resident size")?.parse()?;
        Ok(format!(r#""cpu_s":{cpu:.2},"rss_mib":{:.1}"#, pages * PAGE_BYTES / f64::from(1 << 20)))
    }
}

fn cpu_seconds(pid: u32) -> Outcome<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').ok_or("stat without a name")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || -> Outcome<f64> { Ok(fields.next().ok_or("stat ends too early")?.parse::<f64>()?) };
    Ok((ticks()? + ticks()?) / TICKS)
}
