//! Names that clients have looked up, from the answers of name servers: RFC 1035.

use std::net::IpAddr;
use std::time::Duration;

use domain::base::Message;
use domain::base::iana::{Class, Opcode, Rcode, Rtype};
use domain::base::name::ToName;
use domain::base::wire::ParseError;
use domain::rdata::{A, Aaaa, Cname};

use super::recent::Recent;
use super::text::{MAX_LENGTH, Name};

/// The port of name servers.
pub(super) const PORT: u16 = 53;

/// The maximum number of addresses with a name. The flows of the default limit have at most 20,000.
const MAX_ADDRESSES: usize = 32_768;
/// The maximum number of records of an answer that are read. An attacker may send thousands, each of
/// which takes long to parse. Servers send up to a dozen.
const MAX_RECORDS: usize = 64;
/// How long an answer holds at least. A time to live says for how long a client may begin
/// connections with it, often half a minute. The connections go on after that.
const MIN_LIFETIME: Duration = Duration::from_mins(5);

/// The addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// The name that was asked for.
    pub(super) name: Name,
    /// With their times to live in seconds.
    pub(super) addresses: Vec<(IpAddr, u32)>,
}

/// Returns a domain name of these labels, without the root.
///
/// It is in lower case: the case has no meaning, and some resolvers vary it at random.
pub(super) fn name<'a>(labels: impl IntoIterator<Item = &'a [u8]>) -> Option<Name> {
    let mut bytes = Vec::with_capacity(MAX_LENGTH);
    for label in labels {
        if !bytes.is_empty() {
            bytes.push(b'.');
        }
        bytes.extend(label.iter().map(u8::to_ascii_lowercase));
    }
    Name::new(&bytes)
}

/// Returns the domain name in text.
pub(super) fn domain_name(name: &impl ToName) -> Option<Name> {
    let labels = name.iter_labels().filter(|label| !label.is_root());
    self::name(labels.map(AsRef::as_ref))
}

/// Parses the payload of a datagram. Returns `None` if it has no addresses for a name.
///
/// # Errors
/// It is malformed, or cut short before the first address.
pub(super) fn parse(payload: &[u8]) -> Result<Option<Answer>, ParseError> {
    let message = Message::from_slice(payload).map_err(|_| ParseError::ShortInput)?;
    let header = message.header();
    if !header.qr() || header.opcode() != Opcode::QUERY || header.rcode() != Rcode::NOERROR {
        return Ok(None);
    }
    let question = message.sole_question()?;
    if question.qclass() != Class::IN || !matches!(question.qtype(), Rtype::A | Rtype::AAAA) {
        return Ok(None);
    }
    let mut addresses = Vec::new();
    // Servers write a chain of aliases in its order, and stub resolvers rely on it.
    let mut owner = question.qname().to_vec();
    for record in message.answer()?.take(MAX_RECORDS) {
        let record = match record {
            Ok(record) => record,
            Err(error) if addresses.is_empty() => return Err(error),
            // What was there before the cut is used.
            Err(_) => break,
        };
        if record.class() != Class::IN || !record.owner().name_eq(&owner) {
            continue;
        }
        let ttl = record.ttl().as_secs();
        if let Some(alias) = record.to_record::<Cname<_>>()? {
            owner = alias.data().cname().to_vec();
        } else if let Some(address) = record.to_record::<A>()? {
            addresses.push((address.data().addr().into(), ttl));
        } else if let Some(address) = record.to_record::<Aaaa>()? {
            addresses.push((address.data().addr().into(), ttl));
        }
    }
    let name = domain_name(question.qname()).filter(|_| !addresses.is_empty());
    Ok(name.map(|name| Answer { name, addresses }))
}

/// The addresses of recent answers, and the names that were asked for.
#[derive(Debug)]
pub(super) struct Answers(Recent<IpAddr, Found>);

#[derive(Debug)]
struct Found {
    name: Name,
    /// When it is no longer true.
    end: Duration,
}

impl Default for Answers {
    fn default() -> Self {
        Self(Recent::new(MAX_ADDRESSES))
    }
}

impl Answers {
    /// Learns the addresses of an answer that `is_wanted` accepts.
    pub(super) fn learn(
        &mut self,
        at: Duration,
        answer: &Answer,
        is_wanted: impl Fn(IpAddr) -> bool,
    ) {
        for &(address, ttl) in &answer.addresses {
            if is_wanted(address) {
                let lifetime = Duration::from_secs(ttl.into()).max(MIN_LIFETIME);
                let found = Found {
                    name: answer.name.clone(),
                    end: at.saturating_add(lifetime),
                };
                self.0.insert(address, found);
            }
        }
    }

    pub(super) fn name_of(&mut self, now: Duration, address: IpAddr) -> Option<Name> {
        let found = self.0.get(&address).filter(|found| now < found.end)?;
        Some(found.name.clone())
    }

