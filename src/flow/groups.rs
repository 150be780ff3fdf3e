//! Sums of flows by what their addresses have in common: countries, network operators, and services.

use std::collections::HashMap;

use foldhash::quality::RandomState;

use super::key::{Address, Key};
use super::label::Label;
use super::shape::Shape;
use super::snapshot::{Counters, Group};
use super::top_n::TopN;

/// Adds up the counters of flows by group, for the kinds of groups that labels show.
pub(super) struct GroupSums<'a> {
    shape: &'a Shape,
    have_countries: bool,
    have_operators: bool,
    have_services: bool,
    sums: HashMap<Group, Counters, RandomState>,
}

impl<'a> GroupSums<'a> {
    /// Returns `None` if no label shows a group.
    pub(super) fn of_shape(shape: &'a Shape) -> Option<Self> {
        let has = |label| shape.labels.contains(label);
        let sums = Self {
            shape,
            have_countries: has(Label::FromCountry) || has(Label::ToCountry),
            have_operators: shape.labels.have_operators(),
            have_services: has(Label::Service),
            sums: HashMap::default(),
        };
        (sums.have_countries || sums.have_operators || sums.have_services).then_some(sums)
    }

    /// Adds a flow. Its key is that which a scrape shows.
    pub(super) fn add<A: Address>(&mut self, key: &Key<A>, counters: Counters) {
        let places = [key.source_place, key.destination_place];
        if self.have_countries {
            let countries = places.map(|place| place.country);
            self.add_to(Group::Countries(countries), counters);
        }
        if self.have_operators {
            let operators = places.map(|place| place.operator);
            self.add_to(Group::Operators(operators), counters);
        }
        if self.have_services {
            self.add_to(Group::Service(self.shape.service(key)), counters);
        }
    }

    fn add_to(&mut self, group: Group, counters: Counters) {
        let sum = self.sums.entry(group).or_default();
        *sum = sum.plus(counters);
    }

    /// Returns the `top` groups of each kind with the most bytes, the largest of a kind first.
    pub(super) fn finish(self, top: usize) -> Vec<(Group, Counters)> {
        let mut kinds = [(); 3].map(|()| TopN::new(top));
        let [countries, operators, services] = &mut kinds;
        for (group, counters) in self.sums {
            let kind = match group {
                Group::Countries(_) => &mut *countries,
                Group::Operators(_) => &mut *operators,
                Group::Service(_) => &mut *services,
            };
            kind.offer(counters, || group);
        }
        let largest = kinds.into_iter().flat_map(|kind| kind.finish().0);
        largest.collect()
    }
}
