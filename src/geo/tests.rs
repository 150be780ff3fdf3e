//! Databases of literal bytes: a tree of records of 24 bits, data, and metadata.

use std::fs;
use std::path::Path;

use super::*;

const GERMANY: &[u8] = b"\xe1\x47country\xe1\x48iso_code\x42DE";

/// Writes a database. A record of the tree below the number of nodes is a node; that number means
/// no data; more means data, whose offset is counted from 16 above that number.
fn file(ip_version: u8, nodes: &[[u32; 2]], data: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    for record in nodes.iter().flatten() {
        file.extend_from_slice(&record.to_be_bytes()[1..]);
    }
    file.extend_from_slice(&[0; 16]);
    file.extend_from_slice(data);
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    file.extend_from_slice(b"\xe9\x5bbinary_format_major_version\xa1\x02");
    file.extend_from_slice(b"\x5bbinary_format_minor_version\xa0");
    file.extend_from_slice(b"\x4bbuild_epoch\x04\x02\x69\x25\x00\x00");
    file.extend_from_slice(b"\x4ddatabase_type\x44Test");
    file.extend_from_slice(b"\x4bdescription\xe0");
    file.extend_from_slice(&[b"\x4aip_version\xa1".as_slice(), &[ip_version]].concat());
    file.extend_from_slice(b"\x49languages\x00\x04");
    let count = u32::try_from(nodes.len()).expect("few nodes").to_be_bytes();
    file.extend_from_slice(&[b"\x4anode_count\xc4".as_slice(), &count].concat());
    file.extend_from_slice(b"\x4brecord_size\xa1\x18");
    file
}

/// Writes a database of IPv4 in which 0.0.0.0/1 has this data, and no other address has any.
fn half(data: &[u8]) -> Vec<u8> {
    file(4, &[[1 + 16, 1]], data)
}

#[track_caller]
fn open(content: Vec<u8>) -> Databases {
    Databases::from_bytes(content).expect("a database")
}

