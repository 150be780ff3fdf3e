//! How wide standard output is, and whether it shows colours.

use std::env;
use std::io;

use anstream::{AutoStream, ColorChoice};
use terminal_size::{Width, terminal_size_of};

use crate::report::table::Look;

/// Takes the width from `COLUMNS`, or else from the terminal. Chooses colours on a terminal,
/// unless `NO_COLOR` is set.
pub(super) fn of_standard_output() -> Look {
    let columns = env::var("COLUMNS").ok();
    let columns = columns.and_then(|columns| columns.parse().ok());
    let terminal = || terminal_size_of(io::stdout()).map(|(Width(width), _)| width);
    Look {
        width: columns.or_else(terminal).filter(|width| *width > 0),
        colours: AutoStream::choice(&io::stdout()) != ColorChoice::Never,
    }
}
