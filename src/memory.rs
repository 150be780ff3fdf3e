//! Checks at the start whether the limits of flows fit into the available memory.
//!
//! The flow table grows only with the traffic. Without this check, limits that are too high would
//! go unnoticed until the kernel kills the process, perhaps weeks later. The estimate counts
//! allocated bytes at their worst, and tests of the flow table verify the figures for each flow.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

use std::fmt;

use crate::aggregator::Settings;
use crate::flow::FlowLimits;
#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use other as system;

/// Bytes for each flow: a slot of 104 bytes (64 if all its addresses are IPv4), and its share of
/// the index and of the list of exposed flows.
const FLOW: u64 = 128;
/// Bytes for each exposed flow during a scrape, which works on a copy of all flows: writing them
/// while the table is locked would stop the counting.
const COPY: u64 = 120;
/// The same with names: both addresses of each flow, which are looked up.
const NAMES_COPY: u64 = 40;
/// Bytes for each flow with labels of countries or operators, whose addresses are shown: the places of
/// both, which the flow keeps.
const PLACES: u64 = 16;
/// Bytes for the texts of operators: 131,072 of up to 64 bytes, in a hash table.
const OPERATORS: u64 = 131_072 * 160;
/// Bytes for what was worked out for recent packets, if it is not stored with the flows: 65,536 entries of
/// 52 bytes, and 16,384 of 88 for IPv6.
const RESOLUTIONS: u64 = 65_536 * 52 + 16_384 * 88;
/// Bytes for each held flow: 32 in a queue whose capacity doubles when it is full.
const HOLD: u64 = 64;
/// Bytes for each host without its counters: itself, its address in the index, and the copies from
/// which the landing page computes recent traffic.
const HOST: u64 = 272;
/// Bytes for each host and class of its peers: counters of what it sent and received, when they were
/// 0, and when they changed.
const HOST_CLASS: u64 = 58;
/// The same for a scrape, which works on a copy of all series.
const HOST_COPY: u64 = 80;
/// The same if they are held: 32 for each direction in a queue whose capacity doubles, and 24 for
/// each in a copy.
const HOST_HOLD: u64 = 176;
/// Bytes for everything else in the program, rounded up generously.
const PROGRAM: u64 = 16 << 20;
/// Bytes for the maximum number of connections, TLS included.
const CONNECTIONS: u64 = 16 << 20;
/// Bytes for a scrape besides its copy of the flows: a thread, buffers, the sums of all families.
const SCRAPE: u64 = 4 << 20;
const MIB: u64 = 1 << 20;
/// Bytes that a 32-bit program can address: the kernel keeps a fourth of the 4 GiB.
const ADDRESS_SPACE_32: u64 = 3 << 30;

/// The limits of flows and hosts need more memory than a ceiling allows.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge {
    flows: u32,
    idle_flows: u32,
    /// 0 if hosts need little of it.
    hosts: u32,
    /// Bytes; 0 if they need little of it.
    databases: u64,
    holds: bool,
    need: u64,
    ceiling: Ceiling,
}

/// What the memory of a flow table depends on.
#[derive(Debug, Clone, Copy)]
pub struct TableSize {
    limits: FlowLimits,
    /// The number of classes of addresses.
    classes: usize,
    /// Whether addresses have names.
    has_names: bool,
    /// Bytes of databases of countries and network operators.
    databases: u64,
    /// Whether flows have labels of countries or network operators.
    has_places: bool,
    /// Whether the table works out for each packet what it counts in, beyond the values of its labels.
    resolves: bool,
}

/// An upper limit of memory, and its origin.
#[derive(Debug, PartialEq, Eq)]
struct Ceiling {
    bytes: u64,
    origin: String,
}

/// Compares the memory for the limits of flows and hosts with the ceilings of this process. Returns a warning
/// if they exceed the memory of the machine. That is no error, because there may be swap.
///
/// # Errors
/// They exceed a limit of this process, or of its control group.
pub fn check(size: TableSize) -> Result<Option<TooLarge>, TooLarge> {
    match limits().find_map(|ceiling| TooLarge::under(size, ceiling)) {
        Some(refusal) => Err(refusal),
        None => Ok(system::machine().and_then(|machine| TooLarge::under(size, machine))),
    }
}

