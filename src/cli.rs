//! What can be typed. What it means is in [`live::Options`] and [`analyze::Options`].

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, value_parser};

use crate::aggregator::Settings;
use crate::analyze::{self, Output};
use crate::capture::native::ANY;
use crate::capture::{self, PacketCapture};
use crate::flow::Shape;
use crate::live::{
    self,
    log::{self, Format, Level},
};
use crate::wire::{DecodeOptions, ListenPorts};

mod flows;
mod hints;
mod output;
use flows::{FlowArguments, duration};
use output::OutputArguments;

/// More routers than anybody looks at on one page. Each may have two series.
const MOST_SENSORS: i64 = 1000;
/// Where RouterOS sends TZSP unless it is told.
const DEFAULT_PORT: u16 = 37008;

/// How many flows `analyze` lists unless it is told.
pub const ANALYZED_FLOWS: u32 = 1_000_000;

/// Prometheus exporter for TZSP packet streams: bytes and packets per flow.
///
/// Routers (MikroTik above all) mirror traffic in TZSP over UDP. This program takes it in, looks
/// inside, and tells Prometheus which flows it sees. With --interface it captures packets, without
/// it it receives on plain UDP sockets and needs no privileges.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    max_term_width = 100
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    live: LiveArguments,
}

#[derive(Debug, Args)]
struct LiveArguments {
    /// Capture packets on this network interface, or on any; may be given several times. tshark
    /// also takes a number from `tshark -D`
    #[arg(long = "interface", value_name = "INTERFACE")]
    interfaces: Vec<String>,

    /// How packets are captured
    #[arg(
        long,
        value_enum,
        value_name = "METHOD",
        default_value_t = live::Method::Auto,
        requires = "interfaces"
    )]
    capture: live::Method,

    /// Capture frames for other hosts too
    #[arg(long, requires = "interfaces")]
    promiscuous: bool,

    /// UDP ports to which the TZSP stream is sent, separated by commas; may be given several times
    #[arg(
        long = "listen-port",
        visible_alias = "port",
        value_name = "PORT",
        value_delimiter = ',',
        default_values_t = [DEFAULT_PORT]
    )]
    listen_ports: Vec<u16>,

    /// TCP port on which metrics are published
    #[arg(
        long,
        visible_alias = "publish",
        value_name = "PORT",
        default_value_t = 9184
    )]
    publish_port: u16,

    /// Local address on which metrics are published, such as 127.0.0.1 [default: all addresses]
    #[arg(long, value_name = "ADDRESS")]
    publish_address: Option<IpAddr>,

    /// Web configuration file with settings for TLS and passwords, in the format that Prometheus
    /// exporters share
    #[arg(long = "web.config.file", value_name = "FILE")]
    web_config_file: Option<PathBuf>,

    /// Maximum number of concurrent scrapes; 0 means no limit
    #[arg(long = "web.max-requests", value_name = "NUMBER", default_value_t = 40)]
    max_requests: usize,

    /// Size of the kernel's capture buffer for each interface, in MiB
    #[arg(
        long,
        value_name = "MIB",
        default_value_t = 64,
        value_parser = value_parser!(u32).range(1..=2047),
        requires = "interfaces"
    )]
    capture_buffer: u32,

    // Ethernet with two tags, IPv6 and UDP take 70 bytes, TZSP with its tags 40, Prism and 802.11
    // 180, LLC, PPPoE and four labels 32, and IPv6 with the ports behind it 44: 366.
    /// Number of bytes to capture of each frame; the default covers every header that matters
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = 384,
        value_parser = value_parser!(u32).range(96..=262_144),
        requires = "interfaces"
    )]
    snaplen: u32,

    /// Size of the kernel's receive buffer for each UDP socket, in MiB
    #[arg(
        long,
        value_name = "MIB",
        default_value_t = 16,
        value_parser = value_parser!(u32).range(1..=1023),
        conflicts_with = "interfaces"
    )]
    receive_buffer: u32,

    /// Maximum number of sensors (routers) to distinguish; frames of further sensors are counted as
    /// `other`
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 100,
        value_parser = value_parser!(u32).range(1..=MOST_SENSORS)
    )]
    max_sensors: u32,

    /// Format of the log on standard error
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    log_format: Format,

    /// Minimum severity of messages to log
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = Level::Info)]
    log_level: Level,

    /// Also log how tshark is started and what it prints; same as --log-level debug
    #[arg(long, conflicts_with = "log_level")]
    verbose: bool,

    /// Maximum number of flows to expose; packets of further flows are counted as `other`
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 10_000,
        value_parser = flows::max_flows
    )]
    max_flows: u32,

    /// Stop exposing a flow after this long without a packet, but keep its count; 0 means never
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    flow_idle_timeout: Duration,

    /// Show 0 for a new flow until it is this old, such as the scrape interval: its first packets
    /// then count in rate() and increase()
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration)]
    hold_new_flows: Duration,

    #[command(flatten)]
    flows: FlowArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read captures and print their metrics to standard output
    Analyze(AnalyzeArguments),
}

