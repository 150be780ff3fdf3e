//! The classes whose addresses are hosts: the value of the option `--hosts`.

use std::net::IpAddr;

use ipnet::IpNet;
use thiserror::Error;

use super::class::{Class, Classes};
use super::network::Network;

/// Ranges that no address of the public internet is in: private, shared, link-local and unique
/// local space (RFC 1918, 6598, 3927, 4193, and 4291 for `fe80::/10`).
const LOCAL: [&str; 7] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
];

/// The class that is always one of the hosts' classes by default.
const PRIVATE: &str = "private";

/// A set of classes. An address in one of them is a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostClasses {
    /// Indexed by the number of the class.
    is_chosen: Vec<bool>,
}

/// Why a list of names does not choose the classes of hosts.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum HostClassesError {
    #[error(
        "'--hosts' names '{0}', which is neither a class nor a network: write one or several of \
         these, separated by commas: {1}; networks are defined with '--network'"
    )]
    UnknownName(String, String),
    #[error("'--hosts' names '{0}' twice: name each class once")]
    NameTwice(String),
}

impl HostClasses {
    /// Returns the classes with these names.
    ///
    /// # Errors
    /// A name is unknown, or given twice.
    pub fn named(
        classes: &Classes,
        names: impl IntoIterator<Item: AsRef<str>>,
    ) -> Result<Self, HostClassesError> {
        let mut chosen = Self::none(classes);
        for name in names {
            let name = name.as_ref();
            let Some(is_chosen) = chosen.entry(classes, name) else {
                let names: Vec<_> = classes.names().collect();
                let names = names.join(", ");
                return Err(HostClassesError::UnknownName(name.to_owned(), names));
            };
            if std::mem::replace(is_chosen, true) {
                return Err(HostClassesError::NameTwice(name.to_owned()));
            }
        }
        Ok(chosen)
    }

    /// Returns the default: `private`, and each network with a range in local space.
    ///
    /// A network with the name of a built-in class is left out. `--network public=10.9.0.0/16` takes
    /// addresses out of local space; it does not make hosts of all public addresses.
    #[must_use]
    pub fn local(classes: &Classes, networks: &[Network]) -> Self {
        let built_in = Classes::default();
        let is_built_in = |name: &str| built_in.names().any(|known| known == name);
        let mut chosen = Self::none(classes);
        let local = networks
            .iter()
            .filter(|network| is_local(network.range) && !is_built_in(&network.name))
            .map(|network| network.name.as_str());
        for name in local.chain([PRIVATE]) {
            if let Some(is_chosen) = chosen.entry(classes, name) {
                *is_chosen = true;
            }
        }
        chosen
    }

    /// Whether addresses of this class are hosts.
    #[must_use]
    pub fn contains(&self, class: Class) -> bool {
        self.is_chosen.get(class.number()) == Some(&true)
    }

    fn none(classes: &Classes) -> Self {
        Self {
            is_chosen: classes.names().map(|_| false).collect(),
        }
    }

    fn entry(&mut self, classes: &Classes, name: &str) -> Option<&mut bool> {
        let number = classes.names().position(|known| known == name)?;
        self.is_chosen.get_mut(number)
    }
}

/// Returns the default for the built-in classes.
impl Default for HostClasses {
    fn default() -> Self {
        Self::local(&Classes::default(), &[])
    }
}

fn is_local(range: IpNet) -> bool {
    let addresses: [IpAddr; 2] = [range.network(), range.broadcast()];
    LOCAL.iter().any(|local| {
        let local: IpNet = local.parse().expect("the ranges are well formed");
        addresses.iter().all(|address| local.contains(address))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<Network> {
        let networks = texts.iter().map(|text| text.parse().expect("a network"));
        networks.collect()
    }

    fn chosen(classes: &Classes, hosts: &HostClasses) -> Vec<String> {
        let names = classes.names().zip(&hosts.is_chosen);
        let chosen = names.filter(|(_, is_chosen)| **is_chosen);
        chosen.map(|(name, _)| name.to_owned()).collect()
    }

    #[track_caller]
    fn check_default(texts: &[&str], expected: &[&str]) {
        let networks = networks(texts);
        let classes = Classes::new(&networks, &[]).expect("no contradiction");
        let hosts = HostClasses::local(&classes, &networks);
        assert_eq!(chosen(&classes, &hosts), expected);
    }

    #[test]
    fn hosts_are_private_addresses_and_those_of_networks_in_local_space() {
        check_default(&[], &["private"]);
        check_default(
            &[
                "office=192.168.7.0/24",
                "dmz=198.51.100.0/24",
                "carrier=100.64.0.0/10",
                "auto=169.254.9.0/24",
                "lan6=fd00:1::/32",
                "link6=fe80::/64",
            ],
            &["private", "office", "carrier", "auto", "lan6", "link6"],
        );
    }

    #[test]
    fn a_range_that_only_overlaps_local_space_is_not_in_it() {
        check_default(
            &[
                "all=0.0.0.0/0",
                "more=8.0.0.0/6",
                "all6=::/0",
                "wide=f800::/5",
            ],
            &["private"],
        );
    }

    #[test]
    fn one_range_in_local_space_is_enough() {
        check_default(
            &["office=192.168.7.0/24", "office=198.51.100.0/24"],
            &["private", "office"],
        );
    }

    #[test]
    fn a_network_named_like_a_built_in_class_does_not_make_hosts_of_that_class() {
        check_default(
            &["public=10.9.0.0/16", "multicast=10.8.0.0/16"],
            &["private"],
        );
    }

    #[test]
    fn names_choose_classes_and_networks() {
        let classes =
            Classes::new(&networks(&["office=198.51.100.0/24"]), &[]).expect("no contradiction");
        let named = |names: &[&str]| HostClasses::named(&classes, names);
        let hosts = named(&["office", "public"]).expect("known names");
        assert_eq!(chosen(&classes, &hosts), ["public", "office"]);
        assert_eq!(
            named(&["private", "home"])
                .expect_err("there is no network 'home'")
                .to_string(),
            "'--hosts' names 'home', which is neither a class nor a network: write one or several \
             of these, separated by commas: private, loopback, link_local, shared, multicast, \
             broadcast, reserved, public, office; networks are defined with '--network'"
        );
        assert_eq!(
            named(&["private", "office", "private"]),
            Err(HostClassesError::NameTwice("private".into()))
        );
        assert!(named(&[""]).is_err());
    }
}
