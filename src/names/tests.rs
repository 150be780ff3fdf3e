use std::fs;
use std::path::Path;

use super::watch::Watched;
use super::*;
use crate::reload::Change;

const NOW: Duration = Duration::ZERO;

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).expect("a name")
}

fn is_host(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.is_private())
}

fn open_all(sources: &[Source]) -> Names {
    Names::open(sources.to_vec()).expect("the sources can be used")
}

fn file(directory: &Path, file: &str, content: &str) -> std::path::PathBuf {
    let path = directory.join(file);
    fs::write(&path, content).expect("a temporary file");
    path
}

#[test]
fn the_first_source_that_knows_an_address_wins() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let hosts = file(directory.path(), "hosts", "192.168.1.1 router\n");
    let leases =
        "0 02:00:00:00:00:01 192.168.1.1 gateway *\n0 02:00:00:00:00:02 192.168.1.2 tv *\n";
    let leases = file(directory.path(), "leases", leases);
    let sources = [Source::Hosts(hosts), Source::Leases(leases)];
    let addresses = ["192.168.1.1", "192.168.1.2", "192.168.1.3"].map(address);
    let expected = [Some("router"), Some("tv"), None];

    let names = open_all(&sources);
    for table in [names.of(NOW, &addresses), names.all(NOW)] {
        assert_eq!(addresses.map(|address| table.name_of(address)), expected);
        let known: Vec<_> = table.sources.iter().map(|state| state.names).collect();
        assert_eq!(known, [1, 2]);
    }
    let [first, second] = sources;
    let names = open_all(&[second, first]);
    let table = names.of(NOW, &addresses);
    assert_eq!(table.name_of(addresses[0]), Some("gateway"));
}

#[test]
fn a_source_that_cannot_be_used_is_an_error_that_names_it() {
    let error = |source| {
        let error = Names::open(vec![source]).expect_err("it cannot be used");
        error.to_string()
    };
    let missing = error(Source::Hosts("/nowhere/hosts".into()));
    assert!(
        missing.starts_with("cannot use '--names hosts=/nowhere/hosts': "),
        "{missing}"
    );
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = file(directory.path(), "leases", "127.0.0.1 localhost\n");
    assert_eq!(
        error(Source::Leases(path.clone())),
        format!(
            "cannot use '--names leases={}': not the leases of dnsmasq, ISC dhcpd or Kea",
            path.display()
        )
    );
}

#[test]
fn answers_name_only_addresses_that_are_not_hosts() {
    let names = open_all(&[Source::Dns]);
    let addresses = ["203.0.113.7", "192.168.1.1"].map(address);
    let answer = dns::Answer {
        name: name("example.org"),
        addresses: addresses.map(|address| (address, 600)).to_vec(),
    };
    names.learn(NOW, [Lesson(message::Kind::Dns(answer))], is_host);
    let table = names.of(NOW, &addresses);
    assert_eq!(
        addresses.map(|address| table.name_of(address)),
        [Some("example.org"), None]
    );
}

#[test]
fn messages_that_cannot_be_read_are_failures_of_their_source() {
    let names = open_all(&[Source::Dhcp, Source::Dns]);
    let lesson = |ports| names.protocols().read(ports, b"short");
    names.learn(
        NOW,
        [lesson((53, 40_000)), lesson((68, 67)), lesson((53, 53))]
            .into_iter()
            .flatten(),
        is_host,
    );
    let failures: Vec<_> = names
        .all(NOW)
        .sources
        .iter()
        .map(|state| state.failures)
        .collect();
    assert_eq!(failures, [1, 2]);
}

/// Windows has no `/etc/resolv.conf`, so that this source is refused there.
#[cfg(unix)]
#[test]
fn addresses_without_a_name_are_looked_up() {
    let names = open_all(&[Source::Resolve]);
    assert_eq!(
        names
            .of(NOW, &[address("192.168.1.1")])
            .name_of(address("192.168.1.1")),
        None
    );
    let mut known = names.lock();
    let Content::Resolve(lookups) = &mut known[0].content else {
        panic!("it is another source");
    };
    assert_eq!(lookups.next(), Some(address("192.168.1.1")));
}