#[derive(Debug, Args)]
struct AnalyzeArguments {
    /// Captures in pcap or pcapng format, compressed or not; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Count only TZSP sent to these UDP ports, separated by commas; may be given several times
    /// [default: every datagram that starts like TZSP]
    #[arg(
        long = "listen-port",
        visible_alias = "port",
        value_name = "PORT",
        value_delimiter = ','
    )]
    listen_ports: Vec<u16>,

    /// Count the packets of the frames themselves, for captures without TZSP
    #[arg(long, conflicts_with = "listen_ports")]
    plain: bool,

    /// Also write the mirrored frames to this pcap file, for programs that cannot read TZSP; - is
    /// standard output and requires --format none
    #[arg(long, value_name = "OUT", conflicts_with = "plain")]
    write_inner: Option<PathBuf>,

    #[command(flatten)]
    output: OutputArguments,

    /// Number of files to read at a time [default: number of processors]
    #[arg(
        long,
        value_name = "NUMBER",
        value_parser = value_parser!(u16).range(1..=1024)
    )]
    jobs: Option<u16>,

    /// Do not show progress, even on a terminal
    #[arg(long)]
    quiet: bool,

    /// Maximum number of flows to expose; packets of further flows are counted as `other`
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = ANALYZED_FLOWS,
        value_parser = flows::max_flows
    )]
    max_flows: u32,

    /// Stop exposing a flow after this long without a packet, by the capture's time; 0 means never
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration)]
    flow_idle_timeout: Duration,

    /// Refused with the reason: flows that are held are for scrapes.
    #[arg(long, value_name = "TIME", hide = true)]
    hold_new_flows: Option<OsString>,

    #[command(flatten)]
    flows: FlowArguments,
}

/// A program that is to end with the process that asked for it.
#[derive(Debug)]
pub struct Leashed {
    pub parent: u32,
    pub program: OsString,
    pub arguments: Vec<OsString>,
}

impl Leashed {
    /// Reads what [`capture::leash::command`] starts this program with. It is no subcommand for
    /// clap, which would suggest it to people who mistype another.
    fn read(arguments: &[OsString]) -> Option<Self> {
        let [_, subcommand, parent, program, arguments @ ..] = arguments else {
            return None;
        };
        if subcommand != capture::leash::SUBCOMMAND {
            return None;
        }
        Some(Self {
            parent: parent.to_str()?.parse().ok()?,
            program: program.clone(),
            arguments: arguments.to_vec(),
        })
    }
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Task {
    Live(live::Options, Settings),
    Analyze(analyze::Options, Settings),
    RunLeashed(Leashed),
}

/// Reads the arguments that the program was started with; its own name is the first.
///
/// # Errors
/// The command line is wrong, or asks for help: what to print, and the exit status.
pub fn task(arguments: impl IntoIterator<Item = OsString>) -> Result<Task, clap::Error> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    if let Some(leashed) = Leashed::read(&arguments) {
        return Ok(Task::RunLeashed(leashed));
    }
    let is_analyze = arguments.iter().any(|argument| argument == "analyze");
    Cli::try_parse_from(arguments)
        .map_err(|error| hints::advised(error, is_analyze))?
        .task()
}

impl Cli {
    fn task(self) -> Result<Task, clap::Error> {
        match self.command {
            Some(Command::Analyze(arguments)) => arguments
                .task()
                .map_err(|contradiction| contradiction.error(hints::analyze_command())),
            None => self
                .live
                .task()
                .map_err(|contradiction| contradiction.error(Self::command())),
        }
    }
}

