//! The metrics about the program and its input. They are collected anew for each scrape in a
//! registry of the prometheus crate.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::proto::{Metric, MetricFamily, MetricType};
use prometheus::{Counter, Gauge, GaugeVec, IntCounter, IntCounterVec, Opts, Registry};

use super::catalog::{self, Family, Kind};
use super::format::Encoding;
use super::gathered::Gathered;
use super::wall_clock::UnixMillis;
use super::{OwnState, ProcessState, Refused, WallClock, WebState};
use crate::aggregator::FrameCounts;
use crate::flow::{OTHER, Occupancy, SensorSnapshot};
use crate::geo;
use crate::names::NameTable;
use crate::wire::{Skipped, Truncated};

/// Collects what a one-shot run prints.
pub(super) fn of_analysis(frames: &FrameCounts, names: Option<&NameTable>) -> Account {
    let account = Account::default();
    account.frames(frames);
    account.names(names);
    account
}

/// Collects what a scrape shows.
pub(super) fn of_scrape(flows: &Occupancy, own: &OwnState<'_>) -> Account {
    let OwnState {
        frames, capture, ..
    } = own;
    let mut account = Account::default();
    account.frames(frames);
    account.counter(catalog::SELF_CAPTURED, frames.self_captured);
    account.counter(catalog::CAPTURE_ITERATIONS, capture.iterations);
    account.seconds(catalog::DATA_LOST_SECONDS, capture.lost);
    if let Some(dropped) = capture.dropped {
        account.counter(catalog::CAPTURE_DROPPED, dropped);
    }
    account.gauge(catalog::CAPTURE_UP, f64::from(u8::from(capture.up)));
    let newest = frames.newest.unwrap_or_default();
    account.gauge(catalog::CAPTURE_LAST_FRAME, newest.as_secs_f64());
    account.sensors(own.sensors);
    account.flows(flows);
    account.names(own.names);
    account.databases(own.databases);
    account.web(own.web);
    account.build_info();
    account.process(own.process);
    account
}

/// The families about the program.
#[derive(Default)]
pub(super) struct Account {
    registry: Registry,
    /// When the counters of sensors were 0, by the values of their labels in alphabetical order.
    sensors: BTreeMap<[String; 2], UnixMillis>,
}

impl Account {
    fn frames(&self, frames: &FrameCounts) {
        self.counter(catalog::FRAMES_RECEIVED, frames.received);
        // Every reason, those without frames too: a series that appears later hides its first
        // increase from `rate()`.
        let skipped = Skipped::ALL.map(|reason| (reason.label(), frames.skipped(reason)));
        self.counters(catalog::FRAMES_SKIPPED, &skipped);
        let truncated = Truncated::ALL.map(|cause| (cause.label(), frames.truncated(cause)));
        self.counters(catalog::FRAMES_TRUNCATED, &truncated);
    }

    fn sensors(&mut self, snapshot: &SensorSnapshot) {
        let family = catalog::SENSOR_FRAMES;
        let frames = IntCounterVec::new(options(family), family.labels).expect(VALID);
        let family = catalog::SENSOR_LAST_FRAME;
        let newest = GaugeVec::new(options(family), family.labels).expect(VALID);
        for sensor in &snapshot.sensors {
            let address = sensor.address.map(|address| address.to_string());
            let address = address.as_deref().unwrap_or(OTHER);
            let port = sensor.listen_port.to_string();
            let labels = [address, &port];
            frames
                .with_label_values(&labels)
                .inc_by(sensor.arrivals.frames);
            let at = sensor.arrivals.newest.as_secs_f64();
            newest.with_label_values(&labels).set(at);
            let first = UnixMillis::of(sensor.arrivals.first);
            self.sensors
                .insert([port.clone(), address.to_owned()], first);
        }
        self.add(frames);
        self.add(newest);
        let family = catalog::LISTEN_PORT_LAST_FRAME;
        let newest = GaugeVec::new(options(family), family.labels).expect(VALID);
        for (port, at) in &snapshot.listen_ports {
            let at = at.unwrap_or_default().as_secs_f64();
            newest.with_label_values(&[&port.to_string()]).set(at);
        }
        self.add(newest);
    }

    fn process(&self, process: &ProcessState) {
        for (family, value) in process.samples() {
            match family.kind {
                Kind::Gauge => self.gauge(family, value),
                Kind::Counter => self.float_counter(family, value),
            }
        }
    }

    fn flows(&self, flows: &Occupancy) {
        self.gauge(catalog::FLOWS, flows.flows as f64);
        self.gauge(catalog::FLOWS_LIMIT, f64::from(flows.limit));
        self.counter(catalog::FLOWS_OVERFLOW, flows.overflow_packets);
        self.gauge(catalog::FLOWS_DEMAND, flows.demand as f64);
        self.gauge(catalog::FLOWS_IDLE, flows.idle as f64);
        self.gauge(catalog::FLOWS_IDLE_LIMIT, f64::from(flows.idle_limit));
        self.counter(catalog::FLOWS_FORGOTTEN, flows.forgotten);
        if flows.host_limit > 0 {
            self.gauge(catalog::HOSTS, flows.hosts as f64);
            self.gauge(catalog::HOSTS_LIMIT, f64::from(flows.host_limit));
            self.counter(catalog::HOSTS_FORGOTTEN, flows.forgotten_hosts);
        }
        if flows.operator_limit > 0 {
            self.gauge(catalog::OPERATORS, flows.operators as f64);
            self.gauge(catalog::OPERATORS_LIMIT, f64::from(flows.operator_limit));
        }
    }

