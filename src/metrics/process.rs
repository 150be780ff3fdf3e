//! Metrics of the process, with the names and help texts of the official client libraries of
//! Prometheus.

use std::time::Duration;

use super::Family;
use super::catalog::{
    PROCESS_CPU, PROCESS_MAX_FDS, PROCESS_OPEN_FDS, PROCESS_RECEIVED, PROCESS_RESIDENT,
    PROCESS_START, PROCESS_THREADS, PROCESS_TRANSMITTED, PROCESS_VIRTUAL, PROCESS_VIRTUAL_MAX,
};

/// The system's measurements of this process. One that the system does not offer is `None`, and has
/// no sample.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessState {
    /// Processor time, in user mode and in the kernel.
    pub cpu: Option<Duration>,
    pub open_fds: Option<u64>,
    /// `u64::MAX` if there is no limit, as the client library of Go reports it.
    pub max_fds: Option<u64>,
    /// In bytes.
    pub virtual_memory: Option<u64>,
    /// In bytes; `u64::MAX` if there is no limit.
    pub max_virtual_memory: Option<u64>,
    /// In bytes.
    pub resident_memory: Option<u64>,
    /// The time when the process started, since the Unix epoch.
    pub started: Option<Duration>,
    pub threads: Option<u64>,
    /// Bytes of IP packets that this network namespace received.
    pub received: Option<u64>,
    /// Bytes of IP packets that this network namespace sent.
    pub transmitted: Option<u64>,
}

impl ProcessState {
    /// Returns the metrics that have a value.
    pub(super) fn samples(&self) -> impl Iterator<Item = (Family, f64)> {
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        let number = |number: Option<u64>| number.map(|number| number as f64);
        let samples = [
            (PROCESS_CPU, seconds(self.cpu)),
            (PROCESS_OPEN_FDS, number(self.open_fds)),
            (PROCESS_MAX_FDS, number(self.max_fds)),
            (PROCESS_VIRTUAL, number(self.virtual_memory)),
            (PROCESS_VIRTUAL_MAX, number(self.max_virtual_memory)),
            (PROCESS_RESIDENT, number(self.resident_memory)),
            (PROCESS_START, seconds(self.started)),
            (PROCESS_THREADS, number(self.threads)),
            (PROCESS_RECEIVED, number(self.received)),
            (PROCESS_TRANSMITTED, number(self.transmitted)),
        ];
        let known = samples.into_iter();
        known.filter_map(|(family, value)| Some((family, value?)))
    }
}
