//! The labels of the flow families: their names, and the list that a user chooses.

use std::str::FromStr;

use thiserror::Error;

use crate::geo::Databases;

/// A label of the flow families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    From,
    FromType,
    To,
    ToType,
    Protocol,
    ListenPort,
    Sensor,
    FromPort,
    ToPort,
    Vlan,
    Dscp,
    IpVersion,
    /// The name of `from` at the time of the output. It distinguishes no flows.
    FromName,
    /// The same for `to`.
    ToName,
    /// The service that the packets belong to, by their ports.
    Service,
    /// The country of the source.
    FromCountry,
    /// The country of the destination.
    ToCountry,
    /// The network operator of the source.
    FromAsn,
    /// The network operator of the destination.
    ToAsn,
}

impl Label {
    /// All labels, in the order of the exposition.
    pub const ALL: [Self; 19] = [
        Self::From,
        Self::FromType,
        Self::To,
        Self::ToType,
        Self::Protocol,
        Self::ListenPort,
        Self::Sensor,
        Self::FromPort,
        Self::ToPort,
        Self::Vlan,
        Self::Dscp,
        Self::IpVersion,
        Self::FromName,
        Self::ToName,
        Self::Service,
        Self::FromCountry,
        Self::ToCountry,
        Self::FromAsn,
        Self::ToAsn,
    ];

    /// Returns the name of the label, as in the exposition and in `--labels`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::From => "from",
            Self::FromType => "from_type",
            Self::To => "to",
            Self::ToType => "to_type",
            Self::Protocol => "protocol",
            Self::ListenPort => "listen_port",
            Self::Sensor => "sensor",
            Self::FromPort => "from_port",
            Self::ToPort => "to_port",
            Self::Vlan => "vlan",
            Self::Dscp => "dscp",
            Self::IpVersion => "ip_version",
            Self::FromName => "from_name",
            Self::ToName => "to_name",
            Self::Service => "service",
            Self::FromCountry => "from_country",
            Self::ToCountry => "to_country",
            Self::FromAsn => "from_asn",
            Self::ToAsn => "to_asn",
        }
    }
}

impl Label {
    /// Returns the label of the name for that of an address.
    #[must_use]
    pub fn of_name(self) -> Option<Self> {
        match self {
            Self::From => Some(Self::FromName),
            Self::To => Some(Self::ToName),
            _ => None,
        }
    }
}

/// The set of labels that distinguish flows. Never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Labels(u32);

/// Why a text is not a list of labels.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LabelsError {
    #[error("'{0}' is not a label: write one or several of these, separated by commas: {names}", names = names())]
    Unknown(String),
    #[error("the label '{0}' is given twice: name each label once")]
    Twice(&'static str),
    #[error("the label '{name}' is the name of '{address}': add '{address}'", name = .name.name(), address = .address.name())]
    NameAlone { name: Label, address: Label },
}

/// A label was chosen whose values no database has.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NoDatabase {
    /// No database was given.
    #[error("the label '{}' needs a database of {kind}: add '--geo-database FILE'", label.name())]
    Missing { label: Label, kind: &'static str },
    /// There are databases, of another kind.
    #[error(
        "the label '{}' needs a database of {kind}, and no '--geo-database' has any: add one that has",
        label.name()
    )]
    Unsuitable { label: Label, kind: &'static str },
}

impl Labels {
    /// Checks that the databases have values for all labels of countries and operators.
    ///
    /// # Errors
    /// They lack those of a label.
    pub fn check_databases(self, databases: &Databases) -> Result<(), NoDatabase> {
        let missing = self.iter().find_map(|label| match label {
            Label::FromCountry | Label::ToCountry if !databases.have_countries() => {
                Some((label, "countries"))
            }
            Label::FromAsn | Label::ToAsn if !databases.have_operators() => {
                Some((label, "network operators"))
            }
            _ => None,
        });
        match missing {
            None => Ok(()),
            Some((label, kind)) if databases.are_none() => Err(NoDatabase::Missing { label, kind }),
            Some((label, kind)) => Err(NoDatabase::Unsuitable { label, kind }),
        }
    }

