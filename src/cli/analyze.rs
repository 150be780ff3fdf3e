//! The options of `analyze`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::flows::{FlowArguments, duration, max_flows};
use super::number::number;
use super::output::OutputArguments;
use super::{ANALYZED_FLOWS, Contradiction, Task, check_ports, wrong};
use crate::aggregator::Settings;
use crate::analyze::{self, Output};
use crate::flow::Shape;
use crate::names::Source;
use crate::wire::{DecodeOptions, ListenPorts};

#[derive(Debug, Args)]
pub(super) struct AnalyzeArguments {
    /// Captures in pcap or pcapng format, compressed or not; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Count only TZSP sent to these UDP ports, separated by commas; may be given several times
    /// [default: every datagram that starts like TZSP]
    #[arg(
        long = "listen-port",
        visible_alias = "port",
        value_name = "PORT",
        value_delimiter = ',',
        value_parser = number::<u16>(0..=u16::MAX)
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

    /// Number of threads to use [default: number of processors]
    #[arg(
        long,
        value_name = "NUMBER",
        value_parser = number::<u16>(1..=1024)
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
        value_parser = max_flows
    )]
    max_flows: u32,

    /// Stop exposing a flow or a host after this long without a packet, by the capture's time; 0
    /// means never
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration)]
    flow_idle_timeout: Duration,

    /// An option of live mode, which is refused here with the reason.
    #[arg(long, value_name = "TIME", hide = true)]
    hold_new_flows: Option<OsString>,

    #[command(flatten)]
    flows: FlowArguments,
}

impl AnalyzeArguments {
    pub(super) fn task(self) -> Result<Task, Contradiction> {
        check_ports(&self.listen_ports)?;
        if self.hold_new_flows.is_some() {
            return Err(wrong(
                "'--hold-new-flows' shows 0 for young flows until the next scrape, and 'analyze' \
                 writes its output once: leave it out",
            ));
        }
        if self.flows.names.contains(&Source::Resolve) {
            return Err(wrong(
                "'--names resolve' asks name servers, so the output would not depend on the \
                 captures alone: 'analyze' does not take it",
            ));
        }
        let output = self.output.output()?;
        if self.write_inner.is_some() {
            self.check_write_inner(output)?;
        }
        let mut limits = self.flows.limits(self.max_flows);
        limits.idle_timeout = self.flow_idle_timeout;
        // No scrape happens while captures are read.
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
            #[cfg(windows)]
            files: super::wildcards::expand(self.files),
            #[cfg(not(windows))]
            files: self.files,
            jobs: self.jobs.map(usize::from),
            quiet: self.quiet,
            write_inner: self.write_inner,
            names: self.flows.names,
            geo_databases: self.flows.geo_databases,
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
