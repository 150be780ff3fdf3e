//! What differs between the text format of Prometheus and OpenMetrics.

use super::catalog::Family;

/// The last line of OpenMetrics: what comes without it was cut short.
pub(super) const END: &str = "# EOF\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Version 0.0.4.
    Prometheus,
    /// Version 1.0.
    OpenMetrics,
}

impl Dialect {
    /// Help texts need no escaping: the catalog has neither quotes nor backslashes.
    pub(super) fn push_header(self, text: &mut String, family: Family) {
        let name = self.family_name(family);
        for part in ["# HELP ", name, " ", family.help, "\n"] {
            text.push_str(part);
        }
        for part in ["# TYPE ", name, " ", family.kind.name(), "\n"] {
            text.push_str(part);
        }
    }

    /// In OpenMetrics, `_total` belongs to the samples of a counter and not to its name.
    fn family_name(self, family: Family) -> &'static str {
        match self {
            Self::Prometheus => family.name,
            Self::OpenMetrics => family.name.strip_suffix("_total").unwrap_or(family.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ALL;

    #[test]
    fn help_texts_need_no_escaping() {
        for family in ALL {
            assert!(!family.help.contains(['"', '\\', '\n']), "{}", family.help);
        }
    }
}
