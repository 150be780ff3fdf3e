//! The landing page: the state of the capture, the hosts, the top flows, and the routers. Its script
//! only fetches the page again, so everything works without scripts too.

mod hosts;

use std::time::Duration;

use maud::{DOCTYPE, Markup, html};

use crate::aggregator::FrameCounts;
use crate::flow::{Arrivals, Counters, Label, OTHER, Occupancy, Recent};
use crate::names::NameTable;
use crate::report::rows::{Row, Rows};
use crate::report::units::{bits_per_second, bytes, count, number, share};
use crate::report::{self, Explanation, Overview, Reception, Unusual, time, units};
use crate::wire::Skipped;

/// How many hosts and flows are shown.
pub(super) const TOP: usize = 20;

pub(super) const SCRIPT: &str = include_str!("site/app.js");
pub(super) const STYLE: &str = include_str!("site/style.css");
pub(super) const ICON: &str = include_str!("site/icon.svg");

/// The content security policy: only resources of this server, and no inline scripts or styles. If
/// text from the network ever got into the page unescaped, browsers would not run it.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// Labels that often have the same value in all flows.
const DETAILS: [Label; 5] = [
    Label::ListenPort,
    Label::Sensor,
    Label::Vlan,
    Label::Dscp,
    Label::IpVersion,
];

/// Renders the whole page.
pub(super) fn landing(overview: &Overview) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "TZSP packet stream exporter" }
                link rel="stylesheet" href="/style.css";
                link rel="icon" href="/icon.svg";
                script src="/app.js" defer {}
                noscript { meta http-equiv="refresh" content="10"; }
            }
            body {
                header {
                    h1 { "TZSP packet stream exporter" }
                    nav {
                        a href="/metrics" { "Metrics" }
                        a href="/api/hosts" { "Hosts as JSON" }
                        a href="/api/flows" { "Flows as JSON" }
                    }
                }
                p #stale role="alert" hidden { "The exporter does not answer: this is old." }
                main {
                    (state(overview))
                    (hosts::last_hour(overview))
                    (hosts::hosts(overview))
                    (flows(overview))
                    (facts(overview))
                    (routers(overview))
                }
                footer { "tzsp_packetstream_exporter " (env!("CARGO_PKG_VERSION")) }
            }
        }
    };
    page.into_string()
}

/// Whether frames arrive, since when, and what to do if they do not.
fn state(overview: &Overview) -> Markup {
    let reception = overview.reception();
    let unusual = Unusual::of(&overview.recent_frames);
    let tone = match reception {
        Reception::Receiving if unusual.is_unhealthy => "skipping",
        Reception::Receiving => "receiving",
        Reception::Waiting | Reception::Silent(_) => "waiting",
        Reception::Down => "down",
    };
    let capture_state = if overview.capture.up {
        "Running"
    } else {
        "Without a capture"
    };
    html! {
        section class={ "state " (tone) } {
            h2 #state {
                @match reception {
                    Reception::Receiving if unusual.is_unhealthy => {
                        "Receiving, but " (share(unusual.frames, overview.recent_frames.received))
                        " of the frames are skipped"
                    }
                    Reception::Receiving => "Receiving",
                    Reception::Waiting => "Waiting: nothing has arrived yet",
                    Reception::Silent(silence) => { "Silent: nothing has arrived for " (duration(silence)) }
                    Reception::Down => "Down: no capture is running",
                }
            }
            p {
                (overview.source)
                @if let Some(changed) = overview.changed() {
                    ". " (capture_state) " since " (moment(changed))
                    " (" (duration(overview.at.saturating_sub(changed))) ")"
                }
                "."
            }
            @for hint in hints(overview, reception) { p.warning { (hint) } }
            @for (reason, frames) in unusual.reasons {
                p.warning { (skipped_hint(reason, frames, &overview.recent_frames)) }
            }
        }
    }
}

