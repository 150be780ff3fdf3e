//! Countries and network operators of addresses, from databases in the format of MaxMind:
//! <https://maxmind.github.io/MaxMind-DB/>.
//!
//! - A [`Database`] is the content of one file. `record` knows where vendors put values, and `value`
//!   decodes them.
//! - [`Databases`] are all files of `--geo-database` at one moment. Look-ups are in memory. Databases
//!   are not trusted: damage, wrong types and endless structures give no value.
//! - [`Files`] opens the files at the start. [`watch::follow`] reads them again when they change.

mod country;
mod database;
mod files;
mod operator;
mod public;
mod record;
mod value;
pub mod watch;

use std::net::IpAddr;
use std::sync::Arc;

pub use country::Country;
pub use database::{Database, DatabaseError};
pub use files::{Error, FileState, Files, total_size};
pub use operator::Operator;
use public::is_public;

/// The content of all databases at one moment. The first one that knows a value wins. The default
/// has no database.
#[derive(Debug, Clone, Default)]
pub struct Databases(Vec<Arc<Database>>);

impl Databases {
    #[must_use]
    pub fn new(databases: Vec<Arc<Database>>) -> Self {
        Self(databases)
    }

    /// Creates databases from one file's content.
    ///
    /// # Errors
    /// It is not a database, or one without countries and operators.
    pub fn from_bytes(content: Vec<u8>) -> Result<Self, DatabaseError> {
        Ok(Self(vec![Arc::new(Database::new(content)?)]))
    }

    /// Returns the country in which an address is used; `None` if no database knows it, or the
    /// address is not public.
    #[must_use]
    pub fn country(&self, address: IpAddr) -> Option<Country> {
        self.first(address, Database::country)
    }

    /// Returns the operator of the network of an address; `None` if no database knows it, or the
    /// address is not public.
    #[must_use]
    pub fn operator(&self, address: IpAddr) -> Option<Operator> {
        self.first(address, Database::operator)
    }

    /// Whether no database was given.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any database has countries.
    #[must_use]
    pub fn have_countries(&self) -> bool {
        self.0.iter().any(|database| database.has_countries())
    }

    /// Whether any database has network operators.
    #[must_use]
    pub fn have_operators(&self) -> bool {
        self.0.iter().any(|database| database.has_operators())
    }

    fn first<T>(
        &self,
        address: IpAddr,
        look_up: impl Fn(&Database, IpAddr) -> Option<T>,
    ) -> Option<T> {
        if !is_public(address) {
            return None;
        }
        let mut databases = self.0.iter();
        databases.find_map(|database| look_up(database, address))
    }
}

#[cfg(test)]
mod tests;
