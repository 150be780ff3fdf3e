//! Values in the records of a database. Each vendor has a layout of its own, and a record may have
//! any.

use std::fmt;

use maxminddb::PathElement::{self, Key};
use maxminddb::{LookupResult, MaxMindDbError};
use serde::de::{Deserialize, Deserializer, IgnoredAny, Visitor};

use super::country::Country;
use super::operator::Operator;

/// A record of a database.
pub(super) type Record<'a> = LookupResult<'a, Vec<u8>>;

/// Where a value may be: the keys of maps inside each other.
type Path = &'static [PathElement<'static>];

/// The ISO 3166-1 code of the country in which an address is used.
///
/// MaxMind's `registered_country` is left out on purpose: it is where a range was registered, which
/// for addresses that are announced everywhere says nothing about where the traffic goes.
const COUNTRIES: [Path; 3] = [
    // GeoLite2, GeoIP2, DB-IP.
    &[Key("country"), Key("iso_code")],
    // IPinfo Lite, IPLocate. Its `country` is a name.
    &[Key("country_code")],
    // Other databases of IPinfo.
    &[Key("country")],
];

/// The number of the autonomous system: a number, or a text such as `AS15169` or `15169`.
const NUMBERS: [Path; 3] = [
    // GeoLite2, GeoIP2, DB-IP.
    &[Key("autonomous_system_number")],
    // IPinfo, IPLocate and others.
    &[Key("asn")],
    // GeoIP2 Enterprise.
    &[Key("traits"), Key("autonomous_system_number")],
];

/// The organisation that operates it.
const ORGANIZATIONS: [Path; 6] = [
    &[Key("autonomous_system_organization")],
    &[Key("as_name")],
    &[Key("organization")],
    &[Key("org")],
    &[Key("name")],
    &[Key("traits"), Key("autonomous_system_organization")],
];

pub(super) fn country(record: &Record) -> Option<Country> {
    COUNTRIES
        .iter()
        .find_map(|path| Country::new(text(record, path)?))
}

pub(super) fn operator(record: &Record) -> Option<Operator> {
    let number = NUMBERS.iter().find_map(|path| number(record, path))?;
    let mut organizations = ORGANIZATIONS.iter();
    let organization = organizations.find_map(|path| text(record, path));
    Operator::new(number, organization.unwrap_or_default())
}

/// Checks that a record can be decoded, whatever it has.
pub(super) fn check(record: &Record) -> Result<(), MaxMindDbError> {
    record.decode::<IgnoredAny>().map(drop)
}

/// Returns the text at `path`; `None` if there is none.
fn text<'a>(record: &Record<'a>, path: Path) -> Option<&'a str> {
    match value(record, path)? {
        Value::Text(text) => Some(text),
        Value::Number(_) => None,
    }
}

/// Returns the number of an autonomous system at `path`; `None` if there is none.
fn number(record: &Record, path: Path) -> Option<u32> {
    match value(record, path)? {
        Value::Number(number) => u32::try_from(number).ok(),
        Value::Text(text) => {
            let digits = text.strip_prefix("AS").or(text.strip_prefix("as"));
            digits.unwrap_or(text).parse().ok()
        }
    }
}

fn value<'a>(record: &Record<'a>, path: Path) -> Option<Value<'a>> {
    record.decode_path(path).ok().flatten()
}

/// A value that a label can come from. All others are errors.
#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Text(&'a str),
    Number(u64),
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a text or a number")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(text))
    }

    /// Numbers of 16 and 32 bits come here as well.
    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Value::Number(number))
    }
}