/// Returns advice for everything that is wrong.
fn hints(overview: &Overview, reception: Reception) -> Vec<String> {
    let frames = &overview.frames;
    let mut hints = Vec::new();
    match reception {
        Reception::Receiving => {}
        Reception::Waiting | Reception::Silent(_) => hints.push(
            "Does the router stream to this host and port, and does a firewall let it through?"
                .to_owned(),
        ),
        Reception::Down => {
            hints.push("It is started again by itself. The log tells why it ended.".to_owned());
        }
    }
    if frames.received > 0 && frames.counted() == 0 {
        hints.push("None of the frames counts in a flow: see why they were skipped.".to_owned());
    }
    if let Some(sensor) = frames.self_capturing_sensor {
        let packets = count(frames.self_captured, "packet");
        hints.push(format!(
            "The sensor {sensor} mirrors its own stream ({packets} so far): exclude this host there."
        ));
    }
    if overview.occupancy.overflow_packets > 0 {
        let packets = count(overview.occupancy.overflow_packets, "packet");
        hints.push(format!(
            "The limit of flows was reached: {packets} so far are in `{OTHER}`. Raise --max-flows."
        ));
    }
    hints
}

fn skipped_hint(reason: Skipped, frames: u64, recent: &FrameCounts) -> String {
    let Explanation { meaning, remedy } = Explanation::of(reason);
    format!(
        "{} of the frames of the last minute are skipped as {}: {meaning}. Remedy: {}.",
        share(frames, recent.received),
        reason.label(),
        remedy.unwrap_or_default()
    )
    .replace('`', "")
}

/// The numbers of frames and flows since the start.
fn facts(overview: &Overview) -> Markup {
    let frames = &overview.frames;
    let capture = &overview.capture;
    let Occupancy { flows, limit, .. } = overview.occupancy;
    html! {
        dl.facts {
            div {
                dt { "Frames received" }
                dd #received { (number(frames.received)) }
                dd { small { (number(frames.counted())) " of them counted in flows" } }
            }
            div {
                dt { "Skipped" }
                dd #skipped { (number(frames.received - frames.counted())) }
                dd {
                    @for (reason, frames) in report::skipped(frames) {
                        small { (number(frames)) " " (reason.label()) }
                    }
                }
            }
            div {
                dt { "Dropped by kernel or capture" }
                dd #dropped { (capture.dropped.map_or("unknown".to_owned(), number)) }
                @if !capture.lost.is_zero() {
                    dd {
                        small.warning {
                            (duration(capture.lost)) " without a capture, "
                            (count(capture.iterations.saturating_sub(1), "restart"))
                        }
                    }
                }
            }
            div {
                dt { "Flows" }
                dd #flows { (number(flows as u64)) " of " (number(limit.into())) }
                dd {
                    meter min="0" max=(limit) low=(limit / 10 * 8) high=(limit / 10 * 9)
                        optimum="0" value=(flows) {}
                }
            }
        }
    }
}

/// The flows with the most bytes lately.
fn flows(overview: &Overview) -> Markup {
    let recent = &overview.recent;
    let window = overview.window();
    let table = Table::of(recent, overview.names.as_ref());
    html! {
        section {
            h2 #window { "Top flows of the last " (duration(window)) }
            p.quiet {
                "Since " (moment(overview.since())) ": "
                (count(recent.active as u64, "flow")) ", "
                (count(recent.total.packets, "packet")) ", " (bytes(recent.total.bytes))
                @if let Some(rate) = bits_per_second(recent.total.bytes, window) {
                    ", " (rate) " on average"
                }
                @for (label, value) in &table.common { "; all with " (label.name()) " " (value) }
                "."
            }
            @if !table.rows.rows.is_empty() { (table.markup(recent.total, window)) }
        }
    }
}

