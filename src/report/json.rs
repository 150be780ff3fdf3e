//! One JSON object, for programs. It is written while its parts are made: there may be a million
//! flows.

mod hosts;
mod lines;

use std::io::{self, Write};
use std::net::IpAddr;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::time::nanoseconds;
use super::{Overview, rows};
use crate::aggregator::FrameCounts;
use crate::flow::{
    Counters, Flow, HostTraffic, Label, Occupancy, OverflowKey, ProtocolName, Sensor, Shape,
    Snapshot, Sum, TrafficKey,
};
use crate::metrics::labels;
use crate::names::NameTable;
use crate::wire::{Skipped, Truncated};
pub use hosts::write_hosts;
use lines::Lines;

/// Writes one JSON object, whose members the README explains.
///
/// # Errors
/// Those of `out`.
pub fn write_json(
    out: &mut impl Write,
    mut snapshot: Snapshot,
    frames: &FrameCounts,
    names: Option<&NameTable>,
) -> io::Result<()> {
    snapshot
        .overflow
        .sort_unstable_by_key(|sum| (sum.counters.rank(), sum.key.is_none(), sum.key));
    snapshot
        .traffic
        .sort_unstable_by_key(|sum| (sum.counters.rank(), sum.key.is_none(), sum.key));
    let mut serializer = serde_json::Serializer::with_formatter(&mut *out, Lines::default());
    let mut document = serializer.serialize_map(None)?;
    document.serialize_entry("frames", &Frames(frames))?;
    document.serialize_entry("total", &Total(rows::total(&snapshot)))?;
    document.serialize_entry("limits", &Limits(&snapshot.occupancy))?;
    let shape = snapshot.shape.clone();
    if snapshot.occupancy.host_limit > 0 {
        snapshot.sort_hosts();
        // Equally large rows stay in the order of their keys.
        snapshot.hosts.sort_by_key(|host| host.counters.rank());
        let hosts = snapshot
            .hosts
            .iter()
            .map(|host| HostRow(&shape, names, host));
        document.serialize_entry("hosts", &Array(|| hosts.clone()))?;
    }
    let traffic = snapshot.traffic.iter().map(|sum| Traffic(&shape, *sum));
    document.serialize_entry("traffic", &Array(|| traffic.clone()))?;
    let overflow = snapshot.overflow.iter().map(|sum| Overflow(&shape, *sum));
    document.serialize_entry("overflow", &Array(|| overflow.clone()))?;
    snapshot.sort_by_bytes();
    let flows = || snapshot.by_bytes().map(|flow| FlowRow(&shape, names, flow));
    document.serialize_entry("flows", &Array(flows))?;
    SerializeMap::end(document)?;
    out.write_all(b"\n")
}

/// Writes what `/api/flows` answers: one JSON object, whose members the README explains. It has
/// those of [`write_json`] that mean something while they grow, and those of a live capture.
///
/// # Errors
/// Those of `out`.
pub fn write_overview(out: &mut dyn Write, overview: &Overview) -> io::Result<()> {
    let recent = &overview.recent;
    let mut serializer = serde_json::Serializer::with_formatter(&mut *out, Lines::default());
    let mut document = serializer.serialize_map(Some(8))?;
    document.serialize_entry("capture", &Capture(overview))?;
    document.serialize_entry("frames", &Frames(&overview.frames))?;
    let sensors = || overview.sensors.sensors.iter().map(SensorRow);
    document.serialize_entry("sensors", &Array(sensors))?;
    document.serialize_entry("limits", &Limits(&overview.occupancy))?;
    document.serialize_entry("window", &Window(overview))?;
    document.serialize_entry("total", &Total(recent.total))?;
    document.serialize_entry("overflow", &Total(recent.overflow))?;
    let names = overview.names.as_ref();
    let row = |flow: &Flow<IpAddr>| FlowRow(&recent.shape, names, *flow);
    let flows = || recent.top.iter().map(row);
    document.serialize_entry("flows", &Array(flows))?;
    SerializeMap::end(document)?;
    out.write_all(b"\n")
}