/// Returns the number of concurrent scrapes that fit into memory, each with its copy of all flows,
/// and the reason, if fewer fit than `wanted` (0: as many as fit). At least 1: a program that
/// answers no scrape would be useless.
#[must_use]
pub fn scrapes_that_fit(size: TableSize, wanted: usize) -> Option<(usize, String)> {
    let ceilings = limits().chain(system::machine());
    let tightest = ceilings.min_by_key(|ceiling| ceiling.bytes)?;
    let fitting = scrapes_under(size, &tightest);
    let Ceiling { bytes, origin } = tightest;
    let why = format!("{origin} allows {} MiB", bytes / MIB);
    (wanted == 0 || fitting < wanted).then_some((fitting, why))
}

/// Returns what this process may use at most.
fn limits() -> impl Iterator<Item = Ceiling> {
    let address_space = (usize::BITS == 32).then(|| Ceiling {
        bytes: ADDRESS_SPACE_32,
        origin: "the address space of a 32-bit program".to_owned(),
    });
    address_space.into_iter().chain(system::limits())
}

fn scrapes_under(size: TableSize, ceiling: &Ceiling) -> usize {
    let room = ceiling
        .bytes
        .saturating_sub(PROGRAM + CONNECTIONS + size.table());
    let scrape = SCRAPE + size.copy();
    usize::try_from(room / scrape).unwrap_or(usize::MAX).max(1)
}

impl TableSize {
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self {
            limits: settings.limits,
            classes: settings.shape.classes.names().count(),
            has_names: false,
            databases: 0,
            has_places: settings.shape.labels.have_places(),
            resolves: !settings.shape.is_direct(),
        }
    }

    /// The same, for a run in which addresses have names.
    #[must_use]
    pub fn with_names(self, has_names: bool) -> Self {
        Self { has_names, ..self }
    }

    /// The same, with databases that take this many bytes.
    #[must_use]
    pub fn with_databases(self, databases: u64) -> Self {
        Self { databases, ..self }
    }

    /// Returns the maximum number of bytes of the table itself, and of the databases.
    fn table(&self) -> u64 {
        let flows = u64::from(self.limits.flows);
        let holds = if self.holds() { flows } else { 0 };
        let [flow, operators] = if self.has_places {
            [FLOW + PLACES, OPERATORS]
        } else {
            [FLOW, 0]
        };
        let flows = (flows + u64::from(self.idle_flows())) * flow + holds * HOLD;
        let resolutions = if self.resolves { RESOLUTIONS } else { 0 };
        flows + resolutions + self.hosts() + self.databases + operators
    }

    /// Returns the maximum number of bytes of the copy that a scrape works on.
    fn copy(&self) -> u64 {
        let series = u64::from(self.limits.hosts) * self.classes as u64;
        let names = if self.has_names { NAMES_COPY } else { 0 };
        u64::from(self.limits.flows) * (COPY + names) + series * HOST_COPY
    }

    /// Returns the part of the table that hosts take.
    fn hosts(&self) -> u64 {
        let holds = if self.holds() { HOST_HOLD } else { 0 };
        let host = HOST + self.classes as u64 * (HOST_CLASS + holds);
        u64::from(self.limits.hosts) * host
    }

    fn idle_flows(&self) -> u32 {
        if self.limits.idle_timeout.is_zero() {
            0
        } else {
            self.limits.idle_flows
        }
    }

    fn holds(&self) -> bool {
        !self.limits.hold.is_zero()
    }
}

impl TooLarge {
    fn under(size: TableSize, ceiling: Ceiling) -> Option<Self> {
        let need = PROGRAM + size.table() + size.copy();
        let has_many_hosts = size.hosts() > need / 4;
        let has_large_databases = size.databases > need / 4;
        (need > ceiling.bytes).then_some(Self {
            flows: size.limits.flows,
            idle_flows: size.idle_flows(),
            hosts: if has_many_hosts { size.limits.hosts } else { 0 },
            databases: if has_large_databases {
                size.databases
            } else {
                0
            },
            holds: size.holds(),
            need,
            ceiling,
        })
    }
}

