//! Rows of traffic by label: the part that the tables of `analyze` and of the landing page share.

use std::net::IpAddr;

use crate::flow::{Counters, Flow, Group, Label, OTHER, Shape, Snapshot};
use crate::metrics::labels;
use crate::names::NameTable;

/// Tables of the values of labels that say what addresses have in common: their titles, and the
/// labels. Those that the user chose are columns.
pub(crate) const BY_VALUES: [(&str, &[Label]); 3] = [
    ("By country", &[Label::FromCountry, Label::ToCountry]),
    ("By network", &[Label::FromAsn, Label::ToAsn]),
    ("By service", &[Label::Service]),
];

/// Traffic by the values of some labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) labels: Vec<Label>,
    pub(crate) rows: Vec<Row>,
}

/// What has the same value in each label, and what it counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// One for each label, in the order of the labels; empty if the traffic has none.
    pub(crate) values: Vec<String>,
    pub(crate) counters: Counters,
}

impl Rows {
    pub(crate) fn new(labels: impl IntoIterator<Item = Label>) -> Self {
        Self {
            labels: labels.into_iter().collect(),
            rows: Vec::new(),
        }
    }

    /// A row for each flow, with all labels that the user chose, and with names if there are any.
    pub(crate) fn of_flows(
        shape: &Shape,
        names: Option<&NameTable>,
        flows: impl IntoIterator<Item = Flow<IpAddr>>,
    ) -> Self {
        let mut rows = Self::new(shown_labels(shape, names));
        let no_names = NameTable::default();
        for flow in flows {
            let names = names.unwrap_or(&no_names);
            let value = |label: &Label| labels::flow_value(shape, names, &flow.key, *label);
            let values = rows.labels.iter().map(value).collect();
            rows.push(values, flow.counters);
        }
        rows
    }

    /// A row for each group of the kind that `labels` show, with those that the user chose.
    pub(crate) fn of_groups(shape: &Shape, labels: &[Label], groups: &[(Group, Counters)]) -> Self {
        let mut rows = Self::new(shape.labels.iter().filter(|label| labels.contains(label)));
        let value = |group, label| labels::group_value(shape, group, label);
        for &(group, counters) in groups {
            let values = rows.labels.iter().map(|&label| value(group, label));
            if let Some(values) = values.collect::<Option<Vec<_>>>()
                && !values.is_empty()
            {
                rows.push(values, counters);
            }
        }
        rows
    }

    pub(crate) fn push(&mut self, values: Vec<String>, counters: Counters) {
        self.rows.push(Row { values, counters });
    }

    /// Adds a row of traffic of several values together, with `other` in every label. Without
    /// packets, adds nothing.
    pub(crate) fn push_other(&mut self, counters: Counters) {
        if counters.packets > 0 {
            self.push(vec![OTHER.to_owned(); self.labels.len()], counters);
        }
    }

    /// Sorts by bytes, the most first, and keeps the first `top` rows. Rows with equally many bytes
    /// and packets stay in their order.
    pub(crate) fn keep_largest(&mut self, top: usize) {
        self.rows.sort_by_key(|row| row.counters.rank());
        self.rows.truncate(top);
    }

    /// Takes out those of `details` that have the same value in all rows, and returns them with
    /// this value. At least one label stays, so that the rows still have a meaning; so the order of
    /// `details` matters.
    pub(crate) fn take_common(
        &mut self,
        details: impl IntoIterator<Item = Label>,
    ) -> Vec<(Label, String)> {
        let mut common = Vec::new();
        for label in details {
            let Some(position) = self.position(label) else {
                continue;
            };
            if self.labels.len() > 1
                && let Some(value) = self.common_value(position)
            {
                common.push((label, value.to_owned()));
                self.remove(position);
            }
        }
        common
    }

    pub(crate) fn position(&self, label: Label) -> Option<usize> {
        self.labels.iter().position(|&other| other == label)
    }