fn address(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn country(databases: &Databases, text: &str) -> Option<String> {
    let country = databases.country(address(text))?;
    Some(country.to_string())
}

fn operator(databases: &Databases, text: &str) -> Option<String> {
    let operator = databases.operator(address(text))?;
    Some(operator.to_string())
}

/// Checks what a record gives.
#[track_caller]
fn check(record: &[u8], expected_country: Option<&str>, expected_operator: Option<&str>) {
    // The other half has a usable record, so that the database is one.
    let usable = b"\xe2\x4ccountry_code\x42DE\x43asn\xc1\x01";
    let second = u32::try_from(record.len()).expect("a short record") + 1 + 16;
    let databases = open(file(4, &[[1 + 16, second]], &[record, usable].concat()));
    assert_eq!(country(&databases, "8.8.8.8").as_deref(), expected_country);
    assert_eq!(
        operator(&databases, "8.8.8.8").as_deref(),
        expected_operator
    );
}

#[test]
fn an_address_in_no_record_has_no_country() {
    let databases = open(half(GERMANY));
    assert_eq!(country(&databases, "8.8.8.8").as_deref(), Some("DE"));
    assert_eq!(country(&databases, "130.0.0.1"), None);
    assert_eq!(operator(&databases, "8.8.8.8"), None);
    assert_eq!(country(&Databases::default(), "8.8.8.8"), None);
    assert!(databases.have_countries() && !databases.have_operators());
}

#[test]
fn addresses_that_are_not_public_have_no_country() {
    let databases = open(file(4, &[[1 + 16, 1 + 16]], GERMANY));
    assert_eq!(country(&databases, "9.255.255.255").as_deref(), Some("DE"));
    for text in [
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.1.1",
        "224.0.0.1",
    ] {
        assert_eq!(country(&databases, text), None, "{text}");
    }
}

#[test]
fn a_database_of_ipv4_knows_no_ipv6() {
    let databases = open(half(GERMANY));
    assert_eq!(country(&databases, "2600::1"), None);
    assert_eq!(country(&databases, "::808:808"), None);
}

/// A chain of nodes leads through 96 zeros to that of IPv4. The first bit decides as well.
#[test]
fn a_database_of_ipv6_knows_ipv4() {
    let mut nodes: Vec<_> = (1..=96).map(|next| [next, 97]).collect();
    nodes.push([97 + 16, 97]);
    nodes[0][1] = 97 + 16 + u32::try_from(GERMANY.len()).expect("a short record");
    let france = b"\xe1\x4ccountry_code\x42FR";
    let databases = open(file(6, &nodes, &[GERMANY, france].concat()));
    assert_eq!(country(&databases, "8.8.8.8").as_deref(), Some("DE"));
    assert_eq!(country(&databases, "130.0.0.1"), None);
    assert_eq!(country(&databases, "2600::1"), None);
    assert_eq!(country(&databases, "a000::1").as_deref(), Some("FR"));
}

#[test]
fn countries_of_all_layouts_are_found() {
    check(GERMANY, Some("DE"), None);
    check(b"\xe1\x4ccountry_code\x42fr", Some("FR"), None);
    check(b"\xe1\x47country\x42US", Some("US"), None);
    // IPinfo Lite.
    check(
        b"\xe2\x47country\x4dUnited States\x4ccountry_code\x42US",
        Some("US"),
        None,
    );
    // The country in which a range was registered is another one.
    check(
        b"\xe1\x52registered_country\xe1\x48iso_code\x42AU",
        None,
        None,
    );
    check(b"\xe1\x4ccountry_code\x42ZZ", None, None);
}

#[test]
fn operators_of_all_layouts_are_found() {
    let number = b"\x58autonomous_system_number\xc2\x3b\x41";
    let organization = b"\x5d\x01autonomous_system_organization\x46GOOGLE";
    let both = [number.as_slice(), organization].concat();
    let google = Some("AS15169 GOOGLE");
    check(&[b"\xe2", both.as_slice()].concat(), None, google);
    check(
        &[b"\xe1\x46traits\xe2", both.as_slice()].concat(),
        None,
        google,
    );
    check(
        &[b"\xe1", number.as_slice()].concat(),
        None,
        Some("AS15169"),
    );
    check(&[b"\xe1", organization.as_slice()].concat(), None, None);
    check(b"\xe2\x43asn\x47AS15169\x47as_name\x46GOOGLE", None, google);
    check(b"\xe2\x44name\x46GOOGLE\x43asn\x47as15169", None, google);
    check(
        b"\xe2\x43asn\x4515169\x4corganization\x46GOOGLE",
        None,
        google,
    );
    check(b"\xe2\x43asn\xa2\x3b\x41\x43org\x46GOOGLE", None, google);
    check(b"\xe1\x43asn\x02\x02\x3b\x41", None, Some("AS15169"));
}

#[test]
fn values_of_the_wrong_type_give_none() {
    for record in [
        b"\xe1\x47country\xe1\x48iso_code\xa2\x44\x45".as_slice(),
        b"\xe1\x47country\xe1\x48iso_code\x82DE",
        b"\xe1\x47country\x01\x04\x42DE",
        b"\xe1\x47country\xc1\x01",
        b"\xe1\x43asn\x04\x01\xff\xff\xff\xff",
        b"\xe1\x43asn\x05\x02\x01\x00\x00\x00\x00",
        b"\xe1\x43asn\x68\x40\xcd\xa0\x80\x00\x00\x00\x00",
        b"\xe1\x43asn\xe0",
        b"\xe1\x43asn\xa0",
        b"\xe1\x43asn\x46AS-123",
        b"\xe1\x43asn\x01\x07",
        b"\x42DE",
        b"\xa1\x01",
        b"\xe0",
    ] {
        check(record, None, None);
    }
}

#[test]
fn the_first_database_that_knows_a_value_wins() {
    let database = |content| Arc::new(Database::new(content).expect("a database"));
    let germany = database(half(GERMANY));
    let france = database(file(
        4,
        &[[1 + 16, 1 + 16]],
        b"\xe2\x4ccountry_code\x42FR\x43asn\xa1\x07",
    ));
    let databases = Databases::new(vec![Arc::clone(&germany), Arc::clone(&france)]);
    assert_eq!(country(&databases, "8.8.8.8").as_deref(), Some("DE"));
    assert_eq!(country(&databases, "130.0.0.1").as_deref(), Some("FR"));
    assert_eq!(operator(&databases, "8.8.8.8").as_deref(), Some("AS7"));
    assert!(databases.have_countries() && databases.have_operators());
    let databases = Databases::new(vec![france, germany]);
    assert_eq!(country(&databases, "8.8.8.8").as_deref(), Some("FR"));
}

#[test]
fn a_database_says_when_it_was_built() {
    let database = Database::new(half(GERMANY)).expect("a database");
    assert_eq!(database.built().as_secs(), 0x6925_0000);
}

#[track_caller]
fn check_refused(content: Vec<u8>, expected: &str) {
    let error = Database::new(content).expect_err("this cannot be used");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn other_files_are_refused() {
    let format =
        "it is not a database in the MaxMind DB format, or not a whole one: invalid database: ";
    check_refused(
        b"GIF89a".to_vec(),
        &format!("{format}could not find MaxMind DB metadata in file"),
    );
    check_refused(
        half(b"\xe1\x46domain\x47example"),
        "it has neither countries nor network operators (its type is 'Test')",
    );
    // The tree leads behind the data.
    check_refused(
        file(4, &[[1 + 16, 9000]], GERMANY),
        "it is damaged: invalid database: the MaxMind DB file's data pointer resolves to an invalid \
         location",
    );
}

/// 2^96 ways through these nodes lead back to the node of IPv4, which a reader may pass over.
#[test]
fn a_tree_without_end_is_refused() {
    let mut nodes: Vec<_> = (1..=96).map(|next| [next, next]).collect();
    nodes.push([97, 97]);
    check_refused(
        file(6, &nodes, GERMANY),
        "it has neither countries nor network operators (its type is 'Test')",
    );
    check_refused(
        file(6, &[[0, 0]], GERMANY),
        "it is damaged: invalid database: search tree appears to have a cycle or invalid structure \
         (traversal exceeded the address bit length)",
    );
}

/// Writes a file in one step, as `mv` does.
fn replace(path: &Path, content: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, content).expect("it is written");
    fs::rename(&new, path).expect("it is renamed");
}

#[test]
fn a_changed_file_is_used_once_two_polls_have_found_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.mmdb");
    replace(&path, &half(GERMANY));
    let files = Files::open(vec![path.clone()]).expect("a database");
    let mut watched = files.watched();
    let mut poll = || files.apply(0, watched[0].poll());
    let known = || country(&files.databases(), "8.8.8.8");
    let failures = || files.states()[0].failures;
    assert!(!poll() && !poll());

    let france = half(b"\xe1\x4ccountry_code\x42FR");
    replace(&path, &france);
    assert!(!poll());
    assert_eq!(known().as_deref(), Some("DE"));
    assert!(poll() && !poll());
    assert_eq!(known().as_deref(), Some("FR"));
    let state = &files.states()[0];
    assert_eq!((state.bytes, state.failures), (france.len() as u64, 0));

    // A half-written file keeps the database before it, and counts once.
    fs::write(&path, &france[..100]).expect("it is written");
    assert!(!poll() && !poll() && !poll());
    assert_eq!((known().as_deref(), failures()), (Some("FR"), 1));
    fs::remove_file(&path).expect("it is removed");
    assert!(!poll() && !poll());
    assert_eq!((known().as_deref(), failures()), (Some("FR"), 2));
    replace(&path, &half(GERMANY));
    assert!(!poll() && poll());
    assert_eq!((known().as_deref(), failures()), (Some("DE"), 2));
}

