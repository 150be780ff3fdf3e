//! The content of one database.

use std::net::IpAddr;
use std::time::Duration;

use maxminddb::{MaxMindDbError, Reader, WithinOptions};
use thiserror::Error;

use super::country::Country;
use super::operator::Operator;
use super::record::Record;

/// How many networks are read when a database is opened: enough to find out which values it has, and
/// to notice a file that is half an old one and half a new one.
const NETWORKS_CHECKED: usize = 1024;
/// How much an error quotes of the type of a database, in characters.
const QUOTED: usize = 60;

/// A database in memory.
#[derive(Debug)]
pub struct Database {
    reader: Reader<Vec<u8>>,
    has_countries: bool,
    has_operators: bool,
}

/// Why the content of a file cannot be used as a database.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DatabaseError {
    #[error("it is not a database in the MaxMind DB format, or not a whole one: {0}")]
    Format(String),
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("it has neither countries nor network operators (its type is '{0}')")]
    NoValues(String),
}

impl Database {
    /// Reads the content of a file.
    ///
    /// # Errors
    /// It is not a database, or one without countries and operators.
    pub fn new(content: Vec<u8>) -> Result<Self, DatabaseError> {
        let format = |error: MaxMindDbError| DatabaseError::Format(error.to_string());
        let mut database = Self {
            reader: Reader::from_source(content).map_err(format)?,
            has_countries: false,
            has_operators: false,
        };
        (database.has_countries, database.has_operators) = database.contents()?;
        if database.has_countries || database.has_operators {
            return Ok(database);
        }
        let kind = database.reader.metadata().database_type.escape_debug();
        Err(DatabaseError::NoValues(kind.take(QUOTED).collect()))
    }

    pub(super) fn country(&self, address: IpAddr) -> Option<Country> {
        self.record(address)?.country()
    }

    pub(super) fn operator(&self, address: IpAddr) -> Option<Operator> {
        self.record(address)?.operator()
    }

    /// Whether it has countries.
    #[must_use]
    pub fn has_countries(&self) -> bool {
        self.has_countries
    }

    /// Whether it has network operators.
    #[must_use]
    pub fn has_operators(&self) -> bool {
        self.has_operators
    }

    /// Returns when the database was built, by its own account, since 1970.
    #[must_use]
    pub fn built(&self) -> Duration {
        Duration::from_secs(self.reader.metadata().build_epoch)
    }

    /// Returns the record of an address. A database of IPv4 alone has none for IPv6.
    fn record(&self, address: IpAddr) -> Option<Record<'_>> {
        let found = self.reader.lookup(address).ok()?;
        Record::decode(&found).ok()?
    }

    /// Returns whether the first networks have countries, and operators.
    ///
    /// # Errors
    /// One of them cannot be read.
    fn contents(&self) -> Result<(bool, bool), DatabaseError> {
        // A tree may lead to the same node in many ways: 100 nodes can make 2^96 networks. Without
        // these options, the reader skips empty and repeated ones without returning to this loop.
        let options = WithinOptions::default()
            .include_aliased_networks()
            .include_networks_without_data();
        let damaged = |error: MaxMindDbError| DatabaseError::Damaged(error.to_string());
        let (mut countries, mut operators) = (false, false);
        for network in self
            .reader
            .networks(options)
            .map_err(damaged)?
            .take(NETWORKS_CHECKED)
        {
            let found = network.map_err(damaged)?;
            if let Some(record) = Record::decode(&found).map_err(damaged)? {
                countries = countries || record.country().is_some();
                operators = operators || record.operator().is_some();
            }
        }
        Ok((countries, operators))
    }
}
