//! The options that live mode and `analyze` share: what distinguishes flows, and how many there
//! are.

use std::fmt::Display;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::number::number;
use super::{Contradiction, wrong};
use crate::flow::{
    Classes, FlowLimits, HostClasses, Label, Labels, MOST_HOSTS, Network, PrefixLength, Services,
    Shape,
};
use crate::geo::Databases;
use crate::names::Source;

/// More flows than any Prometheus can scrape from one target.
const MOST_FLOWS: u32 = 100_000_000;

pub(super) fn max_flows(text: &str) -> Result<u32, String> {
    number(1..=MOST_FLOWS)(text)
}

fn max_idle_flows(text: &str) -> Result<u32, String> {
    number(0..=10 * MOST_FLOWS)(text)
}

#[derive(Debug, Args)]
pub(super) struct FlowArguments {
    /// Maximum number of idle flows whose counts are kept; the longest-idle are forgotten first
    /// [default: ten times --max-flows]
    #[arg(long, value_name = "NUMBER", value_parser = max_idle_flows)]
    max_idle_flows: Option<u32>,

    /// Labels that distinguish flows, separated by commas: any of the default ones, sensor,
    /// from_port, to_port, vlan, dscp, ip_version and service; also from_name and to_name, which need
    /// --names; and from_country, to_country, from_asn and to_asn, which need --geo-database
    #[arg(
        long,
        value_name = "LIST",
        default_value = "from,from_type,to,to_type,protocol,listen_port"
    )]
    labels: Labels,

    /// Name for an address range in from_type and to_type, such as office=192.0.2.0/24; it replaces
    /// private or public there, so queries for those no longer match; may be given several times,
    /// and the longest prefix wins
    #[arg(long = "network", value_name = "NAME=CIDR")]
    networks: Vec<Network>,

    /// File of services in the format of services(5), such as /etc/services: names for the label
    /// service, which replace those of IANA's registry or add to them
    #[arg(long = "services", value_name = "FILE")]
    services: Option<PathBuf>,

    /// Replace addresses of this class or network by their prefix, such as public=24, or
    /// public=24/48 with another length for IPv6; may be given several times
    #[arg(long = "prefix-length", value_name = "NAME=BITS")]
    prefix_lengths: Vec<PrefixLength>,

    /// Classes and networks whose addresses are hosts, separated by commas: what each host sends and
    /// receives is counted [default: private, and every --network in private, shared, link-local or
    /// unique local address space]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    hosts: Option<Vec<String>>,

    /// Maximum number of hosts to distinguish; further hosts are counted together as `other`; 0
    /// means no metrics of hosts
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 1000,
        value_parser = number::<u32>(0..=MOST_HOSTS)
    )]
    max_hosts: u32,

    /// Source of names for addresses: hosts=FILE, leases=FILE (of dnsmasq, ISC dhcpd or Kea), dhcp and
    /// dns (seen in the mirrored traffic), or resolve (reverse DNS of private addresses; not with
    /// analyze); may be given several times, and the first that knows an address wins
    #[arg(long = "names", value_name = "SOURCE")]
    pub(super) names: Vec<Source>,

    /// Database of countries or network operators in the MaxMind DB format, for the labels
    /// from_country, to_country, from_asn and to_asn; may be given several times, such as for one of
    /// each kind, and the first that knows a value wins
    #[arg(long = "geo-database", value_name = "FILE")]
    pub(super) geo_databases: Vec<PathBuf>,

    /// Also count mirrored IPv6 packets
    #[arg(long)]
    pub(super) ipv6: bool,
}

impl FlowArguments {
    pub(super) fn limits(&self, flows: u32) -> FlowLimits {
        FlowLimits {
            flows,
            idle_flows: self.max_idle_flows.unwrap_or(flows.saturating_mul(10)),
            idle_timeout: Duration::ZERO,
            hold: Duration::ZERO,
            hide_unseen: false,
            hosts: self.max_hosts,
        }
    }

    /// Checks that the sources of names differ, and fit the labels.
    fn check_names(&self) -> Result<(), Contradiction> {
        for (index, source) in self.names.iter().enumerate() {
            if self.names[..index].contains(source) {
                return Err(wrong(&format!(
                    "'--names {source}' is given twice: name each source once"
                )));
            }
        }
        if self.labels.have_names() && self.names.is_empty() {
            return Err(wrong(
                "the labels 'from_name' and 'to_name' need a source of names: add '--names'",
            ));
        }
        Ok(())
    }

    /// Reads the names of services, if the label was chosen.
    fn services(&self) -> Result<Services, Contradiction> {
        let is_chosen = self.labels.contains(Label::Service);
        let Some(path) = &self.services else {
            return Ok(if is_chosen {
                Services::registered()
            } else {
                Services::default()
            });
        };
        if !is_chosen {
            return Err(wrong(
                "'--services' gives names to the label 'service': add it to '--labels'",
            ));
        }
        let problem = |error: &dyn Display| {
            let path = path.display();
            wrong(&format!("cannot use the services of {path}: {error}"))
        };
        let content = fs::read(path).map_err(|error| problem(&error))?;
        // Comments may be in any encoding. Names that are not ASCII are refused.
        let content = String::from_utf8_lossy(&content);
        Services::with_file(&content).map_err(|error| problem(&error))
    }

    /// Checks that the databases differ, and that there are some if a label needs them. What they
    /// contain is checked when they are opened.
    fn check_geo_databases(&self) -> Result<(), Contradiction> {
        for (index, file) in self.geo_databases.iter().enumerate() {
            if self.geo_databases[..index].contains(file) {
                return Err(wrong(&format!(
                    "'--geo-database {}' is given twice: name each file once",
                    file.display()
                )));
            }
        }
        if self.geo_databases.is_empty() {
            let none = Databases::default();
            let check = self.labels.check_databases(&none);
            return check.map_err(|error| wrong(&error.to_string()));
        }
        Ok(())
    }

    pub(super) fn shape(&self) -> Result<Shape, Contradiction> {
        self.check_names()?;
        self.check_geo_databases()?;
        let classes = Classes::new(&self.networks, &self.prefix_lengths)
            .map_err(|error| wrong(&error.to_string()))?;
        let hosts = match &self.hosts {
            Some(names) => {
                HostClasses::named(&classes, names).map_err(|error| wrong(&error.to_string()))?
            }
            None => HostClasses::local(&classes, &self.networks),
        };
        Ok(Shape {
            labels: self.labels,
            classes,
            hosts,
            plain: false,
            services: self.services()?,
            ..Shape::default()
        })
    }
}

/// Parses a time in the notation that Prometheus uses, such as `1h30m`.
pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    humantime::parse_duration(text).map_err(|_| "write a time such as 15s, 5m, 1h or 1h30m")
}
