use std::env;
use std::io;

use anstream::{AutoStream, ColorChoice};
use terminal_size::{Width, terminal_size_of};

/// How wide tables may be, and whether they have colours.
#[derive(Debug, Clone, Copy)]
pub(in crate::analyze) struct Look {
    /// Without one, each row takes one line: for `grep` and pagers.
    pub(super) width: Option<u16>,
    pub(super) colours: bool,
}

impl Look {
    /// What COLUMNS says, or the terminal; colours on a terminal, unless NO_COLOR is set.
    pub(in crate::analyze) fn of_standard_output() -> Self {
        let columns = env::var("COLUMNS").ok();
        let columns = columns.and_then(|columns| columns.parse().ok());
        let terminal = || terminal_size_of(io::stdout()).map(|(Width(width), _)| width);
        Self {
            width: columns.or_else(terminal).filter(|width| *width > 0),
            colours: AutoStream::choice(&io::stdout()) != ColorChoice::Never,
        }
    }
}
