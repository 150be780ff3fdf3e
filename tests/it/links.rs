//! The documents: links lead somewhere, every page can be found from the README, and the pages that
//! people read first are short.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Paths of all documents, relative to the root.
fn documents() -> Vec<PathBuf> {
    let mut documents = Vec::new();
    for folder in ["", "docs", "contrib", "testdata"] {
        for entry in root().join(folder).read_dir().unwrap() {
            let name = PathBuf::from(entry.unwrap().file_name());
            if name.extension().is_some_and(|extension| extension == "md") {
                documents.push(Path::new(folder).join(name));
            }
        }
    }
    documents.sort();
    documents
}

fn read(document: &Path) -> String {
    fs::read_to_string(root().join(document)).unwrap()
}

/// Lines outside code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// Targets of the links and pictures in a document, except those on other sites.
fn links(text: &str) -> Vec<String> {
    prose(text)
        .flat_map(|line| line.split("](").skip(1))
        .map(|link| link.split_once(')').expect("a link without end").0)
        .filter(|target| !target.contains("://"))
        .map(str::to_owned)
        .collect()
}

/// Anchors of the headings in a document, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    prose(text)
        .filter(|line| line.starts_with('#'))
        .map(|heading| {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let is_kept = |letter: &char| letter.is_alphanumeric() || "-_ ".contains(*letter);
            heading.chars().filter(is_kept).collect::<String>()
        })
        .map(|heading| heading.replace(' ', "-"))
        .collect()
}

/// The file that a link in this document leads to, relative to the root, and the anchor in it.
fn target<'a>(document: &Path, link: &'a str) -> (PathBuf, Option<&'a str>) {
    let (path, anchor) = match link.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (link, None),
    };
    if path.is_empty() {
        return (document.to_owned(), anchor);
    }
    let mut target = document.parent().unwrap().to_owned();
    for part in path.split('/') {
        match part {
            ".." => assert!(target.pop(), "{}: {link}", document.display()),
            part => target.push(part),
        }
    }
    (target, anchor)
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_exist() {
    let mut checked = 0;
    for document in documents() {
        for link in links(&read(&document)) {
            let (path, anchor) = target(&document, &link);
            let what = format!("{}: {link}", document.display());
            assert!(root().join(&path).exists(), "{what}");
            if let Some(anchor) = anchor {
                assert!(anchors(&read(&path)).contains(anchor), "{what}");
            }
            checked += 1;
        }
    }
    assert!(checked >= 40, "{checked}");
}

#[test]
fn the_readme_links_every_page() {
    let readme = Path::new("README.md");
    let linked: BTreeSet<_> = links(&read(readme))
        .iter()
        .map(|link| target(readme, link).0)
        .collect();
    for page in documents() {
        let is_page = page.starts_with("docs") || page.parent() == Some(Path::new(""));
        if is_page && page != readme {
            assert!(linked.contains(&page), "{}", page.display());
        }
    }
}

#[test]
fn the_pages_to_read_first_are_short() {
    for (page, limit) in [("README.md", 250), ("ARCHITECTURE.md", 150)] {
        let lines = read(Path::new(page)).lines().count();
        assert!(lines <= limit, "{page}: {lines} lines");
    }
}

#[test]
fn anchors_are_those_of_github() {
    let text = "# How many series?\n```sh\n# no heading\n```\n## The `a_b` of C, D\n";
    let expected = ["how-many-series", "the-a_b-of-c-d"];
    assert_eq!(anchors(text), expected.map(str::to_owned).into());
}
