//! The flows with the most bytes in the last minute, and the countries, network operators and services
//! if labels show them.

use std::time::Duration;

use maud::{Markup, html};

use super::{TOP, duration, moment, share_cell};
use crate::flow::{Counters, Label, OTHER, Recent};
use crate::names::NameTable;
use crate::report::Overview;
use crate::report::rows::{BY_VALUES, Row, Rows};
use crate::report::units::{bits_per_second, bytes, count, number};

/// Labels that often have the same value in all flows.
const DETAILS: [Label; 5] = [
    Label::ListenPort,
    Label::Sensor,
    Label::Vlan,
    Label::Dscp,
    Label::IpVersion,
];

/// The flows with the most bytes lately.
pub(super) fn flows(overview: &Overview) -> Markup {
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

/// The countries, network operators and services with the most bytes lately, as far as labels show
/// them.
pub(super) fn groups(overview: &Overview) -> Markup {
    let window = overview.window();
    html! {
        @for (title, labels) in BY_VALUES {
            @let table = Table::of_groups(&overview.recent, labels);
            @if !table.rows.rows.is_empty() {
                section {
                    h2 { (title) " in the last " (duration(window)) }
                    (table.markup(overview.recent.total, window))
                }
            }
        }
    }
}

/// The flows or groups with the most bytes, and a row for the flows that are counted as `other`.
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

    /// Without rows if no group has one of the labels.
    fn of_groups(recent: &Recent, labels: &[Label]) -> Self {
        let mut rows = Rows::of_groups(&recent.shape, labels, &recent.groups);
        if !rows.rows.is_empty() {
            rows.push_other(recent.overflow);
            rows.keep_largest(TOP);
        }
        Self {
            rows,
            common: Vec::new(),
        }
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
            _ => {
                return html! {
                    td data-name=(label.name()) {
                        @if text.is_empty() { span.quiet { "none" } } @else { (text) }
                    }
                };
            }
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