/// The state of the live capture.
struct Capture<'a>(&'a Overview);

impl Serialize for Capture<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(overview) = self;
        let capture = &overview.capture;
        let mut map = serializer.serialize_map(Some(6))?;
        map.serialize_entry("up", &capture.up)?;
        map.serialize_entry("since", &overview.changed().map(nanoseconds))?;
        map.serialize_entry("source", &overview.source)?;
        map.serialize_entry("iterations", &capture.iterations)?;
        map.serialize_entry("lost_seconds", &capture.lost.as_secs_f64())?;
        map.serialize_entry("dropped", &capture.dropped)?;
        map.end()
    }
}

/// A sensor. The sensors beyond the limit are one, whose address is null.
struct SensorRow<'a>(&'a Sensor);

impl Serialize for SensorRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(sensor) = self;
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("sensor", &sensor.address)?;
        map.serialize_entry("listen_port", &sensor.listen_port)?;
        map.serialize_entry("frames", &sensor.arrivals.frames)?;
        map.serialize_entry("last", &nanoseconds(sensor.arrivals.newest))?;
        map.end()
    }
}

/// The time in which recent traffic was counted.
struct Window<'a>(&'a Overview);

impl Serialize for Window<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(overview) = self;
        let mut map = serializer.serialize_map(Some(5))?;
        map.serialize_entry("since", &nanoseconds(overview.since()))?;
        map.serialize_entry("until", &nanoseconds(overview.at))?;
        map.serialize_entry("seconds", &overview.window().as_secs_f64())?;
        map.serialize_entry("active_flows", &overview.recent.active)?;
        map.serialize_entry("active_hosts", &overview.recent.hosts.active)?;
        map.end()
    }
}

/// Frames by what became of them. `first` and `last` are null without a frame that has a time.
struct Frames<'a>(&'a FrameCounts);

impl Serialize for Frames<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(frames) = self;
        let skipped = Skipped::ALL.map(|reason| (reason.label(), frames.skipped(reason)));
        let truncated = Truncated::ALL.map(|cause| (cause.label(), frames.truncated(cause)));
        let seconds = frames.span().map(|span| span.as_secs_f64());
        let mut map = serializer.serialize_map(Some(7))?;
        map.serialize_entry("received", &frames.received)?;
        map.serialize_entry("counted", &frames.counted())?;
        map.serialize_entry("first", &frames.oldest.map(nanoseconds))?;
        map.serialize_entry("last", &frames.oldest.and(frames.newest).map(nanoseconds))?;
        map.serialize_entry("seconds", &seconds)?;
        map.serialize_entry("skipped", &Map(&skipped))?;
        map.serialize_entry("truncated", &Map(&truncated))?;
        map.end()
    }
}

/// Counts by label value.
struct Map<'a>(&'a [(&'static str, u64)]);

impl Serialize for Map<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

/// Bytes and packets alone.
struct Total(Counters);

impl Serialize for Total {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        serialize_counters(&mut map, self.0)?;
        map.end()
    }
}

/// How full the table is. Leaves out the demand: that estimate depends on the run's hash seed, and
/// equal input has to give equal output.
struct Limits<'a>(&'a Occupancy);

impl Serialize for Limits<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(occupancy) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("flows", &occupancy.flows)?;
        map.serialize_entry("max_flows", &occupancy.limit)?;
        map.serialize_entry("overflow_packets", &occupancy.overflow_packets)?;
        map.serialize_entry("idle_flows", &occupancy.idle)?;
        map.serialize_entry("max_idle_flows", &occupancy.idle_limit)?;
        map.serialize_entry("forgotten_flows", &occupancy.forgotten)?;
        if occupancy.host_limit > 0 {
            map.serialize_entry("hosts", &occupancy.hosts)?;
            map.serialize_entry("max_hosts", &occupancy.host_limit)?;
            map.serialize_entry("forgotten_hosts", &occupancy.forgotten_hosts)?;
        }
        map.end()
    }
}

/// An array whose elements are made one by one, while they are written.
struct Array<F>(F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for Array<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0())
    }
}