/// The sensors, and the listen ports without any traffic so far.
fn routers(overview: &Overview) -> Markup {
    let ago = |at: Duration| duration(overview.at.saturating_sub(at));
    let unused_ports = overview.sensors.listen_ports.iter();
    let unused_ports = unused_ports.filter(|(_, newest)| newest.is_none());
    html! {
        section {
            h2 #routers { "Routers" }
            @if overview.sensors.sensors.is_empty() {
                p.quiet { "None has sent anything yet." }
            } @else {
                @for (port, _) in unused_ports {
                    p.warning { "Nothing has ever arrived for UDP port " (port) "." }
                }
                table {
                    thead {
                        tr {
                            th { "sensor" }
                            th { "port" }
                            th.number { "frames" }
                            th { "last seen" }
                        }
                    }
                    tbody {
                        @for sensor in &overview.sensors.sensors {
                            @let Arrivals { frames, newest, .. } = sensor.arrivals;
                            tr {
                                td data-name="sensor" {
                                    @match sensor.address {
                                        Some(address) => (address),
                                        None => (OTHER),
                                    }
                                }
                                td data-name="port" { (sensor.listen_port) }
                                td.number data-name="frames" { (number(frames)) }
                                td.end data-name="last seen" {
                                    (moment(newest)) small { (ago(newest)) " ago" }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The flows with the most bytes, and a row for those that are counted as `other`.
struct Table {
    rows: Rows,
    /// Labels with the same value in all flows.
    common: Vec<(Label, String)>,
}

impl Table {
    fn of(recent: &Recent, names: Option<&NameTable>) -> Self {
        let mut rows = Rows::of_flows(&recent.shape, names, recent.top.iter().copied());
        let mut common = rows.take_common(DETAILS);
        common.retain(|(_, value)| !value.is_empty());
        rows.push_other(recent.overflow);
        rows.keep_largest(TOP);
        Self { rows, common }
    }

    fn markup(&self, total: Counters, window: Duration) -> Markup {
        html! {
            table {
                thead {
                    tr {
                        @for label in self.columns() { th { (label.name()) } }
                        th.number { "rate" }
                        th.number { "bytes" }
                        th.number { "packets" }
                        th { "share" }
                    }
                }
                tbody {
                    @for row @ Row { counters, .. } in &self.rows.rows {
                        tr {
                            @for label in self.columns() { (self.cell(label, row)) }
                            td.number data-name="" {
                                (bits_per_second(counters.bytes, window).unwrap_or_default())
                            }
                            td.number data-name="" { (bytes(counters.bytes)) }
                            td.number data-name="packets" { (number(counters.packets)) }
                            (share_cell(counters.bytes, total.bytes))
                        }
                    }
                }
            }
        }
    }

    /// The labels that have a column. The type of an address has none, and neither has its name:
    /// they follow the address.
    fn columns(&self) -> impl Iterator<Item = Label> {
        let labels = &self.rows.labels;
        labels.iter().copied().filter(|label| match label {
            Label::FromType => !labels.contains(&Label::From),
            Label::ToType => !labels.contains(&Label::To),
            Label::FromName | Label::ToName => false,
            _ => true,
        })
    }

    fn cell(&self, label: Label, row: &Row) -> Markup {
        let value = |label| Some(row.values[self.rows.position(label)?].as_str());
        let text = value(label).unwrap_or_default();
        let (name, address_type) = match label {
            Label::From => (value(Label::FromName), value(Label::FromType)),
            Label::To => (value(Label::ToName), value(Label::ToType)),
            _ => return html! { td data-name=(label.name()) { (text) } },
        };
        let name = name.filter(|name| !name.is_empty() && *name != OTHER);
        html! {
            td.end data-name=(label.name()) {
                (text)
                @if let Some(name) = name { small { (name) } }
                @if let Some(kind) = address_type && kind != OTHER { small { (kind) } }
            }
        }
    }
}

/// A share as a bar and as text.
fn share_cell(part: u64, all: u64) -> Markup {
    let percent = part as f64 * 100.0 / all.max(1) as f64;
    html! {
        td.share data-name="" {
            svg.bar aria-hidden="true" { rect width={ (format!("{percent:.1}")) "%" } height="100%" {} }
            (share(part, all))
        }
    }
}

/// Formats a duration to the second, so that a page that is fetched again and again stays calm;
/// below one second to the millisecond.
fn duration(time: Duration) -> String {
    let whole = Duration::from_secs(time.as_secs());
    units::duration(if whole.is_zero() { time } else { whole })
}

/// A time to the second.
fn moment(at: Duration) -> Markup {
    html! { time datetime=(time::seconds(at)) { (time::moment(at)) } }
}

#[cfg(test)]
mod tests;
