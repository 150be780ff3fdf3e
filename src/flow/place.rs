//! Countries and network operators of the ends of flows.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use foldhash::quality::RandomState;

use super::label::{Label, Labels};
use crate::geo::{Country, Databases, Operator};

/// The number of operators whose organisations are kept. About 80,000 networks are announced on the
/// internet. The operators beyond the limit are shown as a number alone.
const MOST_OPERATORS: u32 = 1 << 17;

/// The country and the network operator of an address, as far as labels were chosen for them, and
/// databases know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Place {
    pub country: Option<Country>,
    /// The number of the operator's autonomous system, or 0.
    pub operator: u32,
}

impl Place {
    pub(super) const NONE: Self = Self {
        country: None,
        operator: 0,
    };

    #[inline]
    pub(super) fn is_none(self) -> bool {
        self.country.is_none() && self.operator == 0
    }
}

/// Which parts of a place labels show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts {
    country: bool,
    operator: bool,
}

impl Parts {
    pub(super) const NONE: Self = Self {
        country: false,
        operator: false,
    };

    pub(super) fn of_source(labels: Labels) -> Self {
        Self {
            country: labels.contains(Label::FromCountry),
            operator: labels.contains(Label::FromAsn),
        }
    }

    pub(super) fn of_destination(labels: Labels) -> Self {
        Self {
            country: labels.contains(Label::ToCountry),
            operator: labels.contains(Label::ToAsn),
        }
    }

    pub(super) fn are_any(self) -> bool {
        self.country || self.operator
    }
}

/// Where places are looked up, and the operators that were found.
///
/// Flows hold the number of an operator. Its text is that of the first packet, so a database that is
/// read again does not change the labels of a counter.
#[derive(Debug)]
pub struct Places {
    databases: RwLock<Arc<Databases>>,
    operators: RwLock<HashMap<u32, Operator>>,
    /// The maximum of `operators`.
    operator_limit: u32,
}

/// Places without databases.
impl Default for Places {
    fn default() -> Self {
        Self::with_limit(MOST_OPERATORS)
    }
}

impl Places {
    fn with_limit(operator_limit: u32) -> Self {
        Self {
            databases: RwLock::default(),
            operators: RwLock::default(),
            operator_limit,
        }
    }

    /// Replaces the databases. Flows that exist keep their places.
    pub(super) fn set_databases(&self, databases: Arc<Databases>) {
        *self
            .databases
            .write()
            .unwrap_or_else(PoisonError::into_inner) = databases;
    }

    pub(super) fn databases(&self) -> Arc<Databases> {
        let databases = self.databases.read();
        Arc::clone(&databases.unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps the text of an operator, unless one with its number is known, or the limit is reached.
    pub(super) fn learn(&self, operator: Operator) {
        let mut operators = self
            .operators
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if operators.len() < self.operator_limit as usize {
            operators.entry(operator.number()).or_insert(operator);
        }
    }

    /// Returns the operator with this number; the number alone, if nothing else is known.
    #[must_use]
    pub fn operator(&self, number: u32) -> Option<Operator> {
        let known = self.known_operators().get(&number).cloned();
        known.or_else(|| Operator::new(number, ""))
    }

    /// Returns the number of operators whose texts are kept.
    pub(super) fn operator_count(&self) -> usize {
        self.known_operators().len()
    }

    /// Returns the maximum of [`operator_count`](Self::operator_count).
    pub(super) fn operator_limit(&self) -> u32 {
        self.operator_limit
    }

    fn known_operators(&self) -> RwLockReadGuard<'_, HashMap<u32, Operator>> {
        self.operators
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The places of the addresses that one end of recent packets had, so that few packets need a look-up
/// in the databases.
///
/// Each address has one position in a table, and replaces the address that was there.
#[derive(Debug, Clone, Default)]
pub(super) struct RecentPlaces {
    /// Empty until the first look-up.
    entries: Vec<Option<(IpAddr, Place)>>,
}

impl RecentPlaces {
    /// A power of two, of 28 bytes each.
    const ENTRIES: usize = 1024;

    /// Returns the place of an address.
    pub(super) fn place(
        &mut self,
        places: &Places,
        seed: &RandomState,
        address: IpAddr,
        parts: Parts,
    ) -> Place {
        if self.entries.is_empty() {
            self.entries.resize(Self::ENTRIES, None);
        }
        let [low, high, ..] = seed.hash_one(address).to_le_bytes();
        let position = usize::from(u16::from_le_bytes([low, high])) % Self::ENTRIES;
        let entry = &mut self.entries[position];
        if let Some((recent, place)) = entry
            && *recent == address
        {
            return *place;
        }
        let (place, operator) = look_up(&places.databases(), address, parts);
        if let Some(operator) = operator {
            places.learn(operator);
        }
        *entry = Some((address, place));
        place
    }

    /// Forgets all places, because the databases were replaced.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}

/// Looks up the place of an address, and the text of its operator.
pub(super) fn look_up(
    databases: &Databases,
    address: IpAddr,
    parts: Parts,
) -> (Place, Option<Operator>) {
    let country = parts.country.then(|| databases.country(address)).flatten();
    let operator = parts
        .operator
        .then(|| databases.operator(address))
        .flatten();
    let place = Place {
        country,
        operator: operator.as_ref().map_or(0, Operator::number),
    };
    (place, operator)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(number: u32, organization: &str) -> Operator {
        Operator::new(number, organization).expect("an operator")
    }

    /// Checks what is shown for a number.
    #[track_caller]
    fn check(places: &Places, number: u32, expected: &str) {
        let shown = places.operator(number).expect("an operator");
        assert_eq!(shown.as_str(), expected);
    }

    #[test]
    fn operators_beyond_the_limit_are_shown_as_their_number() {
        let places = Places::with_limit(2);
        assert_eq!(places.operator_count(), 0);
        for (number, organization) in [(64496, "One"), (64497, "Two"), (64498, "Three")] {
            places.learn(operator(number, organization));
        }
        assert_eq!((places.operator_count(), places.operator_limit()), (2, 2));
        check(&places, 64496, "AS64496 One");
        check(&places, 64497, "AS64497 Two");
        check(&places, 64498, "AS64498");
    }

    /// So that the labels of a counter stay the same.
    #[test]
    fn an_operator_keeps_its_first_text() {
        let places = Places::default();
        places.learn(operator(64496, "One"));
        places.learn(operator(64496, "Another"));
        assert_eq!(places.operator_count(), 1);
        check(&places, 64496, "AS64496 One");
        assert_eq!(places.operator_limit(), 131_072);
    }
}
