//! One table: which columns there is room for, and how it is drawn.

use std::io::{self, Write};

use anstyle::Style;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table};

use super::Look;
use crate::flow::Label;
use crate::metrics::units::number;

const TITLE: Style = Style::new().bold();
const HEADER: Style = Style::new().dimmed();
/// Spaces between columns, one of which is a line without ink.
const GAP: u16 = 2;

pub(super) struct Grid {
    pub(super) title: &'static str,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<String>>,
    /// How many rows there would be without a limit.
    pub(super) all: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    name: &'static str,
    alignment: CellAlignment,
    /// What says least is left out first where there is no room.
    worth: Worth,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// It is told by another column, or by few.
    Detail,
    /// Left out last.
    Extra,
    /// Never left out.
    Core,
}

impl Column {
    /// What each table ends with.
    pub(super) const NUMBERS: [Self; 3] = [
        Self::number("bytes", Worth::Core),
        Self::number("share", Worth::Extra),
        Self::number("packets", Worth::Core),
    ];

    pub(super) fn of_label(label: Label) -> Self {
        let name = label.name();
        match label {
            Label::From | Label::To => Self::text(name, Worth::Core),
            Label::FromType | Label::ToType => Self::text(name, Worth::Detail),
            Label::Protocol | Label::Sensor => Self::text(name, Worth::Extra),
            Label::FromPort | Label::ToPort => Self::number(name, Worth::Extra),
            Label::ListenPort | Label::Vlan | Label::Dscp | Label::IpVersion => {
                Self::number(name, Worth::Detail)
            }
        }
    }

    const fn text(name: &'static str, worth: Worth) -> Self {
        Self {
            name,
            alignment: CellAlignment::Left,
            worth,
        }
    }

    const fn number(name: &'static str, worth: Worth) -> Self {
        Self {
            name,
            alignment: CellAlignment::Right,
            worth,
        }
    }
}

impl Grid {
    pub(super) fn write(mut self, out: &mut impl Write, look: Look) -> io::Result<()> {
        let common = self.take_common();
        let omitted = self.fit(look.width);
        let mut title = match self.rows.len() {
            rows if rows < self.all => {
                format!("{} of {}", number(rows as u64), number(self.all as u64))
            }
            rows => number(rows as u64),
        };
        if !common.is_empty() {
            title = format!("{title}, all with {}", common.join(", "));
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

    /// Takes out the details that are the same in each of several rows.
    fn take_common(&mut self) -> Vec<String> {
        let mut common = Vec::new();
        if self.rows.len() < 2 {
            return common;
        }
        // What is left still tells what the rows are.
        for position in (0..self.columns.len()).rev() {
            let first = &self.rows[0][position];
            let is_same = self.rows.iter().all(|row| row[position] == *first);
            let is_detail = self.columns[position].worth == Worth::Detail;
            if is_same && is_detail && !first.is_empty() && self.has_other_text(position) {
                common.push(format!("{} {first}", self.columns[position].name));
                self.remove(position);
            }
        }
        common.reverse();
        common
    }

    /// Leaves columns out until there is room for the others, or nothing is left to leave out.
    fn fit(&mut self, width: Option<u16>) -> Vec<&'static str> {
        let mut omitted = Vec::new();
        let Some(width) = width else {
            return omitted;
        };
        while self.width() > usize::from(width) {
            let positions = (0..self.columns.len()).rev();
            let least = positions
                .filter(|&position| self.columns[position].worth < Worth::Core)
                .filter(|&position| self.has_other_text(position))
                .min_by_key(|&position| self.columns[position].worth);
            let Some(position) = least else {
                break;
            };
            omitted.push(self.columns[position].name);
            self.remove(position);
        }
        omitted.reverse();
        omitted
    }

    /// Whether rows are told apart by another column than this one and the numbers.
    fn has_other_text(&self, position: usize) -> bool {
        let mut others = self.columns.iter().enumerate();
        others.any(|(other, column)| other != position && !Column::NUMBERS.contains(column))
    }

    fn remove(&mut self, position: usize) {
        self.columns.remove(position);
        for row in &mut self.rows {
            row.remove(position);
        }
    }

    /// Of the lines, if none of them is broken.
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
