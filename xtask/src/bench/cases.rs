//! The benchmark cases: what each measures, its peers and its goals.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::build::Build;
use super::input::{self, Input};
use super::process::{self, Usage};
use super::table::{Goal, Row};
use super::{Bench, encoders, live, modes, places, rates, scrape};

/// Measures a case, given its name.
type Run = fn(&Bench, &'static str) -> anyhow::Result<Vec<Row>>;

/// A benchmark case.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) run: Run,
    /// Whether it can compare two builds of the exporter.
    pub(super) has_builds: bool,
}

const fn case(name: &'static str, run: Run) -> Case {
    Case {
        name,
        run,
        has_builds: true,
    }
}

/// A case whose purpose is the comparison with other programs.
const fn peers_only(name: &'static str, run: Run) -> Case {
    Case {
        name,
        run,
        has_builds: false,
    }
}

pub(super) const ALL: [Case; 18] = [
    case("analyze-a", analyze_a),
    peers_only("analyze-a-slow-peers", slow_peers),
    case("analyze-b", analyze_b),
    case("analyze-c", analyze_c),
    case("analyze-d", analyze_d),
    case("analyze-gzip", |bench, name| {
        compressed(bench, name, input::E_GZIP, "gzip")
    }),
    case("analyze-zstd", |bench, name| {
        compressed(bench, name, input::E_ZSTD, "zstd")
    }),
    case("modes", modes::run),
    case("countries", places::run),
    case("two-files", two_files),
    case("two-cores", two_cores),
    case("two-processes", two_processes),
    case("growth", growth),
    case("scrape", scrape::run),
    peers_only("encoder", encoders::run),
    case("live-udp", live::udp),
    case("live-rates", rates::run),
    case("live-tshark", live::tshark),
];

/// The names of all cases, for the command line.
pub(super) const NAMES: [&str; ALL.len()] = {
    let mut names = [""; ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = ALL[at].name;
        at += 1;
    }
    names
};

/// A program that the exporter is compared with.
pub(super) struct Peer {
    name: &'static str,
    command: Command,
    /// The exporter's amount of work divided by the peer's.
    scale: f64,
    goal: Option<Goal>,
}

impl Peer {
    pub(super) fn new(name: &'static str, command: Command, goal: Option<Goal>) -> Self {
        Self {
            name,
            command,
            scale: 1.0,
            goal,
        }
    }
}

fn analyze_a(bench: &Bench, name: &'static str) -> anyhow::Result<Vec<Row>> {
    let peers = [
        (tcpdump(bench, input::A)?, Goal::times(0.25)),
        (wc(bench, input::A)?, Goal::times(2.0)),
    ];
    let ours = analyze(bench, 1, &[input::A])?;
    compare(bench, name, &ours, &with_goals(bench, peers), Some(16.0))
}

fn analyze_b(bench: &Bench, name: &'static str) -> anyhow::Result<Vec<Row>> {
    let peers = [
        (tcpdump(bench, input::B)?, Goal::times(0.25)),
        (wc(bench, input::B)?, Goal::times(1.5)),
    ];
    let ours = analyze(bench, 1, &[input::B])?;
    compare(bench, name, &ours, &with_goals(bench, peers), None)
}

/// Runs with two jobs, as for a user with two cores.
fn analyze_c(bench: &Bench, name: &'static str) -> anyhow::Result<Vec<Row>> {
    let peers = [(tcpdump(bench, input::C)?, Goal::times(1.3))];
    let ours = analyze(bench, 2, &[input::C])?;
    compare(bench, name, &ours, &with_goals(bench, peers), Some(160.0))
}

fn analyze_d(bench: &Bench, name: &'static str) -> anyhow::Result<Vec<Row>> {
    let as_pcap = analyze(bench, 1, &[input::A])?;
    let peer = Peer::new("ours, as pcap", as_pcap, Some(Goal::times(1.3)));
    let ours = analyze(bench, 1, &[input::D])?;
    compare(bench, name, &ours, &[peer], None)
}

fn compressed(
    bench: &Bench,
    name: &'static str,
    input: Input,
    program: &'static str,
) -> anyhow::Result<Vec<Row>> {
    let mut unpack = Command::new(program);
    unpack.arg("-dc").arg(bench.inputs.path(input)?);
    let ours = analyze(bench, 1, &[input])?;
    let peers = [((program, unpack), Goal::times(1.1))];
    compare(bench, name, &ours, &with_goals(bench, peers), None)
}