impl LiveArguments {
    fn task(self) -> Result<Task, Contradiction> {
        check_ports(&self.listen_ports)?;
        self.check_interfaces()?;
        if !self.interfaces.is_empty() && self.listen_ports.contains(&0) {
            return Err(wrong(
                "'--listen-port 0' lets the system choose a port, which works without \
                 '--interface' alone: a capture filter needs the real port",
            ));
        }
        let source = if self.interfaces.is_empty() {
            live::Source::Sockets {
                receive_buffer: self.receive_buffer,
            }
        } else {
            let packets = PacketCapture {
                interfaces: self.interfaces,
                listen_ports: self.listen_ports.clone(),
                buffer: self.capture_buffer,
                snaplen: self.snaplen,
                promiscuous: self.promiscuous,
            };
            live::Source::Packets(packets, self.capture)
        };
        let mut limits = self.flows.limits(self.max_flows);
        limits.idle_timeout = self.flow_idle_timeout;
        limits.hold = self.hold_new_flows;
        let settings = Settings {
            decode: DecodeOptions {
                listen_ports: ListenPorts::Only(self.listen_ports.clone()),
                ipv6: self.flows.ipv6,
            },
            shape: self.flows.shape()?,
            limits,
        };
        let options = live::Options {
            source,
            listen_ports: self.listen_ports,
            publish_address: self.publish_address,
            publish_port: self.publish_port,
            web_config_file: self.web_config_file,
            max_requests: self.max_requests,
            max_sensors: self.max_sensors,
            log: log::Options {
                format: self.log_format,
                level: if self.verbose {
                    Level::Debug
                } else {
                    self.log_level
                },
            },
        };
        Ok(Task::Live(options, settings))
    }
}

impl LiveArguments {
    /// What is captured on two ways counts twice.
    fn check_interfaces(&self) -> Result<(), Contradiction> {
        for (index, interface) in self.interfaces.iter().enumerate() {
            if self.interfaces[..index].contains(interface) {
                return Err(wrong(&format!(
                    "'--interface {interface}' is given twice: everything would count twice"
                )));
            }
        }
        if !self.interfaces.iter().any(|interface| interface == ANY) {
            return Ok(());
        }
        if self.interfaces.len() > 1 {
            return Err(wrong(
                "'--interface any' is all interfaces: beside it, what another '--interface' sees \
                 would count twice",
            ));
        }
        if self.promiscuous {
            return Err(wrong(
                "'--promiscuous' has no effect with '--interface any': name the interfaces",
            ));
        }
        Ok(())
    }
}

impl AnalyzeArguments {
    fn task(self) -> Result<Task, Contradiction> {
        check_ports(&self.listen_ports)?;
        if self.hold_new_flows.is_some() {
            return Err(wrong(
                "'--hold-new-flows' shows 0 for young flows until the next scrape, and 'analyze' \
                 writes its output once: leave it out",
            ));
        }
        let output = self.output.output()?;
        if self.write_inner.is_some() {
            self.check_write_inner(output)?;
        }
        let mut limits = self.flows.limits(self.max_flows);
        limits.idle_timeout = self.flow_idle_timeout;
        // Nobody scrapes while captures are read.
        limits.hide_unseen = true;
        let settings = Settings {
            decode: DecodeOptions {
                listen_ports: if self.plain {
                    ListenPorts::Plain
                } else if self.listen_ports.is_empty() {
                    ListenPorts::Any
                } else {
                    ListenPorts::Only(self.listen_ports)
                },
                ipv6: self.flows.ipv6,
            },
            shape: Shape {
                plain: self.plain,
                ..self.flows.shape()?
            },
            limits,
        };
        let options = analyze::Options {
            files: self.files,
            jobs: self.jobs.map(usize::from),
            quiet: self.quiet,
            write_inner: self.write_inner,
            output,
        };
        Ok(Task::Analyze(options, settings))
    }

    fn check_write_inner(&self, output: Output) -> Result<(), Contradiction> {
        let is_standard_output = self.write_inner.as_deref() == Some(Path::new("-"));
        if is_standard_output && output != Output::Nothing {
            return Err(wrong(
                "'--write-inner -' would mix with the metrics on standard output: add '--format \
                 none', or name a file",
            ));
        }
        if self.jobs.is_some_and(|jobs| jobs > 1) {
            return Err(wrong(
                "'--write-inner' reads one file at a time, so that frames come out in order: leave \
                 out '--jobs'",
            ));
        }
        Ok(())
    }
}

fn check_ports(ports: &[u16]) -> Result<(), Contradiction> {
    for (index, port) in ports.iter().enumerate() {
        if ports[..index].contains(port) {
            return Err(wrong(&format!(
                "'--listen-port {port}' is given twice: name each port once"
            )));
        }
    }
    Ok(())
}

/// What options say against each other, or one says against itself.
struct Contradiction(String);

impl Contradiction {
    /// The same with the usage of this command.
    fn error(&self, mut command: clap::Command) -> clap::Error {
        command.error(ErrorKind::ValueValidation, &self.0)
    }
}

fn wrong(message: &str) -> Contradiction {
    Contradiction(message.to_owned())
}