impl std::error::Error for TooLarge {}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            flows,
            idle_flows,
            hosts,
            databases,
            ..
        } = self;
        let mut also = Vec::new();
        let mut lower = vec!["--max-flows"];
        if *idle_flows > 0 {
            also.push(format!("--max-idle-flows {idle_flows}"));
            lower.push("--max-idle-flows");
        }
        if *hosts > 0 {
            also.push(format!("--max-hosts {hosts}"));
            lower.push("--max-hosts");
        }
        if *databases > 0 {
            also.push(format!("{} MiB of --geo-database", databases.div_ceil(MIB)));
        }
        if self.holds {
            also.push("--hold-new-flows".to_owned());
        }
        write!(f, "--max-flows {flows}")?;
        if !also.is_empty() {
            write!(f, " with {}", also.join(" and "))?;
        }
        write!(
            f,
            " may take {} MiB of memory, and {} allows {} MiB: lower {}, or allow more",
            self.need.div_ceil(MIB),
            self.ceiling.origin,
            self.ceiling.bytes / MIB,
            lower.join(" or ")
        )
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;
    use crate::flow::Flow;

    fn limits(flows: u32, idle_flows: u32, idle_timeout: u64) -> FlowLimits {
        FlowLimits {
            flows,
            idle_flows,
            idle_timeout: Duration::from_secs(idle_timeout),
            hold: Duration::ZERO,
            hide_unseen: false,
            hosts: 0,
        }
    }

    fn size(limits: FlowLimits) -> TableSize {
        TableSize {
            limits,
            classes: 8,
            has_names: false,
            databases: 0,
            has_places: false,
            resolves: false,
        }
    }

    /// 10,000 flows take 10,000 * 248 bytes, and 100,000 idle ones 100,000 * 128.
    #[test]
    fn refuses_limits_of_flows_that_exceed_the_ceiling() {
        const NEED: u64 = 16 * 1_048_576 + 2_480_000 + 12_800_000;
        let ceiling = |bytes| Ceiling {
            bytes,
            origin: "ulimit -v".to_owned(),
        };
        let size = size(limits(10_000, 100_000, 3600));
        assert_eq!(TooLarge::under(size, ceiling(NEED)), None);
        let refusal = TooLarge::under(size, ceiling(NEED - 1)).expect("one byte too few");
        assert_eq!(
            refusal.to_string(),
            "--max-flows 10000 with --max-idle-flows 100000 may take 31 MiB of memory, and \
             ulimit -v allows 30 MiB: lower --max-flows or --max-idle-flows, or allow more"
        );
    }

    #[test]
    fn without_a_timeout_idle_flows_need_no_memory() {
        let ceiling = Ceiling {
            bytes: 64 * MIB,
            origin: "ulimit -v".to_owned(),
        };
        let refusal = TooLarge::under(size(limits(1_000_000, 10_000_000, 0)), ceiling);
        assert_eq!(
            refusal.expect("248 MB are needed").to_string(),
            "--max-flows 1000000 may take 253 MiB of memory, and ulimit -v allows 64 MiB: lower \
             --max-flows, or allow more"
        );
    }

    /// 1000 flows take 1000 * 248 bytes, and a database of 40 MiB is there twice while it is read again.
    #[test]
    fn databases_need_memory() {
        const NEED: u64 = (16 + 80) * MIB + 248_000;
        let size = size(limits(1000, 0, 0)).with_databases(80 * MIB);
        let ceiling = |bytes| Ceiling {
            bytes,
            origin: "ulimit -v".to_owned(),
        };
        assert_eq!(TooLarge::under(size, ceiling(NEED)), None);
        let refusal = TooLarge::under(size, ceiling(NEED - 1)).expect("one byte too few");
        assert_eq!(
            refusal.to_string(),
            "--max-flows 1000 with 80 MiB of --geo-database may take 97 MiB of memory, and ulimit -v \
             allows 96 MiB: lower --max-flows, or allow more"
        );
    }

    /// 100,000 flows take 248 bytes each, and 64 more while they are held.
    #[test]
    fn held_flows_need_more_memory() {
        const NEED: u64 = 16 * 1_048_576 + 100_000 * (248 + 64);
        let refusal = |bytes, idle_timeout| {
            let origin = "ulimit -v".to_owned();
            let limits = FlowLimits {
                hold: Duration::from_secs(15),
                ..limits(100_000, 1, idle_timeout)
            };
            TooLarge::under(size(limits), Ceiling { bytes, origin })
                .map(|refusal| refusal.to_string())
        };
        assert_eq!(refusal(NEED, 0), None);
        assert_eq!(
            refusal(NEED - 1, 0).expect("one byte too few"),
            "--max-flows 100000 with --hold-new-flows may take 46 MiB of memory, and ulimit -v allows \
             45 MiB: lower --max-flows, or allow more"
        );
        assert_eq!(
            refusal(NEED, 3600).expect("128 bytes are missing"),
            "--max-flows 100000 with --max-idle-flows 1 and --hold-new-flows may take 46 MiB of \
             memory, and ulimit -v allows 45 MiB: lower --max-flows or --max-idle-flows, or allow more"
        );
    }

    /// 32 MiB, 100,000 * (128 + 64) bytes, and for each scrape 4 MiB and 100,000 * 120 bytes.
    #[test]
    fn fewer_scrapes_fit_with_held_flows() {
        const BASE: u64 = 32 * 1_048_576 + 19_200_000;
        const SCRAPE: u64 = 4 * 1_048_576 + 12_000_000;
        let scrapes = |bytes| {
            let origin = "ulimit -v".to_owned();
            let limits = FlowLimits {
                hold: Duration::from_secs(15),
                ..limits(100_000, 0, 0)
            };
            scrapes_under(size(limits), &Ceiling { bytes, origin })
        };
        assert_eq!(scrapes(BASE + 3 * SCRAPE), 3);
        assert_eq!(scrapes(BASE + 3 * SCRAPE - 1), 2);
    }

    /// 32 MiB, 110,000 * 128 bytes, and for each scrape 4 MiB and 10,000 * 120 bytes.
    #[test]
    fn returns_the_number_of_scrapes_that_fit() {
        const BASE: u64 = 32 * 1_048_576 + 14_080_000;
        const SCRAPE: u64 = 4 * 1_048_576 + 1_200_000;
        let scrapes = |bytes| {
            let origin = "ulimit -v".to_owned();
            scrapes_under(
                size(limits(10_000, 100_000, 3600)),
                &Ceiling { bytes, origin },
            )
        };
        assert_eq!(scrapes(BASE + 7 * SCRAPE), 7);
        assert_eq!(scrapes(BASE + 7 * SCRAPE - 1), 6);
        assert_eq!(scrapes(BASE - 1), 1);
    }

    /// 50,000 hosts with 10 classes take 50,000 * (272 + 10 * 58) bytes, 50,000 * 10 * 80 more
    /// during a scrape, and 50,000 * 10 * 176 more if they are held.
    #[test]
    fn many_hosts_need_memory() {
        const NEED: u64 = 16 * 1_048_576 + 100 * 248 + 50_000 * (852 + 800);
        let refusal = |bytes, hold| {
            let limits = FlowLimits {
                hosts: 50_000,
                hold: Duration::from_secs(hold),
                ..limits(100, 0, 0)
            };
            let size = TableSize {
                limits,
                classes: 10,
                has_names: false,
                databases: 0,
                has_places: false,
                resolves: false,
            };
            let origin = "ulimit -v".to_owned();
            TooLarge::under(size, Ceiling { bytes, origin }).map(|refusal| refusal.to_string())
        };
        assert_eq!(refusal(NEED, 0), None);
        assert_eq!(
            refusal(NEED - 1, 0).expect("one byte too few"),
            "--max-flows 100 with --max-hosts 50000 may take 95 MiB of memory, and ulimit -v allows \
             94 MiB: lower --max-flows or --max-hosts, or allow more"
        );
        assert_eq!(refusal(NEED + 50_000 * 10 * 176 + 100 * 64, 15), None);
        assert!(refusal(NEED + 50_000 * 10 * 176 + 100 * 64 - 1, 15).is_some());
    }

    /// 10,000 flows take 16 bytes more each, and the texts of operators 131,072 * 160 bytes.
    #[test]
    fn countries_and_operators_need_memory() {
        let without = size(limits(10_000, 0, 0));
        let with = TableSize {
            has_places: true,
            ..without
        };
        assert_eq!(with.table() - without.table(), 160_000 + 20_971_520);
    }

    #[test]
    fn resolutions_need_memory() {
        let without = size(limits(10_000, 0, 0));
        let with = TableSize {
            resolves: true,
            ..without
        };
        assert_eq!(with.table() - without.table(), 3_407_872 + 1_441_792);
    }

    #[test]
    fn a_copied_flow_takes_no_more_than_the_estimate() {
        let size = size_of::<Flow<IpAddr>>() as u64;
        assert!(size <= COPY, "{size}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn reads_the_limits_of_a_control_group_and_of_those_above_it() {
        let top = tempfile::TempDir::new().expect("a temporary directory");
        let middle = top.path().join("system.slice");
        let own = middle.join("tzsp.service");
        std::fs::create_dir_all(&own).expect("the directory is writable");
        for (group, limit) in [
            (&own, "max\n"),
            (&middle, "67108864\n"),
            (&top.path().to_owned(), "9223372036854771712\n"),
        ] {
            std::fs::write(group.join("memory.max"), limit).expect("the directory is writable");
        }
        let found: Vec<_> = system::of_groups(&own, top.path(), "memory.max")
            .map(|ceiling| ceiling.bytes)
            .collect();
        assert_eq!(found, [67_108_864, 9_223_372_036_854_771_712]);
    }
}
