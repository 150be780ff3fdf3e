//! The landing page: the state of the capture, and who talks to whom. What its script shows later
//! is this page again, so that it looks the same without.

use std::time::Duration;

use maud::{DOCTYPE, Markup, html};

use crate::aggregator::FrameCounts;
use crate::flow::{Arrivals, Counters, Label, OTHER, Occupancy, Recent};
use crate::metrics::units::{bits_per_second, bytes, count, number, share};
use crate::metrics::{Explanation, Overview, Reception, Unusual, labels, time::rfc3339, units};
use crate::wire::Skipped;

/// Flows that are shown.
pub(super) const TOP: usize = 20;

pub(super) const SCRIPT: &str = include_str!("site/app.js");
pub(super) const STYLE: &str = include_str!("site/style.css");
pub(super) const ICON: &str = include_str!("site/icon.svg");

/// Nothing but what this server has; whoever adds to a page by some mistake gets nowhere.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// Labels whose value is the same in all flows as a rule.
const DETAILS: [Label; 5] = [
    Label::ListenPort,
    Label::Sensor,
    Label::Vlan,
    Label::Dscp,
    Label::IpVersion,
];

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
                        a href="/api/flows" { "Flows as JSON" }
                    }
                }
                p #stale role="alert" hidden { "The exporter does not answer: this is old." }
                main {
                    (state(overview))
                    (facts(overview))
                    (flows(overview))
                    (routers(overview))
                }
                footer { "tzsp_packetstream_exporter " (env!("CARGO_PKG_VERSION")) }
            }
        }
    };
    page.into_string()
}

fn state(overview: &Overview) -> Markup {
    let reception = overview.reception();
    let unusual = Unusual::of(&overview.recent_frames);
    let tone = match reception {
        Reception::Receiving if unusual.is_unhealthy => "skipping",
        Reception::Receiving => "receiving",
        Reception::Waiting | Reception::Silent(_) => "waiting",
        Reception::Down => "down",
    };
    let what = if overview.capture.up {
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
                    ". " (what) " since " (moment(changed))
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

/// What to do about it.
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

fn facts(overview: &Overview) -> Markup {
    let frames = &overview.frames;
    let capture = &overview.capture;
    let Occupancy { flows, limit, .. } = overview.occupancy;
    let skipped = Skipped::ALL.map(|reason| (frames.skipped(reason), reason.label()));
    let reasons = skipped.iter().filter(|(frames, _)| *frames > 0);
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
                    @for (frames, reason) in reasons { small { (number(*frames)) " " (reason) } }
                }
            }
            div {
                dt { "Dropped by kernel or capture" }
                dd #dropped { (number(capture.dropped)) }
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

fn flows(overview: &Overview) -> Markup {
    let recent = &overview.recent;
    let window = overview.window();
    let table = Table::of(recent);
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
            @if !table.rows.is_empty() { (table.drawn(recent.total, window)) }
        }
    }
}

/// Who sends TZSP, and the listen ports to which nobody ever did.
fn routers(overview: &Overview) -> Markup {
    let ago = |at: Duration| duration(overview.at.saturating_sub(at));
    let unused = overview.sensors.listen_ports.iter();
    let unused = unused.filter(|(_, newest)| newest.is_none());
    html! {
        section {
            h2 #routers { "Routers" }
            @if overview.sensors.sensors.is_empty() {
                p.quiet { "None has sent anything yet." }
            } @else {
                @for (port, _) in unused {
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
                            @let Arrivals { frames, newest } = sensor.arrivals;
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

/// The flows, and what found no place among them.
struct Table {
    labels: Vec<Label>,
    rows: Vec<(Counters, Vec<String>)>,
    /// Labels with the same value in all flows.
    common: Vec<(Label, String)>,
}

impl Table {
    fn of(recent: &Recent) -> Self {
        let labels: Vec<_> = recent.shape.labels.iter().collect();
        let rows = recent.top.iter().map(|flow| {
            let cells = labels.iter().map(|&label| {
                let mut value = String::new();
                labels::push_flow_value(&mut value, &recent.shape, &flow.key, label);
                value
            });
            (flow.counters, cells.collect())
        });
        let mut table = Self {
            rows: rows.collect(),
            labels,
            common: Vec::new(),
        };
        table.take_common();
        if recent.overflow.packets > 0 {
            let other = vec![OTHER.to_owned(); table.labels.len()];
            table.rows.push((recent.overflow, other));
            table.rows.sort_by_key(|(counters, _)| counters.rank());
            table.rows.truncate(TOP);
        }
        table
    }

    fn take_common(&mut self) {
        for label in DETAILS {
            let Some(place) = self.labels.iter().position(|&other| other == label) else {
                continue;
            };
            let Some((_, first)) = self.rows.first() else {
                return;
            };
            let value = first[place].clone();
            let is_common = self.rows.iter().all(|(_, row)| row[place] == value);
            if is_common && self.labels.len() > 1 {
                self.labels.remove(place);
                for (_, row) in &mut self.rows {
                    row.remove(place);
                }
                if !value.is_empty() {
                    self.common.push((label, value));
                }
            }
        }
    }

    fn drawn(&self, total: Counters, window: Duration) -> Markup {
        html! {
            table {
                thead {
                    tr {
                        @for (label, _) in self.columns() { th { (label.name()) } }
                        th.number { "rate" }
                        th.number { "bytes" }
                        th.number { "packets" }
                        th { "share" }
                    }
                }
                tbody {
                    @for (counters, row) in &self.rows {
                        tr {
                            @for (label, place) in self.columns() { (self.cell(label, place, row)) }
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

    /// The type of an address stands beside it.
    fn columns(&self) -> impl Iterator<Item = (Label, usize)> {
        let labels = self.labels.iter().copied().zip(0..);
        labels.filter(|&(label, _)| match label {
            Label::FromType => !self.labels.contains(&Label::From),
            Label::ToType => !self.labels.contains(&Label::To),
            _ => true,
        })
    }

    fn cell(&self, label: Label, place: usize, row: &[String]) -> Markup {
        let kind = match label {
            Label::From => Label::FromType,
            Label::To => Label::ToType,
            _ => return html! { td data-name=(label.name()) { (row[place]) } },
        };
        let kind = self.labels.iter().position(|&other| other == kind);
        let kind = kind.filter(|&kind| row[kind] != OTHER);
        html! {
            td.end data-name=(label.name()) {
                (row[place])
                @if let Some(kind) = kind { small { (row[kind]) } }
            }
        }
    }
}

fn share_cell(part: u64, all: u64) -> Markup {
    let percent = part as f64 * 100.0 / all.max(1) as f64;
    html! {
        td.share data-name="" {
            svg.bar aria-hidden="true" { rect width={ (format!("{percent:.1}")) "%" } height="100%" {} }
            (share(part, all))
        }
    }
}

/// To the second, as it is looked at again and again; to the millisecond below one.
fn duration(time: Duration) -> String {
    let whole = Duration::from_secs(time.as_secs());
    units::duration(if whole.is_zero() { time } else { whole })
}

/// To the second.
fn moment(at: Duration) -> Markup {
    let text = rfc3339(at, humantime::format_rfc3339_seconds);
    html! { time datetime=(text) { (text.replace('T', " ")) } }
}

#[cfg(test)]
mod tests;
