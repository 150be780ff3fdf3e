//! The values in a record of a database. Each vendor has a layout of its own, and a record may have
//! any.

use maxminddb::{LookupResult, MaxMindDbError};

use super::country::Country;
use super::operator::Operator;
use super::value::Value;

/// Where a value may be: the keys of maps inside each other.
type Path = &'static [&'static str];

/// The ISO 3166-1 code of the country in which an address is used.
///
/// MaxMind's `registered_country` is left out on purpose: it is where a range was registered, which
/// for addresses that are announced everywhere says nothing about where the traffic goes.
const COUNTRIES: [Path; 3] = [
    // GeoLite2, GeoIP2, DB-IP.
    &["country", "iso_code"],
    // IPinfo Lite, IPLocate. Its `country` is a name.
    &["country_code"],
    // Other databases of IPinfo.
    &["country"],
];

/// The number of the autonomous system: a number, or a text such as `AS15169` or `15169`.
const NUMBERS: [Path; 3] = [
    // GeoLite2, GeoIP2, DB-IP.
    &["autonomous_system_number"],
    // IPinfo, IPLocate and others.
    &["asn"],
    // GeoIP2 Enterprise.
    &["traits", "autonomous_system_number"],
];

/// The organisation that operates it.
const ORGANIZATIONS: [Path; 6] = [
    &["autonomous_system_organization"],
    &["as_name"],
    &["organization"],
    &["org"],
    &["name"],
    &["traits", "autonomous_system_organization"],
];

/// A record.
pub(super) struct Record<'a>(Value<'a>);

impl<'a> Record<'a> {
    /// Decodes the record that a look-up has found. `None` if it has found none.
    ///
    /// # Errors
    /// The record is damaged, or has more values than any database needs.
    pub(super) fn decode(
        found: &LookupResult<'a, Vec<u8>>,
    ) -> Result<Option<Self>, MaxMindDbError> {
        Ok(found.decode()?.map(Self))
    }

    pub(super) fn country(&self) -> Option<Country> {
        let mut values = COUNTRIES.iter().filter_map(|path| self.at(path));
        values.find_map(|value| Country::new(value.text()?))
    }

    pub(super) fn operator(&self) -> Option<Operator> {
        let mut values = NUMBERS.iter().filter_map(|path| self.at(path));
        let number = values.find_map(number)?;
        let mut values = ORGANIZATIONS.iter().filter_map(|path| self.at(path));
        let organization = values.find_map(Value::text);
        Operator::new(number, organization.unwrap_or_default())
    }

    fn at(&self, path: Path) -> Option<&Value<'a>> {
        path.iter().try_fold(&self.0, |value, key| value.get(key))
    }
}

/// Returns the number of an autonomous system.
fn number(value: &Value) -> Option<u32> {
    match value {
        Value::Number(number) => u32::try_from(*number).ok(),
        Value::Text(text) => {
            let digits = text.strip_prefix("AS").or(text.strip_prefix("as"));
            digits.unwrap_or(text).parse().ok()
        }
        Value::Map(_) | Value::Other => None,
    }
}
