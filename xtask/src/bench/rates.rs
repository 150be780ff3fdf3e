//! Measures the CPU time per datagram at several rates. At low rates, waking the thread dominates the
//! cost, not processing the datagram.

use std::path::Path;

use super::live::{self, RECEIVER, Reception, pinned};
use super::table::{Goal, Row};
use super::{Bench, daemon::Daemon, input};

/// A rate, the names of its two rows in the result, and the goal for the CPU time compared with
/// another build of the exporter.
struct Rate {
    cpu: &'static str,
    lost: &'static str,
    /// Datagrams per second; 0 means as fast as one core can send.
    pps: u64,
    goal: Goal,
}

const RATES: [Rate; 3] = [
    Rate {
        cpu: "CPU us a datagram, 1,000/s",
        lost: "datagrams lost, 1,000/s",
        pps: 1_000,
        goal: Goal::times(0.35),
    },
    Rate {
        cpu: "CPU us a datagram, 8,000/s",
        lost: "datagrams lost, 8,000/s",
        pps: 8_000,
        goal: Goal::times(0.35),
    },
    Rate {
        cpu: "CPU us a datagram, full speed",
        lost: "datagrams lost, full speed",
        pps: 0,
        goal: Goal::times(1.0),
    },
];
/// The duration of a stream at a fixed rate, in seconds.
const SECONDS: u64 = 10;

/// Measures the exporter, and compares it with another build if one is given.
pub(super) fn run(bench: &Bench, name: &'static str) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for rate in &RATES {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..bench.pairs {
            ours.push(receive(bench, &bench.programs.exporter, rate.pps)?);
            if let Some(baseline) = &bench.baseline {
                theirs.push(receive(bench, baseline, rate.pps)?);
            }
        }
        let row = |quantity, of: fn(&Reception) -> f64, goal| {
            let each = |runs: &[Reception]| runs.iter().map(of).collect::<Vec<_>>();
            match &bench.baseline {
                Some(program) => {
                    let peer = program.display().to_string();
                    Row::compared(
                        name,
                        quantity,
                        &each(&ours),
                        peer,
                        &each(&theirs),
                        Some(goal),
                    )
                }
                None => Row::without_peer(name, quantity, &each(&ours), None),
            }
        };
        rows.push(row(rate.cpu, Reception::cpu_each, rate.goal));
        rows.push(row(rate.lost, Reception::lost, Goal::times(1.0)));
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
