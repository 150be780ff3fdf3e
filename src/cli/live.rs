//! The options of live mode.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::flows::{FlowArguments, duration, max_flows};
use super::number::{any_number, number};
use super::{Contradiction, Task, check_ports, wrong};
use crate::aggregator::Settings;
use crate::capture::PacketCapture;
use crate::capture::native::ANY;
use crate::http::ListenAddress;
use crate::live::log::{self, Level, LogFormat};
use crate::live::{self, Method};
use crate::names::Source;
use crate::wire::{DecodeOptions, ListenPorts};

/// More routers than anybody looks at on one page. Each may have two series.
const MOST_SENSORS: u32 = 1000;
/// The port to which RouterOS sends TZSP by default.
const DEFAULT_PORT: u16 = 37008;
/// Covers all headers. Ethernet with two tags, IPv6 and UDP take 70 bytes, TZSP with its tags 40,
/// Prism and 802.11 180, LLC, PPPoE and four labels 32, and IPv6 with the ports behind it 44: 366.
const HEADERS: u32 = 384;
/// Covers the payload of messages that names are learnt from: name servers send up to 1,232 bytes
/// over UDP (<https://www.dnsflagday.net/2020/>), and DHCP servers about 600.
const MESSAGES: u32 = 1232;

#[derive(Debug, Args)]
pub(super) struct LiveArguments {
    /// Capture packets on this network interface, or on any; may be given several times. tshark
    /// also takes a number from `tshark -D`
    #[arg(long = "interface", value_name = "INTERFACE")]
    interfaces: Vec<String>,

    /// How packets are captured
    #[arg(
        long,
        value_enum,
        value_name = "METHOD",
        default_value_t = Method::Auto,
        requires = "interfaces"
    )]
    capture: Method,

    /// Capture frames for other hosts too
    #[arg(long, requires = "interfaces")]
    promiscuous: bool,

    /// UDP ports to which the TZSP stream is sent, separated by commas; may be given several times
    #[arg(
        long = "listen-port",
        visible_alias = "port",
        value_name = "PORT",
        value_delimiter = ',',
        value_parser = number::<u16>(0..=u16::MAX),
        default_values_t = [DEFAULT_PORT]
    )]
    listen_ports: Vec<u16>,

    /// TCP port on which metrics are published
    #[arg(
        long,
        visible_alias = "publish",
        value_name = "PORT",
        default_value_t = 9184,
        value_parser = number::<u16>(0..=u16::MAX)
    )]
    publish_port: u16,

    /// Local address on which metrics are published, such as 127.0.0.1 [default: all addresses]
    #[arg(long, value_name = "ADDRESS")]
    publish_address: Option<IpAddr>,

    /// Local address and TCP port on which metrics are published, in the form that Prometheus
    /// exporters share, such as :9184, 127.0.0.1:9184 or [::1]:9184; may be given several times;
    /// replaces --publish-port and --publish-address
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS",
        conflicts_with_all = ["publish_port", "publish_address"]
    )]
    listen_addresses: Vec<ListenAddress>,

    /// Web configuration file with settings for TLS and passwords, in the format that Prometheus
    /// exporters share
    #[arg(long = "web.config.file", value_name = "FILE")]
    web_config_file: Option<PathBuf>,

    /// Maximum number of concurrent scrapes; 0 means no limit
    #[arg(
        long = "web.max-requests",
        value_name = "NUMBER",
        default_value_t = 40,
        value_parser = any_number
    )]
    max_requests: usize,

    /// In OpenMetrics, also write the time at which each counter was 0, as a series of its own whose
    /// name ends in _created. Protobuf always has these times
    #[arg(long = "web.created-series")]
    created_series: bool,

    /// Size of the kernel's capture buffer for each interface, in MiB
    #[arg(
        long,
        value_name = "MIB",
        default_value_t = 64,
        value_parser = number::<u32>(1..=2047),
        requires = "interfaces"
    )]
    capture_buffer: u32,

    /// Number of bytes to capture of each frame; the default covers every header that matters, and
    /// the messages that --names reads [default: 384; 1616 with --names dhcp or dns]
    #[arg(
        long,
        value_name = "BYTES",
        value_parser = number::<u32>(96..=262_144),
        requires = "interfaces"
    )]
    snaplen: Option<u32>,

    /// Size of the kernel's receive buffer for each UDP socket, in MiB
    #[arg(
        long,
        value_name = "MIB",
        default_value_t = 16,
        value_parser = number::<u32>(1..=1023),
        conflicts_with = "interfaces"
    )]
    receive_buffer: u32,

    /// Maximum number of sensors (routers) to distinguish; frames of further sensors are counted as
    /// `other`
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 100,
        value_parser = number::<u32>(1..=MOST_SENSORS)
    )]
    max_sensors: u32,

    /// Format of the log on standard error
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    log_format: LogFormat,

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
        value_parser = max_flows
    )]
    max_flows: u32,

    /// Stop exposing a flow or a host after this long without a packet, but keep its count; 0 means
    /// never
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    flow_idle_timeout: Duration,

    /// Show 0 for a new flow or host until it is this old, such as the scrape interval: its first
    /// packets then count in rate() and increase()
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration)]
    hold_new_flows: Duration,

    #[command(flatten)]
    flows: FlowArguments,
}

impl LiveArguments {
    pub(super) fn task(self) -> Result<Task, Contradiction> {
        check_ports(&self.listen_ports)?;
        self.check_interfaces()?;
        self.check_listen_addresses()?;
        if !self.interfaces.is_empty() && self.listen_ports.contains(&0) {
            return Err(wrong(
                "'--listen-port 0' lets the system choose a port, which works without \
                 '--interface' alone: a capture filter needs the real port",
            ));
        }
        let snaplen = self.snaplen();
        let source = if self.interfaces.is_empty() {
            live::Source::Sockets {
                receive_buffer: self.receive_buffer,
            }
        } else {
            let packets = PacketCapture {
                interfaces: self.interfaces,
                listen_ports: self.listen_ports.clone(),
                buffer: self.capture_buffer,
                snaplen,
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
        let listen_addresses = if self.listen_addresses.is_empty() {
            vec![ListenAddress {
                address: self.publish_address,
                port: self.publish_port,
            }]
        } else {
            self.listen_addresses
        };
        let options = live::Options {
            source,
            listen_ports: self.listen_ports,
            listen_addresses,
            web_config_file: self.web_config_file,
            max_requests: self.max_requests,
            created_series: self.created_series,
            max_sensors: self.max_sensors,
            names: self.flows.names,
            geo_databases: self.flows.geo_databases,
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

    fn snaplen(&self) -> u32 {
        let is_learnt = |source| matches!(source, &Source::Dhcp | &Source::Dns);
        let default = if self.flows.names.iter().any(is_learnt) {
            HEADERS + MESSAGES
        } else {
            HEADERS
        };
        self.snaplen.unwrap_or(default)
    }

    fn check_listen_addresses(&self) -> Result<(), Contradiction> {
        for (index, address) in self.listen_addresses.iter().enumerate() {
            let mut earlier = self.listen_addresses[..index].iter();
            if let Some(other) = earlier.find(|other| other.conflicts_with(*address)) {
                return Err(wrong(&format!(
                    "'--web.listen-address {other}' and '--web.listen-address {address}' cannot \
                     both be used: give one of them"
                )));
            }
        }
        Ok(())
    }

    /// Checks that no packet would be captured, and counted, twice.
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
