//! The internal command line with which live mode starts its child processes.

use std::ffi::OsString;

use crate::capture::tshark::child;

/// A program that this process is to become, tied to the life of its parent.
#[derive(Debug)]
pub struct ChildCommand {
    /// The process id of the parent.
    pub parent: u32,
    pub program: OsString,
    pub arguments: Vec<OsString>,
}

impl ChildCommand {
    /// Reads the arguments that [`child::command`] passes; `None` for any other command line.
    ///
    /// This is no subcommand for clap, which would suggest it to people who mistype another.
    pub(super) fn read(arguments: &[OsString]) -> Option<Self> {
        let [_, subcommand, parent, program, arguments @ ..] = arguments else {
            return None;
        };
        if subcommand != child::SUBCOMMAND {
            return None;
        }
        Some(Self {
            parent: parent.to_str()?.parse().ok()?,
            program: program.clone(),
            arguments: arguments.to_vec(),
        })
    }
}