    /// The value that all rows have. `None` if they differ, or without rows.
    fn common_value(&self, position: usize) -> Option<&str> {
        let (first, rest) = self.rows.split_first()?;
        let value = &first.values[position];
        let is_common = rest.iter().all(|row| row.values[position] == *value);
        is_common.then_some(value)
    }

    fn remove(&mut self, position: usize) {
        self.labels.remove(position);
        for row in &mut self.rows {
            row.values.remove(position);
        }
    }
}

/// Returns the chosen labels, and with names that of the name behind each address.
pub(crate) fn shown_labels(
    shape: &Shape,
    names: Option<&NameTable>,
) -> impl Iterator<Item = Label> {
    let is_name = |label| matches!(label, Label::FromName | Label::ToName);
    let chosen = shape.labels.iter().filter(move |&label| !is_name(label));
    let with_names = names.is_some();
    chosen.flat_map(move |label| {
        let name = label.of_name().filter(|_| with_names);
        [Some(label), name].into_iter().flatten()
    })
}

/// Sums up the traffic families, which count every packet, also those whose flow exceeded a limit.
pub(crate) fn total(snapshot: &Snapshot) -> Counters {
    let all = snapshot.traffic.iter().map(|sum| sum.counters);
    all.fold(Counters::default(), Counters::plus)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(bytes: u64) -> Counters {
        Counters { bytes, packets: 1 }
    }

    /// Rows with a protocol, a listen port and a VLAN.
    fn rows(all: &[(&str, &str, &str, u64)]) -> Rows {
        let mut rows = Rows::new([Label::Protocol, Label::ListenPort, Label::Vlan]);
        for (protocol, port, vlan, bytes) in all {
            let values = [protocol, port, vlan].map(|&value| value.to_owned());
            rows.push(values.into(), counters(*bytes));
        }
        rows
    }

    #[track_caller]
    fn check(rows: &Rows, expected: &[(&[&str], u64)]) {
        let found: Vec<(Vec<&str>, u64)> = rows
            .rows
            .iter()
            .map(|row| {
                let values = row.values.iter().map(String::as_str);
                (values.collect(), row.counters.bytes)
            })
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(values, bytes)| (values.to_vec(), *bytes))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_largest_rows_come_first_and_equal_ones_keep_their_order() {
        let mut rows = rows(&[
            ("tcp", "1", "", 5),
            ("udp", "1", "", 7),
            ("icmp", "1", "", 5),
            ("gre", "1", "", 4),
        ]);
        rows.push_other(counters(6));
        rows.keep_largest(4);
        check(
            &rows,
            &[
                (&["udp", "1", ""], 7),
                (&["other", "other", "other"], 6),
                (&["tcp", "1", ""], 5),
                (&["icmp", "1", ""], 5),
            ],
        );
    }

    #[test]
    fn traffic_without_packets_has_no_row() {
        let mut rows = rows(&[]);
        rows.push_other(Counters::default());
        check(&rows, &[]);
    }

    #[test]
    fn only_details_with_one_value_are_taken_out() {
        let mut rows = rows(&[("tcp", "1", "", 5), ("tcp", "1", "9", 4)]);
        let common = rows.take_common([Label::ListenPort, Label::Vlan, Label::Sensor]);
        assert_eq!(common, [(Label::ListenPort, "1".to_owned())]);
        assert_eq!(rows.labels, [Label::Protocol, Label::Vlan]);
        check(&rows, &[(&["tcp", ""], 5), (&["tcp", "9"], 4)]);
    }

    #[test]
    fn one_label_stays() {
        let mut rows = rows(&[("tcp", "1", "9", 5)]);
        let common = rows.take_common([Label::Vlan, Label::ListenPort, Label::Protocol]);
        let taken: Vec<_> = common.iter().map(|(label, _)| *label).collect();
        assert_eq!(taken, [Label::Vlan, Label::ListenPort]);
        check(&rows, &[(&["tcp"], 5)]);
    }

    #[test]
    fn without_rows_nothing_is_common() {
        let mut rows = rows(&[]);
        assert_eq!(rows.take_common([Label::Vlan]), []);
        assert_eq!(rows.labels.len(), 3);
    }
}