/// A series of a host, with its name if there are any. The host is null for those beyond the limit.
struct HostRow<'a>(&'a Shape, Option<&'a NameTable>, &'a HostTraffic);

impl Serialize for HostRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(shape, names, HostTraffic { key, counters, .. }) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("host", &key.host)?;
        if let Some(names) = names {
            let name = key.host.and_then(|host| names.name_of(host));
            map.serialize_entry("host_name", &name)?;
        }
        map.serialize_entry("direction", key.direction.label())?;
        map.serialize_entry("peer_type", shape.classes.name(key.peer_class))?;
        serialize_counters(&mut map, *counters)?;
        map.end()
    }
}

/// A sum of the traffic families. Those beyond the number of keys are one, whose labels are null.
struct Traffic<'a>(&'a Shape, Sum<TrafficKey>);

impl Serialize for Traffic<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(shape, Sum { key, counters, .. }) = self;
        let name = |class| shape.classes.name(class);
        let mut map = serializer.serialize_map(Some(6))?;
        map.serialize_entry("from_type", &key.map(|key| name(key.from_class)))?;
        map.serialize_entry("to_type", &key.map(|key| name(key.to_class)))?;
        map.serialize_entry("protocol", &key.map(|key| ProtocolName::of(key.protocol)))?;
        map.serialize_entry(
            "listen_port",
            &key.and_then(|key| shape.listen_port(key.listen_port)),
        )?;
        serialize_counters(&mut map, *counters)?;
        map.end()
    }
}

/// Packets beyond the limit of flows, with those of the chosen labels that they have.
struct Overflow<'a>(&'a Shape, Sum<OverflowKey>);

impl Serialize for Overflow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(shape, Sum { key, counters, .. }) = self;
        let mut map = serializer.serialize_map(None)?;
        if shape.labels.contains(Label::Protocol) {
            map.serialize_entry("protocol", &key.map(|key| ProtocolName::of(key.protocol)))?;
        }
        if shape.labels.contains(Label::ListenPort) {
            map.serialize_entry(
                "listen_port",
                &key.and_then(|key| shape.listen_port(key.listen_port)),
            )?;
        }
        serialize_counters(&mut map, *counters)?;
        map.end()
    }
}

/// A flow, with the chosen labels, and with names if there are any.
struct FlowRow<'a>(&'a Shape, Option<&'a NameTable>, Flow<IpAddr>);

impl Serialize for FlowRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(shape, names, Flow { key, counters, .. }) = self;
        let no_names = NameTable::default();
        let mut map = serializer.serialize_map(None)?;
        for label in rows::shown_labels(shape, *names) {
            let name = label.name();
            match label {
                Label::ListenPort => {
                    map.serialize_entry(name, &shape.listen_port(key.listen_port))?;
                }
                Label::FromPort => map.serialize_entry(name, &key.from_port)?,
                Label::ToPort => map.serialize_entry(name, &key.to_port)?,
                Label::Vlan => map.serialize_entry(name, &key.vlan)?,
                Label::Dscp => map.serialize_entry(name, &key.dscp)?,
                Label::IpVersion => map.serialize_entry(name, &key.ip_version())?,
                Label::From
                | Label::FromType
                | Label::To
                | Label::ToType
                | Label::Protocol
                | Label::Sensor
                | Label::FromName
                | Label::ToName
                | Label::Service
                | Label::FromCountry
                | Label::ToCountry
                | Label::FromAsn
                | Label::ToAsn => {
                    let names = names.unwrap_or(&no_names);
                    let value = labels::flow_value(shape, names, key, label);
                    // A sensor may be empty, where packets came in no datagram, a name, and a service.
                    map.serialize_entry(name, &(!value.is_empty()).then_some(value))?;
                }
            }
        }
        serialize_counters(&mut map, *counters)?;
        map.end()
    }
}

fn serialize_counters<M: SerializeMap>(map: &mut M, counters: Counters) -> Result<(), M::Error> {
    map.serialize_entry("bytes", &counters.bytes)?;
    map.serialize_entry("packets", &counters.packets)
}