fn two_files(bench: &Bench, name: &'static str) -> anyhow::Result<Vec<Row>> {
    let files = [input::A, input::B];
    let peer = Peer::new(
        "A and B, --jobs 1",
        analyze(bench, 1, &files)?,
        Some(Goal::times(0.62)),
    );
    compare(bench, name, &analyze(bench, 2, &files)?, &[peer], None)
}

/// Compares two threads on one file with tcpdump and with one thread.
fn two_cores(bench: &Bench, name: &'static str) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (tcpdump_name, goal, one_thread_name, input) in [
        ("A, tcpdump", 0.4, "A, --jobs 1", input::A),
        ("B, tcpdump", 0.3, "B, --jobs 1", input::B),
        ("C, tcpdump", 1.3, "C, --jobs 1", input::C),
    ] {
        let mut peers = Vec::new();
        if bench.has("tcpdump") {
            let (_, command) = tcpdump(bench, input)?;
            peers.push(Peer::new(tcpdump_name, command, Some(Goal::times(goal))));
        }
        // No goal: reading and counting limit the gain.
        peers.push(Peer::new(
            one_thread_name,
            analyze(bench, 1, &[input])?,
            None,
        ));
        let ours = analyze(bench, 2, &[input])?;
        rows.extend(compare(bench, name, &ours, &peers, None)?);
    }
    Ok(rows)
}

