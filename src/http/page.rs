//! The landing page: the state of the capture, the hosts, the top flows, and the routers. Its script
//! only fetches the page again, so everything works without scripts too.

mod hosts;
mod traffic;

use std::time::Duration;

use maud::{DOCTYPE, Markup, html};

use crate::aggregator::FrameCounts;
use crate::flow::{Arrivals, OTHER, Occupancy};
use crate::report::units::{count, number, share};
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
                    (traffic::flows(overview))
                    (traffic::groups(overview))
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
