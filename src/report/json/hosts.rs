//! What `/api/hosts` answers.

use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::super::Overview;
use super::lines::Lines;
use super::{Array, Capture, Total, Window};
use crate::flow::{BothDirections, Counters, RecentHost};

/// Writes what `/api/hosts` answers: one JSON object, whose members the documentation explains.
///
/// # Errors
/// Those of `out`.
pub fn write_hosts(out: &mut dyn Write, overview: &Overview) -> io::Result<()> {
    let recent = &overview.recent.hosts;
    let mut serializer = serde_json::Serializer::with_formatter(&mut *out, Lines::default());
    let mut document = serializer.serialize_map(Some(6))?;
    document.serialize_entry("capture", &Capture(overview))?;
    document.serialize_entry("limits", &Limits(overview))?;
    document.serialize_entry("window", &Window(overview))?;
    let BothDirections { sent, received } = recent.total;
    document.serialize_entry("total", &Directions { received, sent })?;
    let RecentHost { sent, received, .. } = recent.other;
    document.serialize_entry("other", &Directions { received, sent })?;
    let hosts = || recent.top.iter().map(|host| Host(overview, host));
    document.serialize_entry("hosts", &Array(hosts))?;
    SerializeMap::end(document)?;
    out.write_all(b"\n")
}

/// How many hosts are exposed.
struct Limits<'a>(&'a Overview);

impl Serialize for Limits<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(overview) = self;
        let occupancy = &overview.occupancy;
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("hosts", &occupancy.hosts)?;
        map.serialize_entry("max_hosts", &occupancy.host_limit)?;
        map.serialize_entry("forgotten_hosts", &occupancy.forgotten_hosts)?;
        map.end()
    }
}

/// What was received and sent.
struct Directions {
    received: Counters,
    sent: Counters,
}

impl Serialize for Directions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("received", &Total(self.received))?;
        map.serialize_entry("sent", &Total(self.sent))?;
        map.end()
    }
}

/// A host, with its name if one is known.
struct Host<'a>(&'a Overview, &'a RecentHost);

impl Serialize for Host<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(overview, host) = self;
        let name = host.address.and_then(|address| overview.name_of(address));
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("host", &host.address)?;
        map.serialize_entry("name", &name)?;
        map.serialize_entry("received", &Total(host.received))?;
        map.serialize_entry("sent", &Total(host.sent))?;
        map.end()
    }
}
