//! Expands wildcards in names of files, which shells on Windows leave to programs.

use std::path::PathBuf;

use glob::{MatchOptions, glob_with};

/// Windows does not distinguish upper and lower case in names of files.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: false,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// Replaces each name with `*` or `?` by the files that match it, sorted. A name that matches no
/// file is kept, so that opening it is an error.
pub(super) fn expand(files: Vec<PathBuf>) -> Vec<PathBuf> {
    files.into_iter().flat_map(matches).collect()
}

fn matches(file: PathBuf) -> Vec<PathBuf> {
    let pattern = file.to_str().filter(|name| name.contains(['*', '?']));
    // Brackets are ordinary characters in names.
    let pattern = pattern.map(|name| name.replace('[', "[[]"));
    let paths = pattern.and_then(|pattern| glob_with(&pattern, OPTIONS).ok());
    let mut found: Vec<_> = paths.into_iter().flatten().flatten().collect();
    if found.is_empty() {
        found.push(file);
    }
    found
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_wildcard_stands_for_the_files_that_match_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let files = ["a.pcap", "b.PCAP", "c.pcapng", "[d].pcap", "e"];
        for file in files {
            File::create(directory.path().join(file)).expect("a new file");
        }
        let check = |typed: &[&str], expected: &[&str]| {
            let paths = |names: &[&str]| -> Vec<PathBuf> {
                names
                    .iter()
                    .map(|name| directory.path().join(name))
                    .collect()
            };
            assert_eq!(expand(paths(typed)), paths(expected), "{typed:?}");
        };
        check(&["*.pcap"], &["[d].pcap", "a.pcap", "b.PCAP"]);
        check(&["c*", "?.pcap"], &["c.pcapng", "a.pcap", "b.PCAP"]);
        check(&["[d].*", "e"], &["[d].pcap", "e"]);
        check(&["no*", "none"], &["no*", "none"]);
        check(&["a**"], &["a**"]);
    }

    #[test]
    fn standard_input_is_kept() {
        assert_eq!(expand(vec!["-".into()]), [PathBuf::from("-")]);
    }
}