/// Polls a hosts file whose content is made up. Returns the change in a word or two.
fn poll(file: &mut Watched, content: Result<&str, &str>) -> String {
    let found = content
        .map(|content| content.as_bytes().to_vec())
        .map_err(str::to_owned);
    match file.compare(found) {
        Change::None => String::new(),
        Change::Reverted => "reverted".to_owned(),
        Change::New(names) => format!("{} new", names.len()),
        Change::Problem(problem) => problem,
    }
}

#[test]
fn a_changed_file_is_used_once_two_polls_have_found_it() {
    let mut file = Watched::new(Source::Hosts("hosts".into()), 0);
    assert_eq!(poll(&mut file, Ok("::1 a\n")), "");
    assert_eq!(poll(&mut file, Ok("::1 a\n")), "1 new");
    assert_eq!(poll(&mut file, Ok("::1 a\n")), "");
    // It is being written, and each part is valid by itself.
    for content in ["", "::1 a\n", "", "::1 a\n::2 b\n", "::1 a\n::2 b\n::3 c\n"] {
        assert_eq!(poll(&mut file, Ok(content)), "");
    }
    assert_eq!(poll(&mut file, Ok("::1 a\n::2 b\n::3 c\n")), "3 new");
}

#[test]
fn a_problem_that_persists_is_reported_once() {
    let mut file = Watched::new(Source::Hosts("hosts".into()), 0);
    poll(&mut file, Ok("::1 a\n"));
    poll(&mut file, Ok("::1 a\n"));
    assert_eq!(poll(&mut file, Ok("::1\n")), "");
    let problem = "line 1: no name behind: '::1'";
    assert_eq!(poll(&mut file, Ok("::1\n")), problem);
    assert_eq!(poll(&mut file, Ok("::1\n")), "");
    assert_eq!(poll(&mut file, Err("it is gone")), "");
    assert_eq!(poll(&mut file, Err("it is gone")), "it is gone");
    assert_eq!(poll(&mut file, Ok("::1 a\n")), "reverted");
    assert_eq!(poll(&mut file, Ok("::1 a\n")), "");
}

/// A short stand-in for the fuzz target: messages with a few bytes changed, and cut anywhere.
#[test]
fn mutated_messages_give_names_within_the_limits() {
    let request: &[u8] = b"\x03\x00\x00\x2a\x00\x01\x00\x04\x01\x02\x03\x04\
                           \x00\x27\x00\x05\x00\x03nas";
    let reply: &[u8] = b"\x07\x00\x00\x2a\x00\x01\x00\x04\x01\x02\x03\x04\
                         \x00\x03\x00\x28\0\0\0\x01\0\0\0\0\0\0\0\0\
                         \x00\x05\x00\x18\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0\x07\x08\0\0\x0e\x10";
    let response: &[u8] =
        b"\x12\x34\x81\x80\0\x01\0\x02\0\0\0\0\x03www\x07example\x03org\0\0\x01\0\x01\
                            \xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x11\x03cdn\x07example\x03net\0\
                            \xc0\x2d\0\x01\0\x01\0\0\0\x3c\0\x04\xcb\0\x71\x07";
    let mut bootp = vec![0; 240];
    bootp[..4].copy_from_slice(&[2, 1, 6, 0]);
    bootp[16..20].copy_from_slice(&[192, 168, 1, 10]);
    bootp[236..].copy_from_slice(&[99, 130, 83, 99]);
    bootp.extend(b"\x35\x01\x05\x33\x04\0\0\x0e\x10\x0c\x06laptop\x51\x09\x04\0\0\x03lan\x01x\xff");
    let messages = [
        ((546, 547), request),
        ((547, 546), reply),
        ((53, 40_000), response),
        ((67, 68), &bootp),
    ];

    // Xorshift: the same numbers in every run.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("it is below")
    };
    let names = open_all(&[Source::Dhcp, Source::Dns]);
    for _ in 0..50_000 {
        let (ports, message) = messages[random(messages.len())];
        let mut message = message.to_vec();
        for _ in 0..random(4) {
            let at = random(message.len());
            message[at] = u8::try_from(random(256)).expect("it is a byte");
        }
        if random(4) == 0 {
            message.truncate(random(message.len() + 1));
        }
        names.learn(NOW, names.protocols().read(ports, &message), is_host);
    }
    let table = names.all(NOW);
    assert!(table.name_of(address("192.168.1.10")).is_some());
    for (address, name) in table.iter() {
        assert!((1..=253).contains(&name.len()), "{address}: {name:?}");
        assert!(!name.contains(char::is_control), "{address}: {name:?}");
    }
}
