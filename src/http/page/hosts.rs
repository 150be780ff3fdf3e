//! The hosts: a chart of the last hour, and those with the most bytes in the last minute.

use std::time::Duration;

use maud::{Markup, html};

use super::{TOP, duration, share_cell};
use crate::flow::{Counters, OTHER, RecentHost};
use crate::report::Overview;
use crate::report::chart::Chart;
use crate::report::units::{bits_per_second, count, number};

/// What all hosts received and sent in the last hour.
pub(super) fn last_hour(overview: &Overview) -> Markup {
    html! {
        @if let Some(chart) = Chart::of(&overview.last_hour) && is_on(overview) {
            section {
                h2 { "Down and up in the last hour" }
                (chart)
            }
        }
    }
}

/// The hosts with the most bytes lately, and a row for those that are counted as `other`.
pub(super) fn hosts(overview: &Overview) -> Markup {
    let recent = &overview.recent.hosts;
    let window = overview.window();
    let all = recent.total.sent.bytes + recent.total.received.bytes;
    html! {
        @if is_on(overview) {
            section {
                h2 #hosts { "Top hosts of the last " (duration(window)) }
                p.quiet {
                    (count(recent.active as u64, "active host")) "; "
                    (number(overview.occupancy.hosts as u64)) " of "
                    (number(overview.occupancy.host_limit.into())) " slots in use."
                }
                @if all > 0 { (table(overview, all, window)) }
            }
        }
    }
}

fn table(overview: &Overview, all: u64, window: Duration) -> Markup {
    let rate = |counters: Counters| bits_per_second(counters.bytes, window).unwrap_or_default();
    html! {
        table.hosts {
            thead {
                tr {
                    th { "host" }
                    th.number { "down" }
                    th.number { "up" }
                    th { "share" }
                }
            }
            tbody {
                @for host in rows(overview) {
                    tr {
                        td.end data-name="" { (name(overview, host)) }
                        td.number data-name="down" { (rate(host.received)) }
                        td.number data-name="up" { (rate(host.sent)) }
                        (share_cell(bytes(host), all))
                    }
                }
            }
        }
    }
}

/// The hosts to show, those with the most bytes first.
fn rows(overview: &Overview) -> Vec<&RecentHost> {
    let recent = &overview.recent.hosts;
    let mut rows: Vec<_> = recent.top.iter().collect();
    if bytes(&recent.other) > 0 {
        rows.push(&recent.other);
    }
    rows.sort_by_key(|host| host.sent.plus(host.received).rank());
    rows.truncate(TOP);
    rows
}

/// The name and the address of a host. A device can choose any name: `bdi` keeps one that is
/// written from right to left from changing the order of what stands beside it.
fn name(overview: &Overview, host: &RecentHost) -> Markup {
    html! {
        @match host.address {
            None => (OTHER),
            Some(address) => {
                @match overview.name_of(address) {
                    Some(name) => { bdi { (name) } small { (address) } }
                    None => (address),
                }
            }
        }
    }
}

fn is_on(overview: &Overview) -> bool {
    overview.occupancy.host_limit > 0
}

fn bytes(host: &RecentHost) -> u64 {
    host.sent.bytes + host.received.bytes
}

#[cfg(test)]
mod tests {
    use super::super::landing;
    use super::super::tests::{ALL, text, with_packets};
    use super::*;
    use crate::flow::{BothDirections, RecentHosts};
    use crate::names::{Name, NameTable};
    use crate::report::Sample;

    fn counters(bytes: u64) -> Counters {
        Counters { bytes, packets: 1 }
    }

    fn host(number: u8, received: u64, sent: u64) -> RecentHost {
        RecentHost {
            address: Some([10, 0, 0, number].into()),
            received: counters(received),
            sent: counters(sent),
        }
    }

    /// Two hosts with names and one without, in ten seconds, and others beyond the limit. Of 1,000 kB
    /// together, they have 500, 100, 50 and 350.
    fn overview() -> Overview {
        let mut overview = with_packets(ALL, 10, &[(1, 1000)]);
        let mut other = host(0, 300_000, 50_000);
        other.address = None;
        overview.recent.hosts = RecentHosts {
            top: vec![
                host(1, 400_000, 100_000),
                host(2, 25_000, 75_000),
                host(3, 50_000, 0),
            ],
            active: 3,
            other,
            total: BothDirections {
                received: counters(775_000),
                sent: counters(225_000),
            },
        };
        overview.occupancy.hosts = 3;
        overview.occupancy.host_limit = 3;
        let name = |number, name: &str| {
            let name = Name::new(name.as_bytes()).expect("a name");
            ([10, 0, 0, number].into(), name)
        };
        overview.names = Some(NameTable::of([
            name(1, "laptop"),
            name(2, "<img src=x onerror=\"alert('&')\">"),
        ]));
        overview
    }

    #[test]
    fn hosts_are_shown_with_names_rates_and_shares() {
        let text = text(&overview());
        let (_, hosts) = text.split_once("Top hosts").expect("the section");
        let (hosts, _) = hosts.split_once("Top flows").expect("the next one");
        insta::assert_snapshot!(hosts, @r#"
         of the last 10s
        3 active hosts; 3 of 3 slots in use.
        host down up share
        laptop 10.0.0.1 320.00 kbit/s 80.00 kbit/s 50.0 %
        other 240.00 kbit/s 40.00 kbit/s 35.0 %
        &lt;img src=x onerror=&quot;alert('&amp;')&quot;&gt; 10.0.0.2 20.00 kbit/s 60.00 kbit/s 10.0 %
        10.0.0.3 40.00 kbit/s 0 bit/s 5.0 %
        "#);
        assert!(!landing(&overview()).contains("<img"));
    }

    #[test]
    fn no_more_hosts_are_shown_than_flows() {
        let mut overview = overview();
        let hosts = (1..=30).map(|number| host(number, 100 + u64::from(number), 0));
        overview.recent.hosts.top = hosts.rev().collect();
        let rows = rows(&overview);
        assert_eq!(rows.len(), TOP);
        assert_eq!(rows[0].address, None);
        assert_eq!(rows[19].address, Some([10, 0, 0, 12].into()));
    }

    #[test]
    fn without_hosts_there_is_neither_a_table_nor_a_chart() {
        let mut overview = overview();
        overview.last_hour = vec![Sample {
            began: Duration::from_secs(10),
            ended: Duration::ZERO,
            received: 1,
            sent: 1,
        }];
        assert!(text(&overview).contains("Down and up in the last hour"));
        overview.occupancy.host_limit = 0;
        let text = text(&overview);
        assert!(!text.contains("hosts"), "{text}");
        assert!(!text.contains("last hour"), "{text}");
    }
}