/// Compares two threads on one file with two processes, each with a file of its own: the most that
/// two cores can do. The goal is 85 % of that throughput.
fn two_processes(bench: &Bench, name: &'static str) -> anyhow::Result<Vec<Row>> {
    let mut both = Command::new("sh");
    both.arg("-c")
        .arg(r#""$0" analyze --jobs 1 "$1" & "$0" analyze --jobs 1 "$2" && wait $!"#)
        .arg(&bench.programs.exporter)
        .arg(bench.inputs.path(input::A)?)
        .arg(bench.inputs.path(input::A_SECOND)?);
    let peer = Peer {
        scale: 0.5,
        ..Peer::new("two processes, half", both, Some(Goal::times(1.0 / 0.85)))
    };
    compare(bench, name, &analyze(bench, 2, &[input::A])?, &[peer], None)
}

/// Compares with peers that take so long that they get a quarter of the input.
fn slow_peers(bench: &Bench, name: &'static str) -> anyhow::Result<Vec<Row>> {
    let path = bench.inputs.path(input::A_SHORT)?;
    let spool = tempfile::tempdir().context("a directory for nfpcapd")?;

    let mut conversations = Command::new("tshark");
    conversations
        .arg("-r")
        .arg(&path)
        .args(["-q", "-z", "conv,ip"]);
    conversations.args(["-o", "ip.defragment:FALSE"]);
    conversations.args(["-o", "tcp.desegment_tcp_streams:FALSE"]);
    // The command that the .NET exporter ran.
    let mut fields = Command::new("tshark");
    fields.arg("-r").arg(&path).args(["-T", "fields", "-Q"]);
    fields.args(["-e", "data.data", "-e", "frame.protocols"]);
    fields.args(["-e", "udp.dstport", "-E", "separator=/s"]);
    let mut nfpcapd = Command::new("nfpcapd");
    nfpcapd.arg("-r").arg(&path).arg("-l").arg(spool.path());
    let mut softflowd = Command::new("softflowd");
    softflowd.arg("-r").arg(&path);

    let peers = [
        ("tshark", "tshark conv,ip, a fourth", conversations),
        ("tshark", "tshark fields, a fourth", fields),
        ("nfpcapd", "nfpcapd, a fourth", nfpcapd),
        ("softflowd", "softflowd, a fourth", softflowd),
    ];
    let peers: Vec<_> = peers
        .into_iter()
        .filter(|(program, ..)| bench.has(program))
        .map(|(_, name, command)| Peer {
            scale: 4.0,
            ..Peer::new(name, command, None)
        })
        .collect();
    let ours = analyze(bench, 1, &[input::A])?;
    compare(bench, name, &ours, &peers, None)
}

/// Measures the time per packet by the number of flows. It grows because of cache misses, not because
/// of the algorithm.
fn growth(bench: &Bench, name: &'static str) -> anyhow::Result<Vec<Row>> {
    let inputs = [
        ("ns a packet, 1,000 flows", input::THOUSAND_FLOWS),
        ("ns a packet, 20,000 flows", input::A),
        ("ns a packet, 100,000 flows", input::HUNDRED_THOUSAND_FLOWS),
        ("ns a packet, 1,000,000 flows", input::C),
    ];
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let packets = bench.inputs.shrunk(input::A_PACKETS) as f64;
    let rows = inputs.into_iter().map(|(quantity, input)| {
        let command = analyze(bench, 1, &[input])?;
        let runs = bench.in_turn(|exporter| process::measure(&with_program(exporter, &command)))?;
        let each = |usage: &Usage| usage.wall / packets * 1e9;
        Ok(bench.row(name, quantity, &runs, each, None))
    });
    rows.collect()
}

/// Returns the exporter's command that analyzes these inputs.
pub(super) fn analyze(bench: &Bench, jobs: u32, inputs: &[Input]) -> anyhow::Result<Command> {
    let mut command = bench.exporter();
    command.args(["analyze", "--jobs", &jobs.to_string()]);
    for &input in inputs {
        command.arg(bench.inputs.path(input)?);
    }
    Ok(command)
}

/// Returns a command that reads and filters frames, without counting.
fn tcpdump(bench: &Bench, input: Input) -> anyhow::Result<(&'static str, Command)> {
    let mut command = Command::new("tcpdump");
    command.arg("-r").arg(bench.inputs.path(input)?);
    command.args(["-w", "/dev/null", "udp dst port 37008"]);
    Ok(("tcpdump", command))
}

/// Returns a command that does little more than read all bytes.
fn wc(bench: &Bench, input: Input) -> anyhow::Result<(&'static str, Command)> {
    let mut command = Command::new("wc");
    command.arg("-l").arg(bench.inputs.path(input)?);
    Ok(("wc", command))
}

/// Returns the peers that are available here, each with the program as its name.
fn with_goals<const N: usize>(
    bench: &Bench,
    peers: [((&'static str, Command), Goal); N],
) -> Vec<Peer> {
    let here = peers
        .into_iter()
        .filter(|((program, _), _)| bench.has(program));
    here.map(|((program, command), goal)| Peer::new(program, command, Some(goal)))
        .collect()
}

/// Runs the exporter and each of the peers alternately. `max_mib` is the goal for the exporter's peak
/// memory. If there is another build of the exporter, it takes the place of the peers.
pub(super) fn compare(
    bench: &Bench,
    name: &'static str,
    ours: &Command,
    peers: &[Peer],
    max_mib: Option<f64>,
) -> anyhow::Result<Vec<Row>> {
    if let Some(other) = &bench.other {
        return compare_builds(bench, name, ours, other);
    }
    let mut our_usage: Vec<Usage> = Vec::new();
    let mut their_usage = vec![Vec::new(); peers.len()];
    for _ in 0..bench.pairs {
        our_usage.push(process::measure(ours)?);
        for (peer, usage) in peers.iter().zip(&mut their_usage) {
            usage.push(process::measure(&peer.command)?);
        }
    }
    let rows = peers.iter().zip(&their_usage).map(|(peer, theirs)| {
        Row::processes(name, &our_usage, peer.name, theirs, peer.scale, peer.goal)
    });
    let mut rows: Vec<_> = rows.collect();
    if let Some(max) = max_mib {
        let peaks: Vec<_> = our_usage.iter().map(|usage| usage.peak_mib).collect();
        rows.push(Row::without_peer(
            name,
            "peak MiB",
            &peaks,
            Some(Goal::at_most(max)),
        ));
    }
    Ok(rows)
}

/// Runs both builds of the exporter in turn with the same arguments.
fn compare_builds(
    bench: &Bench,
    name: &'static str,
    ours: &Command,
    other: &Build,
) -> anyhow::Result<Vec<Row>> {
    let runs = bench.in_turn(|exporter| process::measure(&with_program(exporter, ours)))?;
    let [ours_usage, theirs_usage] = &runs[..] else {
        unreachable!("there are two builds");
    };
    // Some cases have several rows, which differ in their arguments.
    let arguments = ours
        .get_args()
        .map(|argument| Path::new(argument).file_name());
    let arguments: Vec<_> = arguments.flatten().map(OsStr::to_string_lossy).collect();
    let peer = format!("{}: {}", other.name, arguments.join(" "));
    let row = Row::processes(name, ours_usage, &peer, theirs_usage, 1.0, None);
    Ok(vec![row])
}

/// Returns the command with another program.
fn with_program(program: &Path, command: &Command) -> Command {
    let mut other = Command::new(program);
    other.args(command.get_args());
    other
}
