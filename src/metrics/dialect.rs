//! The differences between the text format of Prometheus and OpenMetrics.

use super::catalog::Family;

/// The last line of OpenMetrics. A text without it was cut short.
pub(super) const END: &str = "# EOF\n";

/// A text format for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Version 0.0.4.
    Prometheus,
    /// Version 1.0.
    OpenMetrics,
}

impl Dialect {
    /// Appends the `# HELP` and `# TYPE` lines of a family. Help texts are not escaped: those of the
    /// catalog have neither quotes nor backslashes.
    pub(super) fn push_header(self, text: &mut String, family: Family) {
        let name = self.family_name(family);
        for part in ["# HELP ", name, " ", family.help, "\n"] {
            text.push_str(part);
        }
        for part in ["# TYPE ", name, " ", family.kind.name(), "\n"] {
            text.push_str(part);
        }
    }

    fn family_name(self, family: Family) -> &'static str {
        match self {
            Self::Prometheus => family.name,
            Self::OpenMetrics => without_total(family.name),
        }
    }
}

/// Returns the name of a family in OpenMetrics: that of a counter has no `_total`, but its samples
/// do.
pub(super) fn without_total(name: &str) -> &str {
    name.strip_suffix("_total").unwrap_or(name)
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
