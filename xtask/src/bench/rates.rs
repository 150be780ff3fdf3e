//! Measures the CPU time per datagram at several rates. At low rates, waking the thread dominates the
//! cost, not processing the datagram.

use std::path::Path;

use super::live::{self, RECEIVER, Reception, pinned};
use super::table::Row;
use super::{Bench, daemon::Daemon, input};

/// A rate, and the names of its two rows in the result.
struct Rate {
    cpu: &'static str,
    lost: &'static str,
    /// Datagrams per second; 0 means as fast as one core can send.
    pps: u64,
}

const RATES: [Rate; 3] = [
    Rate {
        cpu: "CPU us a datagram, 1,000/s",
        lost: "datagrams lost, 1,000/s",
        pps: 1_000,
    },
    Rate {
        cpu: "CPU us a datagram, 8,000/s",
        lost: "datagrams lost, 8,000/s",
        pps: 8_000,
    },
    Rate {
        cpu: "CPU us a datagram, full speed",
        lost: "datagrams lost, full speed",
        pps: 0,
    },
];
/// The duration of a stream at a fixed rate, in seconds.
const SECONDS: u64 = 10;

pub(super) fn run(bench: &Bench, name: &'static str) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for rate in &RATES {
        let runs = bench.in_turn(|exporter| receive(bench, exporter, rate.pps))?;
        rows.push(bench.row(name, rate.cpu, &runs, Reception::cpu_each, None));
        rows.push(bench.row(name, rate.lost, &runs, Reception::lost, None));
    }
    Ok(rows)
}

fn receive(bench: &Bench, program: &Path, pps: u64) -> anyhow::Result<Reception> {
    let daemon = Daemon::start(pinned(program, RECEIVER), 50_000)?;
    let before = daemon.running_time()?;
    let sent = if pps == 0 {
        live::replay(bench, daemon.listen_port, &mut Vec::new())?
    } else {
        let rounds = SECONDS * pps / input::RATES_PACKETS;
        live::replay_at(bench, daemon.listen_port, pps, rounds)?
    };
    daemon.settle()?;
    let cpu_seconds = daemon.running_time()? - before;
    let received = daemon.scrape()?.value("tzsp_frames_received_total");
    Ok(Reception {
        sent,
        received,
        cpu_seconds,
    })
}