#[test]
fn a_file_that_cannot_be_used_is_an_error_at_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let missing = directory.path().join("a.mmdb");
    let error = |path: &Path| Files::open(vec![path.to_owned()]).expect_err("no database");
    let expected = format!("cannot use '--geo-database {}': ", missing.display());
    assert!(error(&missing).to_string().starts_with(&expected));
    let expected = format!(
        "cannot use '--geo-database {}': it is not a regular file",
        directory.path().display()
    );
    assert_eq!(error(directory.path()).to_string(), expected);
}

/// Opens a database and looks addresses up in it, if it can be opened.
fn survive(content: Vec<u8>) {
    let Ok(databases) = Databases::from_bytes(content) else {
        return;
    };
    for text in [
        "0.0.0.0",
        "8.8.8.8",
        "130.0.0.1",
        "2600::1",
        "a000::1",
        "::1:1",
    ] {
        if let Some(country) = country(&databases, text) {
            assert!(country.bytes().all(|byte| byte.is_ascii_uppercase()));
        }
        if let Some(operator) = operator(&databases, text) {
            assert!((3..=64).contains(&operator.len()), "{operator:?}");
            assert!(!operator.contains(char::is_control), "{operator:?}");
        }
    }
}

/// Each layout, with texts, numbers, a pointer and an array.
fn samples() -> Vec<Vec<u8>> {
    let pointer = b"\xe1\x43asn\x20\x07\x43AS7".as_slice();
    let records = [
        GERMANY,
        b"\xe2\x43asn\x47AS15169\x47as_name\x46GOOGLE",
        b"\xe3\x4ccountry_code\x42FR\x43asn\xc2\x3b\x41\x44name\x02\x04\xa0\xa0",
        pointer,
    ];
    let mut chain: Vec<_> = (1..=96).map(|next| [next, 97]).collect();
    chain.push([97 + 16, 97]);
    let databases = records.iter().map(|record| half(record));
    databases.chain([file(6, &chain, GERMANY)]).collect()
}