    /// Returns all names.
    pub(super) fn iter(&self, now: Duration) -> impl Iterator<Item = (IpAddr, &Name)> {
        let found = self.0.iter();
        found
            .filter(move |(_, found)| now < found.end)
            .map(|(address, found)| (*address, &found.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A response to a question for the addresses of `www.Example.org`, with this number of
    /// answers. Later names refer to it by its offset, 12.
    fn response(kind: u8, answers: u8, records: &[&[u8]]) -> Vec<u8> {
        let mut response = b"\x12\x34\x81\x80\x00\x01\x00".to_vec();
        response.push(answers);
        response.extend(b"\0\0\0\0\x03www\x07Example\x03org\x00\x00");
        response.push(kind);
        response.extend(b"\x00\x01");
        response.extend(records.concat());
        response
    }

    const A: u8 = 1;
    const AAAA: u8 = 28;
    /// An address of the name at offset 12, for a minute.
    const ADDRESS: &[u8] = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xcb\x00\x71\x07";
    /// Says that this name is an alias of `cdn.example.net`, which begins at offset 45.
    const ALIAS: &[u8] = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x11\
                           \x03cdn\x07example\x03net\x00";
    /// An address of the name at offset 45, for ten minutes.
    const ADDRESS_OF_ALIAS: &[u8] =
        b"\xc0\x2d\x00\x01\x00\x01\x00\x00\x02\x58\x00\x04\xc6\x33\x64\x09";

    #[track_caller]
    fn check(payload: &[u8], expected: &[(&str, u32)]) {
        let answer = parse(payload).expect("a message");
        let expected: Vec<(IpAddr, u32)> = expected
            .iter()
            .map(|(address, ttl)| (address.parse().expect("an address"), *ttl))
            .collect();
        let expected = (!expected.is_empty()).then(|| Answer {
            name: Name::new(b"www.example.org").expect("a name"),
            addresses: expected,
        });
        assert_eq!(answer, expected);
    }

    #[test]
    fn an_answer_has_the_addresses_of_the_name_that_was_asked_for() {
        check(&response(A, 1, &[ADDRESS]), &[("203.0.113.7", 60)]);
        let ipv6 = b"\xc0\x0c\x00\x1c\x00\x01\x00\x00\x00\x3c\x00\x10\x20\x01\x0d\xb8\
                     \0\0\0\0\0\0\0\0\0\0\0\x09";
        check(&response(AAAA, 1, &[ipv6]), &[("2001:db8::9", 60)]);
    }

    #[test]
    fn aliases_are_followed() {
        check(
            &response(A, 3, &[ALIAS, ADDRESS_OF_ALIAS, ADDRESS_OF_ALIAS]),
            &[("198.51.100.9", 600), ("198.51.100.9", 600)],
        );
    }

    #[test]
    fn addresses_of_other_names_are_ignored() {
        let other = b"\x04bank\x00\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xcb\x00\x71\x07";
        check(&response(A, 1, &[other]), &[]);
        // Behind the alias, those of the first name no longer count.
        check(&response(A, 2, &[ALIAS, ADDRESS]), &[]);
    }

    #[test]
    fn other_messages_say_nothing() {
        let mut query = response(A, 0, &[]);
        query[2] = 0x01;
        check(&query, &[]);
        let mut no_such_name = response(A, 1, &[ADDRESS]);
        no_such_name[3] = 0x83;
        check(&no_such_name, &[]);
        check(&response(A, 0, &[]), &[]);
        // A question for a mail server.
        check(&response(15, 1, &[ADDRESS]), &[]);
    }

    #[test]
    fn what_is_there_before_the_cut_is_used() {
        let whole = response(A, 2, &[ADDRESS, ADDRESS]);
        check(&whole[..whole.len() - 1], &[("203.0.113.7", 60)]);
        for length in 0..whole.len() - ADDRESS.len() {
            let _ = parse(&whole[..length]).expect_err("cut short");
        }
    }

    #[test]
    fn endless_names_are_malformed() {
        let to_itself = b"\xc0\x2d\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xcb\x00\x71\x07";
        assert!(parse(&response(A, 1, &[to_itself])).is_err());
    }

    #[test]
    fn a_name_holds_for_its_time_to_live_and_at_least_five_minutes() {
        let [short, long]: [IpAddr; 2] =
            ["203.0.113.7", "203.0.113.8"].map(|address| address.parse().expect("an address"));
        let mut answers = Answers::default();
        let name = Name::new(b"example.org").expect("a name");
        let answer = Answer {
            name: name.clone(),
            addresses: vec![(short, 60), (long, 3600)],
        };
        let at = Duration::from_secs;
        answers.learn(at(10), &answer, |_| true);
        assert_eq!(answers.name_of(at(309), short), Some(name.clone()));
        assert_eq!(answers.name_of(at(310), short), None);
        assert_eq!(answers.name_of(at(3609), long), Some(name));
        assert_eq!(answers.name_of(at(3610), long), None);
        assert_eq!(answers.iter(at(309)).count(), 2);
        assert_eq!(answers.iter(at(310)).count(), 1);
    }

    #[test]
    fn unwanted_addresses_are_not_learnt() {
        let address = "192.168.1.1".parse().expect("an address");
        let answer = Answer {
            name: Name::new(b"router.lan").expect("a name"),
            addresses: vec![(address, 60)],
        };
        let mut answers = Answers::default();
        answers.learn(Duration::ZERO, &answer, |_| false);
        assert_eq!(answers.name_of(Duration::ZERO, address), None);
    }
}
