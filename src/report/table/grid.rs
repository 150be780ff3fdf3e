//! One table: which columns fit, and how it is drawn.

use std::io::{self, Write};

use anstyle::Style;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table};

use super::Look;
use crate::flow::{Counters, Label};
use crate::report::rows::Rows;
use crate::report::units::{bytes, number, share};

const TITLE: Style = Style::new().bold();
const HEADER: Style = Style::new().dimmed();
/// Spaces between columns. The table draws one of them as a line without ink.
const GAP: u16 = 2;

/// A table as text.
pub(super) struct Grid {
    title: &'static str,
    /// The details with one value in all rows, which the title names: `vlan 7`.
    common: Vec<String>,
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    /// How many rows there would be without a limit.
    all: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Column {
    name: &'static str,
    alignment: CellAlignment,
    importance: Importance,
}

/// In which order columns are left out if the table is too wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Importance {
    /// Left out first: it follows from another column, or has few values.
    Detail,
    /// Left out last.
    Extra,
    /// Never left out.
    Core,
}

impl Column {
    /// The last columns of each table.
    const NUMBERS: [Self; 3] = [
        Self::number("bytes", Importance::Core),
        Self::number("share", Importance::Extra),
        Self::number("packets", Importance::Core),
    ];

    fn of_label(label: Label) -> Self {
        let name = label.name();
        match label {
            Label::From | Label::To => Self::text(name, Importance::Core),
            Label::FromType | Label::ToType => Self::text(name, Importance::Detail),
            Label::Protocol
            | Label::Sensor
            | Label::FromName
            | Label::ToName
            | Label::Service
            | Label::FromCountry
            | Label::ToCountry
            | Label::FromAsn
            | Label::ToAsn => Self::text(name, Importance::Extra),
            Label::FromPort | Label::ToPort => Self::number(name, Importance::Extra),
            Label::ListenPort | Label::Vlan | Label::Dscp | Label::IpVersion => {
                Self::number(name, Importance::Detail)
            }
        }
    }

    const fn text(name: &'static str, importance: Importance) -> Self {
        Self {
            name,
            alignment: CellAlignment::Left,
            importance,
        }
    }

    const fn number(name: &'static str, importance: Importance) -> Self {
        Self {
            name,
            alignment: CellAlignment::Right,
            importance,
        }
    }
}

impl Grid {
    /// Arranges the largest rows, of `all` that there would be without a limit. `total` is the
    /// traffic of which each row is a share.
    pub(super) fn new(title: &'static str, mut rows: Rows, all: usize, total: Counters) -> Self {
        let common = take_common(&mut rows);
        let columns = rows.labels.iter().copied().map(Column::of_label);
        let columns = columns.chain(Column::NUMBERS).collect();
        let rows = rows.rows.into_iter().map(|row| {
            let mut cells = row.values;
            cells.push(bytes(row.counters.bytes));
            cells.push(share(row.counters.bytes, total.bytes));
            cells.push(number(row.counters.packets));
            cells
        });
        Self {
            title,
            common,
            columns,
            rows: rows.collect(),
            all,
        }
    }

    /// Arranges rows of hosts: address, name if it `has_names`, sent, received, share, and the
    /// number of peers if it `has_peers`.
    pub(super) fn of_hosts(
        rows: Vec<Vec<String>>,
        has_names: bool,
        has_peers: bool,
        all: usize,
    ) -> Self {
        let mut columns = vec![Column::text("host", Importance::Core)];
        columns.extend(has_names.then_some(Column::text("host_name", Importance::Extra)));
        columns.extend([
            Column::number("sent", Importance::Core),
            Column::number("received", Importance::Core),
            Column::number("share", Importance::Extra),
        ]);
        if has_peers {
            columns.push(Column::number("peers", Importance::Extra));
        }
        Self {
            title: "Hosts",
            common: Vec::new(),
            columns,
            rows,
            all,
        }
    }

