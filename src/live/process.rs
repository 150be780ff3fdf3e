//! The operating system's numbers about this process, on Linux and Windows.

use crate::metrics::ProcessState;

#[cfg(target_os = "linux")]
pub(super) use linux::state;
#[cfg(windows)]
pub(super) use windows::state;

#[cfg(not(any(target_os = "linux", windows)))]
pub(super) fn state() -> ProcessState {
    ProcessState::default()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::sync::OnceLock;
    use std::time::Duration;

    use procfs::process::{LimitValue, Process, Stat};
    use procfs::{boot_time_secs, page_size, ticks_per_second};

    use super::ProcessState;

    pub(in crate::live) fn state() -> ProcessState {
        let Ok(process) = Process::myself() else {
            return ProcessState::default();
        };
        let stat = process.stat().ok();
        let stat = stat.as_ref();
        let limits = process.limits().ok();
        let limits = limits.as_ref();
        let network = fs::read_to_string("/proc/self/net/netstat").unwrap_or_default();
        ProcessState {
            cpu: stat.map(|stat| ticks(stat.utime.saturating_add(stat.stime))),
            open_fds: process.fd_count().ok().map(|fds| fds as u64),
            max_fds: limits.map(|limits| value(limits.max_open_files.soft_limit)),
            virtual_memory: stat.map(|stat| stat.vsize),
            max_virtual_memory: limits.map(|limits| value(limits.max_address_space.soft_limit)),
            resident_memory: stat.map(|stat| stat.rss.saturating_mul(page_size())),
            started: started(stat),
            threads: stat.and_then(|stat| u64::try_from(stat.num_threads).ok()),
            received: octets(&network, "InOctets"),
            transmitted: octets(&network, "OutOctets"),
        }
    }

    /// Returns when the process started, since the Unix epoch. Computed once: the kernel adjusts
    /// the boot time whenever the clock is set, and a start time that moves would look like a
    /// restart.
    fn started(stat: Option<&Stat>) -> Option<Duration> {
        static STARTED: OnceLock<Option<Duration>> = OnceLock::new();
        *STARTED.get_or_init(|| {
            let boot = Duration::from_secs(boot_time_secs().ok()?);
            Some(boot + ticks(stat?.starttime))
        })
    }

    /// Converts clock ticks, usually hundredths of a second.
    fn ticks(ticks: u64) -> Duration {
        let in_a_second = ticks_per_second().max(1);
        let rest = (ticks % in_a_second) as f64 / in_a_second as f64;
        Duration::from_secs(ticks / in_a_second) + Duration::from_secs_f64(rest)
    }

    fn value(limit: LimitValue) -> u64 {
        match limit {
            LimitValue::Unlimited => u64::MAX,
            LimitValue::Value(value) => value,
        }
    }

    /// Returns a value of `IpExt`: one line has the names, the next one the values in the same
    /// order.
    fn octets(network: &str, name: &str) -> Option<u64> {
        let mut lines = network.lines().filter(|line| line.starts_with("IpExt:"));
        let names = lines.next()?.split_ascii_whitespace();
        let values = lines.next()?.split_ascii_whitespace();
        let (_, value) = names.zip(values).find(|(other, _)| *other == name)?;
        value.parse().ok()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn octets_are_found_by_the_name_in_the_line_above() {
            let network = "TcpExt: InOctets ArpFilter\nTcpExt: 1 2\n\
                IpExt: InNoRoutes InOctets OutOctets\nIpExt: 3 4 5\n";
            assert_eq!(octets(network, "InOctets"), Some(4));
            assert_eq!(octets(network, "OutOctets"), Some(5));
            assert_eq!(octets(network, "InMcastOctets"), None);
            assert_eq!(octets("", "InOctets"), None);
        }
    }
}

#[cfg(windows)]
mod windows {
    use std::time::Duration;

    use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, get_current_pid};

    use super::ProcessState;

    pub(in crate::live) fn state() -> ProcessState {
        this_process().unwrap_or_default()
    }

    fn this_process() -> Option<ProcessState> {
        let pid = get_current_pid().ok()?;
        let mut system = System::new().ok()?;
        let kind = ProcessRefreshKind::nothing().with_cpu().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, kind);
        let process = system.process(pid)?;
        Some(ProcessState {
            cpu: Some(Duration::from_millis(process.accumulated_cpu_time())),
            // Windows counts handles. The client library of Go reports them under this name, too.
            open_fds: process
                .open_files()
                .and_then(|handles| known(handles as u64)),
            virtual_memory: known(process.virtual_memory()),
            resident_memory: known(process.memory()),
            started: known(process.start_time()).map(Duration::from_secs),
            ..ProcessState::default()
        })
    }

    /// Returns `None` for 0, which stands for an unknown number.
    fn known(number: u64) -> Option<u64> {
        (number > 0).then_some(number)
    }
}
