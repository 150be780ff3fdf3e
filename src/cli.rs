//! What can be typed. What it means is in [`live::Options`] and [`analyze::Options`].

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, value_parser};

use crate::aggregator::Settings;
use crate::capture::native::ANY;
use crate::capture::{self, PacketCapture};
use crate::flow::Shape;
use crate::live::log::{self, Format, Level};
use crate::wire::{ListenPorts, Reading};
use crate::{analyze, live};

mod flows;
mod output;
use flows::{FlowArguments, duration};
use output::OutputArguments;

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

    /// Publish metrics on this address of the host alone, such as 127.0.0.1 [default: all
    /// addresses]
    #[arg(long, value_name = "ADDRESS")]
    publish_address: Option<IpAddr>,

    /// Serve with TLS and ask for passwords as this file says: the web configuration that the
    /// Prometheus exporters share
    #[arg(long = "web.config.file", value_name = "FILE")]
    web_config_file: Option<PathBuf>,

    /// Answer this many scrapes at a time at most; 0: any number
    #[arg(long = "web.max-requests", value_name = "NUMBER", default_value_t = 40)]
    max_requests: usize,

    /// Kernel's capture buffer for each interface, in MiB
    #[arg(
        long,
        value_name = "MIB",
        default_value_t = 64,
        value_parser = value_parser!(u32).range(1..=2047),
        requires = "interfaces"
    )]
    capture_buffer: u32,

    /// Bytes that are captured of each frame; the default holds every header that matters
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = 256,
        value_parser = value_parser!(u32).range(96..=262_144),
        requires = "interfaces"
    )]
    snaplen: u32,

    /// Kernel's receive buffer for each UDP socket, in MiB
    #[arg(
        long,
        value_name = "MIB",
        default_value_t = 16,
        value_parser = value_parser!(u32).range(1..=1023),
        conflicts_with = "interfaces"
    )]
    receive_buffer: u32,

    /// How log lines on standard error look
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    log_format: Format,

    /// The least important messages that are logged
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = Level::Info)]
    log_level: Level,

    /// Log what is started and how, and what tshark says; the same as --log-level debug
    #[arg(long, conflicts_with = "log_level")]
    verbose: bool,

    /// Expose this many flows at most; packets of others are counted as `other`
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 10_000,
        value_parser = flows::max_flows
    )]
    max_flows: u32,

    /// A flow without a packet for this long gives up its place, and its count is kept; 0: never
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    flow_idle_timeout: Duration,

    #[command(flatten)]
    flows: FlowArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read captures and write the metrics of what is in them to standard output
    Analyze(AnalyzeArguments),
    /// What the live capture starts tshark with
    #[command(name = capture::leash::SUBCOMMAND, hide = true)]
    RunLeashed(Leashed),
}

#[derive(Debug, Args)]
struct AnalyzeArguments {
    /// pcap or pcapng captures, compressed or not; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Take TZSP sent to these UDP ports alone, separated by commas; may be given several times
    /// [default: every datagram that starts like TZSP]
    #[arg(
        long = "listen-port",
        visible_alias = "port",
        value_name = "PORT",
        value_delimiter = ','
    )]
    listen_ports: Vec<u16>,

    /// Count captures that are not mirrored: the packet of each frame itself, rather than TZSP in it
    #[arg(long, conflicts_with = "listen_ports")]
    plain: bool,

    /// Write the mirrored frames to this pcap file too, for programs that do not read TZSP
    #[arg(long, value_name = "OUT", conflicts_with = "plain")]
    write_inner: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArguments,

    /// How many files are read at a time [default: as many as there are processors]
    #[arg(
        long,
        value_name = "NUMBER",
        value_parser = value_parser!(u16).range(1..=1024)
    )]
    jobs: Option<u16>,

    /// Show no progress, also on a terminal
    #[arg(long)]
    quiet: bool,

    /// Expose this many flows at most; packets of others are counted as `other`
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = ANALYZED_FLOWS,
        value_parser = flows::max_flows
    )]
    max_flows: u32,

    /// A flow without a packet for this long, by the capture's time, gives up its place; 0: never
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration)]
    flow_idle_timeout: Duration,

    #[command(flatten)]
    flows: FlowArguments,
}

/// A program that is to end with the process that asked for it.
#[derive(Debug, Args)]
pub struct Leashed {
    pub parent: u32,
    pub program: OsString,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<OsString>,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Task {
    Live(live::Options, Settings),
    Analyze(analyze::Options, Settings),
    RunLeashed(Leashed),
}

impl Cli {
    /// # Errors
    /// The command line contradicts itself.
    pub fn task(self) -> Result<Task, clap::Error> {
        match self.command {
            Some(Command::Analyze(arguments)) => arguments.task(),
            Some(Command::RunLeashed(leashed)) => Ok(Task::RunLeashed(leashed)),
            None => self.live.task(),
        }
    }
}

impl LiveArguments {
    fn task(self) -> Result<Task, clap::Error> {
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
        let settings = Settings {
            reading: Reading {
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
    fn check_interfaces(&self) -> Result<(), clap::Error> {
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
    fn task(self) -> Result<Task, clap::Error> {
        check_ports(&self.listen_ports)?;
        if self.write_inner.is_some() {
            self.check_write_inner()?;
        }
        let mut limits = self.flows.limits(self.max_flows);
        limits.idle_timeout = self.flow_idle_timeout;
        // Nobody scrapes while captures are read.
        limits.leave_unseen = true;
        let holds = !limits.hold.is_zero();
        let settings = Settings {
            reading: Reading {
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
            output: self.output.output(holds)?,
        };
        Ok(Task::Analyze(options, settings))
    }

    fn check_write_inner(&self) -> Result<(), clap::Error> {
        if self.write_inner.as_deref() == Some(Path::new("-")) {
            return Err(wrong(
                "'--write-inner -' would mix with the metrics on standard output: name a file",
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

fn check_ports(ports: &[u16]) -> Result<(), clap::Error> {
    for (index, port) in ports.iter().enumerate() {
        if ports[..index].contains(port) {
            return Err(wrong(&format!(
                "'--listen-port {port}' is given twice: name each port once"
            )));
        }
    }
    Ok(())
}

fn wrong(message: &str) -> clap::Error {
    Cli::command().error(ErrorKind::ValueValidation, message)
}