    #[must_use]
    pub fn contains(self, label: Label) -> bool {
        self.0 & Self::bit(label) != 0
    }

    /// Returns the labels in the order of [`Label::ALL`], regardless of the order in the list.
    pub fn iter(self) -> impl Iterator<Item = Label> {
        Label::ALL
            .into_iter()
            .filter(move |&label| self.contains(label))
    }

    /// Whether there is a label of a name.
    #[must_use]
    pub fn have_names(self) -> bool {
        self.contains(Label::FromName) || self.contains(Label::ToName)
    }

    /// Whether there is a label of a country or a network operator.
    #[must_use]
    pub fn have_places(self) -> bool {
        let have_countries = self.contains(Label::FromCountry) || self.contains(Label::ToCountry);
        have_countries || self.have_operators()
    }

    /// Whether there is a label of a network operator.
    #[must_use]
    pub fn have_operators(self) -> bool {
        self.contains(Label::FromAsn) || self.contains(Label::ToAsn)
    }

    fn bit(label: Label) -> u32 {
        1 << label as u16
    }
}

/// Returns the labels of the program that this one replaces.
impl Default for Labels {
    fn default() -> Self {
        Label::ALL[..6].iter().copied().collect()
    }
}

impl FromIterator<Label> for Labels {
    fn from_iter<T: IntoIterator<Item = Label>>(labels: T) -> Self {
        Self(
            labels
                .into_iter()
                .fold(0, |set, label| set | Self::bit(label)),
        )
    }
}

impl FromStr for Labels {
    type Err = LabelsError;

    /// Parses a list such as `from,to,vlan`.
    fn from_str(list: &str) -> Result<Self, LabelsError> {
        let mut labels = Self(0);
        for name in list.split(',') {
            let label = Label::ALL
                .into_iter()
                .find(|label| label.name() == name)
                .ok_or_else(|| LabelsError::Unknown(name.to_owned()))?;
            if labels.contains(label) {
                return Err(LabelsError::Twice(label.name()));
            }
            labels.0 |= Self::bit(label);
        }
        for address in [Label::From, Label::To] {
            if let Some(name) = address.of_name()
                && labels.contains(name)
                && !labels.contains(address)
            {
                return Err(LabelsError::NameAlone { name, address });
            }
        }
        Ok(labels)
    }
}

fn names() -> String {
    Label::ALL.map(Label::name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(list: &str, expected: &str) {
        let labels: Labels = list.parse().expect("a list of labels");
        let names: Vec<_> = labels.iter().map(Label::name).collect();
        assert_eq!(names.join(","), expected);
    }

    #[test]
    fn labels_are_in_the_order_of_the_exposition() {
        check("to", "to");
        check("vlan,to,from", "from,to,vlan");
        let all = names().replace(' ', "");
        check(&all, &all);
        let default: Vec<_> = Labels::default().iter().map(Label::name).collect();
        assert_eq!(
            default,
            [
                "from",
                "from_type",
                "to",
                "to_type",
                "protocol",
                "listen_port"
            ]
        );
    }

    #[test]
    fn unknown_and_repeated_labels_are_refused() {
        let error = |list: &str| list.parse::<Labels>().expect_err("not a list of labels");
        assert_eq!(
            error("from,twice,from"),
            LabelsError::Unknown("twice".into())
        );
        assert_eq!(error("from,to,from"), LabelsError::Twice("from"));
        assert_eq!(error(""), LabelsError::Unknown(String::new()));
        assert_eq!(error("from, to"), LabelsError::Unknown(" to".into()));
    }

    #[test]
    fn a_name_needs_its_address() {
        check("to_name,from_name,to,from", "from,to,from_name,to_name");
        let error = |list: &str| list.parse::<Labels>().expect_err("not a list of labels");
        let problem = "the label 'to_name' is the name of 'to': add 'to'";
        assert_eq!(error("from,to_name").to_string(), problem);
        let problem = "the label 'from_name' is the name of 'from': add 'from'";
        assert_eq!(error("from_name,to,to_name").to_string(), problem);
    }
}