    fn names(&self, names: Option<&NameTable>) {
        let Some(names) = names else {
            return;
        };
        let family = catalog::NAMES;
        let known = GaugeVec::new(options(family), family.labels).expect(VALID);
        let mut failures = Vec::new();
        for state in &names.sources {
            known
                .with_label_values(&[&state.source])
                .set(state.names as f64);
            failures.push((state.source.as_str(), state.failures));
        }
        self.add(known);
        self.counters(catalog::NAMES_FAILURES, &failures);
    }

    fn databases(&self, files: &[geo::FileState]) {
        if files.is_empty() {
            return;
        }
        let family = catalog::GEO_DATABASE_BUILT;
        let built = GaugeVec::new(options(family), family.labels).expect(VALID);
        let family = catalog::GEO_DATABASE_BYTES;
        let bytes = GaugeVec::new(options(family), family.labels).expect(VALID);
        let mut failures = Vec::new();
        for state in files {
            let file = state.file.as_str();
            built
                .with_label_values(&[file])
                .set(state.built.as_secs_f64());
            bytes.with_label_values(&[file]).set(state.bytes as f64);
            failures.push((file, state.failures));
        }
        self.add(built);
        self.add(bytes);
        self.counters(catalog::GEO_DATABASE_FAILURES, &failures);
    }

    fn web(&self, web: &WebState) {
        let refused = Refused::ALL.map(|reason| (reason.label(), web.refused(reason)));
        self.counters(catalog::HTTP_REFUSED, &refused);
        self.gauge(catalog::HTTP_CONNECTIONS, web.connections as f64);
        let is_current = f64::from(u8::from(web.config_is_current));
        self.gauge(catalog::WEB_CONFIG_CURRENT, is_current);
    }

    fn counter(&self, family: Family, value: u64) {
        let counter = IntCounter::with_opts(options(family)).expect(VALID);
        counter.inc_by(value);
        self.add(counter);
    }

    fn seconds(&self, family: Family, value: Duration) {
        self.float_counter(family, value.as_secs_f64());
    }

    fn float_counter(&self, family: Family, value: f64) {
        let counter = Counter::with_opts(options(family)).expect(VALID);
        counter.inc_by(value);
        self.add(counter);
    }

    fn counters(&self, family: Family, values: &[(&str, u64)]) {
        let counters = IntCounterVec::new(options(family), family.labels).expect(VALID);
        for &(label, value) in values {
            counters.with_label_values(&[label]).inc_by(value);
        }
        self.add(counters);
    }

    fn gauge(&self, family: Family, value: f64) {
        let gauge = Gauge::with_opts(options(family)).expect(VALID);
        gauge.set(value);
        self.add(gauge);
    }

    fn build_info(&self) {
        let family = catalog::BUILD_INFO;
        let info = GaugeVec::new(options(family), family.labels).expect(VALID);
        info.with_label_values(&[
            env!("CARGO_PKG_VERSION"),
            env!("BUILD_REVISION"),
            env!("BUILD_RUST_VERSION"),
        ])
        .set(1.0);
        self.add(info);
    }

    fn add(&self, collector: impl Collector + 'static) {
        self.registry.register(Box::new(collector)).expect(VALID);
    }

    pub(super) fn write(&self, out: &mut impl Write, encoding: Encoding<'_>) -> io::Result<()> {
        let zero = encoding.clock.map(WallClock::zero);
        let gathered = Gathered {
            families: self.registry.gather(),
            start: |family: &MetricFamily, metric: &Metric| self.start(zero?, family, metric),
        };
        gathered.write(out, encoding.format)
    }

    /// Returns when a counter was 0; `zero` is the start of the process.
    fn start(
        &self,
        zero: UnixMillis,
        family: &MetricFamily,
        metric: &Metric,
    ) -> Option<UnixMillis> {
        const SENSOR_FRAMES: &str = catalog::SENSOR_FRAMES.name;
        // These count from the start of the system, or of the network namespace.
        const RECEIVED: &str = catalog::PROCESS_RECEIVED.name;
        const TRANSMITTED: &str = catalog::PROCESS_TRANSMITTED.name;

        match family.name() {
            _ if family.get_field_type() != MetricType::COUNTER => None,
            RECEIVED | TRANSMITTED => None,
            SENSOR_FRAMES => match metric.get_label() {
                [port, sensor] => {
                    let labels = [port, sensor].map(|label| label.value().to_owned());
                    self.sensors.get(&labels).copied()
                }
                _ => None,
            },
            _ => Some(zero),
        }
    }
}

const VALID: &str = "the catalog holds valid, distinct names";

fn options(family: Family) -> Opts {
    Opts::new(family.name, family.help)
}