    pub(super) fn write(mut self, out: &mut impl Write, look: Look) -> io::Result<()> {
        let omitted = self.fit(look.width);
        let mut title = match self.rows.len() {
            rows if rows < self.all => {
                format!("{} of {}", number(rows as u64), number(self.all as u64))
            }
            rows => number(rows as u64),
        };
        if !self.common.is_empty() {
            title = format!("{title}, all with {}", self.common.join(", "));
        }
        if !omitted.is_empty() {
            title = format!("{title}, without {}", omitted.join(", "));
        }
        let style = |style: Style| if look.colours { style } else { Style::new() };
        let (bold, dim) = (style(TITLE), style(HEADER));
        writeln!(out, "\n{bold}{}{bold:#}: {title}", self.title)?;
        let mut is_header = true;
        for line in self.drawn(look.width).lines() {
            let line = line.trim_end();
            if is_header {
                writeln!(out, "{dim}{line}{dim:#}")?;
                is_header = !line.starts_with('─');
            } else {
                writeln!(out, "{line}")?;
            }
        }
        Ok(())
    }

    /// Leaves columns out until the others fit, or none is left that may be left out. Returns
    /// their names.
    fn fit(&mut self, width: Option<u16>) -> Vec<&'static str> {
        let mut omitted = Vec::new();
        let Some(width) = width else {
            return omitted;
        };
        while self.width() > usize::from(width) {
            let positions = (0..self.columns.len()).rev();
            let least = positions
                .filter(|&position| self.columns[position].importance < Importance::Core)
                .filter(|&position| self.has_other_label(position))
                .min_by_key(|&position| self.columns[position].importance);
            let Some(position) = least else {
                break;
            };
            omitted.push(self.columns[position].name);
            self.remove(position);
        }
        omitted.reverse();
        omitted
    }

    /// Whether there is a column of a label besides this one, so that rows keep a meaning.
    fn has_other_label(&self, position: usize) -> bool {
        let mut others = self.columns.iter().enumerate();
        others.any(|(other, column)| other != position && !Column::NUMBERS.contains(column))
    }

    fn remove(&mut self, position: usize) {
        self.columns.remove(position);
        for row in &mut self.rows {
            row.remove(position);
        }
    }

    /// The length of a row in one line. Only names may not be ASCII: for them it is an upper bound,
    /// because no character takes more columns than bytes.
    fn width(&self) -> usize {
        let widths = self.columns.iter().enumerate().map(|(position, column)| {
            let cells = self.rows.iter().map(|row| row[position].len());
            cells.max().unwrap_or_default().max(column.name.len())
        });
        let gaps = self.columns.len().saturating_sub(1) * usize::from(GAP);
        widths.sum::<usize>() + gaps
    }

    fn drawn(self, width: Option<u16>) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING.header_separator(LineStyle::none().fill('─').junction('─')));
        table.set_header(self.columns.iter().map(|column| column.name));
        table.add_rows(self.rows);
        match width {
            Some(width) => table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        let last = self.columns.len() - 1;
        let drawn = table.column_iter_mut().zip(&self.columns);
        for (position, (drawn, column)) in drawn.enumerate() {
            drawn.set_padding((0, if position == last { 0 } else { GAP - 1 }));
            drawn.set_cell_alignment(column.alignment);
        }
        table.to_string()
    }
}

/// Takes out the details with the same value in each of several rows, and returns these in words.
fn take_common(rows: &mut Rows) -> Vec<String> {
    let [first, _, ..] = &rows.rows[..] else {
        return Vec::new();
    };
    let details: Vec<_> = rows
        .labels
        .iter()
        .zip(&first.values)
        .filter(|(_, value)| !value.is_empty())
        .map(|(label, _)| *label)
        .filter(|&label| Column::of_label(label).importance == Importance::Detail)
        .collect();
    // From the right, so that the first detail stays if there are only details.
    let mut common = rows.take_common(details.into_iter().rev());
    common.reverse();
    let common = common.into_iter();
    common
        .map(|(label, value)| format!("{} {value}", label.name()))
        .collect()
}
