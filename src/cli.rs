//! What can be typed. What it means is in [`live::Options`] and [`analyze::Options`].

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::aggregator::Settings;
use crate::wire::{ListenPorts, Reading};
use crate::{analyze, live};

mod flows;
use flows::{FlowArguments, duration};

/// Prometheus exporter for TZSP packet streams: bytes and packets per flow.
///
/// Routers (MikroTik above all) mirror traffic in TZSP over UDP. This program takes it in, looks
/// inside, and tells Prometheus which flows it sees. With --interface it captures through tshark,
/// without it it receives on plain UDP sockets and needs no privileges.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    live: LiveArguments,
}

#[derive(Debug, Args)]
struct LiveArguments {
    /// Capture through tshark on this network interface: a name or number from `tshark -D`
    #[arg(long, value_name = "INTERFACE")]
    interface: Option<String>,

    /// UDP port to which the TZSP stream is sent; may be given several times
    #[arg(
        long = "listen-port",
        visible_alias = "port",
        value_name = "PORT",
        required = true
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

    /// Log more: what is started and how, and what tshark says
    #[arg(long)]
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
}

#[derive(Debug, Args)]
struct AnalyzeArguments {
    /// pcap or pcapng captures; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Take TZSP sent to this UDP port alone; may be given several times [default: every datagram
    /// that starts like TZSP]
    #[arg(long = "listen-port", visible_alias = "port", value_name = "PORT")]
    listen_ports: Vec<u16>,

    /// Expose this many flows at most; packets of others are counted as `other`
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 1_000_000,
        value_parser = flows::max_flows
    )]
    max_flows: u32,

    /// A flow without a packet for this long, by the capture's time, gives up its place; 0: never
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration)]
    flow_idle_timeout: Duration,

    #[command(flatten)]
    flows: FlowArguments,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Task {
    Live(live::Options, Settings),
    Analyze(analyze::Options, Settings),
}

impl Cli {
    /// # Errors
    /// The command line contradicts itself.
    pub fn task(self) -> Result<Task, clap::Error> {
        match self.command {
            Some(Command::Analyze(arguments)) => arguments.task(),
            None => self.live.task(),
        }
    }
}

impl LiveArguments {
    fn task(self) -> Result<Task, clap::Error> {
        check_ports(&self.listen_ports)?;
        if self.interface.is_some() && self.listen_ports.contains(&0) {
            return Err(wrong(
                "'--listen-port 0' lets the system choose a port, which works without \
                 '--interface' alone: a capture filter needs the real port",
            ));
        }
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
            interface: self.interface,
            listen_ports: self.listen_ports,
            publish_port: self.publish_port,
            verbose: self.verbose,
        };
        Ok(Task::Live(options, settings))
    }
}

impl AnalyzeArguments {
    fn task(self) -> Result<Task, clap::Error> {
        check_ports(&self.listen_ports)?;
        let mut limits = self.flows.limits(self.max_flows);
        limits.idle_timeout = self.flow_idle_timeout;
        // Nobody scrapes while captures are read.
        limits.leave_unseen = true;
        let settings = Settings {
            reading: Reading {
                listen_ports: if self.listen_ports.is_empty() {
                    ListenPorts::Any
                } else {
                    ListenPorts::Only(self.listen_ports)
                },
                ipv6: self.flows.ipv6,
            },
            shape: self.flows.shape()?,
            limits,
        };
        let options = analyze::Options { files: self.files };
        Ok(Task::Analyze(options, settings))
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
