//! The names at one moment.

use std::collections::HashMap;
use std::net::IpAddr;

use foldhash::quality::RandomState;

use super::text::Name;

/// The names of addresses at one moment, for an output.
#[derive(Debug, Clone, Default)]
pub struct NameTable {
    pub(super) names: HashMap<IpAddr, Name, RandomState>,
    /// The sources in their order.
    pub sources: Vec<SourceState>,
}

/// The state of a source of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceState {
    /// The source as on the command line.
    pub source: String,
    /// How many addresses it knows a name of.
    pub names: usize,
    /// How often it failed.
    pub failures: u64,
}

impl NameTable {
    /// Creates a table of these names, without sources.
    #[must_use]
    pub fn of(names: impl IntoIterator<Item = (IpAddr, Name)>) -> Self {
        Self {
            names: names.into_iter().collect(),
            sources: Vec::new(),
        }
    }

    /// Returns all addresses with a name, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (IpAddr, &str)> {
        let names = self.names.iter();
        names.map(|(address, name)| (*address, name.as_str()))
    }

    /// Returns the name of an address.
    #[must_use]
    pub fn name_of(&self, address: IpAddr) -> Option<&str> {
        self.names.get(&address).map(Name::as_str)
    }
}