#[test]
fn a_database_cut_anywhere_is_survived() {
    for sample in samples() {
        for length in 0..sample.len() {
            survive(sample[..length].to_vec());
        }
    }
}

#[test]
fn a_database_with_any_byte_changed_is_survived() {
    for sample in samples() {
        for position in 0..sample.len() {
            for value in [0, 1, 0x20, 0x3f, 0x5f, 0x7f, 0x80, 0xdf, 0xe1, 0xfe, 0xff] {
                let mut changed = sample.clone();
                changed[position] = value;
                survive(changed);
                let mut changed = sample.clone();
                changed[position] ^= value;
                survive(changed);
            }
        }
    }
}

/// Pointers to themselves and to each other, maps inside maps, and sizes beyond the file.
#[test]
fn endless_structures_are_survived() {
    for record in [
        b"\x20\x00".as_slice(),
        b"\x20\x02\x20\x00",
        b"\xe1\x47country\x20\x00",
        b"\xe1\x20\x00\x20\x00",
        b"\x01\x04\x20\x00",
        b"\xff\xff\xff\xff",
        b"\x5f\xff\xff\xff",
        b"\x1f\x04\xff\xff\xff",
        b"\xe1\x43asn\x5f\xff\xff\xff",
    ] {
        survive(half(record));
    }
    survive(half(&b"\xe1\x41a".repeat(10_000)));
    survive(half(&b"\x01\x04".repeat(10_000)));
    // A million empty texts, which take a byte each.
    let wide = [
        b"\x1f\x04\x0e\x41\x23".as_slice(),
        &b"\x40".repeat(1_000_000),
    ]
    .concat();
    check_refused(
        half(&wide),
        "it is damaged: resource limit exceeded at offset 5: exceeded maximum number of data \
         structure values",
    );
    let deep = [b"\xe1\x41a".repeat(17), b"\xe0".to_vec()].concat();
    check_refused(
        half(&deep),
        "it is damaged: decoding error: maps or arrays are nested too deep",
    );
    // 65,000 pointers to an array that begins before them.
    let fan = [b"\x1e\x04\xfc\x00".as_slice(), &b"\x20\x00".repeat(65_000)].concat();
    survive(half(&fan));
}

proptest::proptest! {
    #[test]
    fn random_trees_and_records_are_survived(
        nodes in proptest::collection::vec(proptest::array::uniform2(0_u32..200), 1..100),
        data in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
        ip_version in 3_u8..8,
    ) {
        survive(file(ip_version, &nodes, &data));
    }
}
