//! DHCPv6 messages: RFC 8415, and option 39 by RFC 4704.
//!
//! ```text
//!  client and server          relay
//!  +------+-----+---------    +------+------+--------+--------+---------
//!  | type | xid | options     | type | hops | link   | peer   | options
//!  |  1   |  3  |             |  1   |  1   |  16    |  16    |
//!  +------+-----+---------    +------+------+--------+--------+---------
//! ```

use std::net::{IpAddr, Ipv6Addr};
use std::{iter, mem};

use super::{Client, Exchange, MAX_LEASES};
const SOLICIT: u8 = 1;
const REQUEST: u8 = 3;
const RENEW: u8 = 5;
const REBIND: u8 = 6;
const REPLY: u8 = 7;
const RELAY_FORWARD: u8 = 12;
const RELAY_REPLY: u8 = 13;

const CLIENT_IDENTIFIER: u16 = 1;
const NON_TEMPORARY: u16 = 3;
const TEMPORARY: u16 = 4;
const ADDRESS: u16 = 5;
const RELAY_MESSAGE: u16 = 9;
const CLIENT_FQDN: u16 = 39;

/// The most relays that a message passes through: HOP_COUNT_LIMIT, RFC 8415, section 7.6.
const MAX_RELAYS: usize = 8;

/// The maximum length of a client's identifier: RFC 8415, section 11.1.
const MAX_IDENTIFIER: usize = 130;

/// Parses the payload of a datagram; `None` if it is malformed or cut short.
pub(super) fn parse(payload: &[u8]) -> Option<Exchange> {
    let mut message = payload;
    for _ in 0..=MAX_RELAYS {
        let [RELAY_FORWARD | RELAY_REPLY, _, relayed @ ..] = message else {
            return exchange(message);
        };
        message = relay_message(relayed.get(32..)?)?;
    }
    None
}

/// Returns the message that a relay passes on.
fn relay_message(relayed: &[u8]) -> Option<&[u8]> {
    for option in options(relayed) {
        if let (RELAY_MESSAGE, message) = option? {
            return Some(message);
        }
    }
    None
}

fn exchange(message: &[u8]) -> Option<Exchange> {
    let [kind, x0, x1, x2, rest @ ..] = message else {
        return None;
    };
    if !matches!(*kind, SOLICIT | REQUEST | RENEW | REBIND | REPLY) {
        return Some(Exchange::Other);
    }
    let mut identifier = None;
    let mut name = None;
    let mut leases = Vec::new();
    for option in options(rest) {
        match option? {
            (CLIENT_IDENTIFIER, value) => identifier = Some(value),
            (CLIENT_FQDN, [_, value @ ..]) => name = super::encoded_name(value),
            (NON_TEMPORARY, value) => addresses(value.get(12..)?, &mut leases)?,
            (TEMPORARY, value) => addresses(value.get(4..)?, &mut leases)?,
            _ => {}
        }
    }
    let client = Client {
        transaction: u32::from_be_bytes([0, *x0, *x1, *x2]),
        identifier: identifier
            .filter(|identifier| identifier.len() <= MAX_IDENTIFIER)?
            .into(),
    };
    Some(match *kind {
        REPLY => Exchange::reply(client, name, leases),
        _ => Exchange::request(client, name),
    })
}

/// Collects the addresses among the options of an identity association, with their valid lifetimes.
fn addresses(association: &[u8], leases: &mut Vec<(IpAddr, u32)>) -> Option<()> {
    for option in options(association) {
        let (ADDRESS, value) = option? else {
            continue;
        };
        let (address, rest) = value.split_first_chunk::<16>()?;
        let [_, _, _, _, a, b, c, d, ..] = *rest else {
            return None;
        };
        if leases.len() < MAX_LEASES {
            let address = Ipv6Addr::from_octets(*address);
            leases.push((address.into(), u32::from_be_bytes([a, b, c, d])));
        }
    }
    Some(())
}

/// Returns the codes and values of all options. The last is `None` if it is cut short.
fn options(mut rest: &[u8]) -> impl Iterator<Item = Option<(u16, &[u8])>> {
    iter::from_fn(move || {
        let [c0, c1, l0, l1, tail @ ..] = rest else {
            let is_cut = !mem::take(&mut rest).is_empty();
            return is_cut.then_some(None);
        };
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        let (value, tail) = match tail.split_at_checked(length) {
            Some((value, tail)) => (Some(value), tail),
            None => (None, &[][..]),
        };
        rest = tail;
        let code = u16::from_be_bytes([*c0, *c1]);
        Some(value.map(|value| (code, value)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::text::Name;

    /// The client's identifier 1-2-3-4, and the name `laptop` alone, as clients send it.
    const REQUEST_OPTIONS: &[u8] = b"\x00\x01\x00\x04\x01\x02\x03\x04\
                                     \x00\x27\x00\x08\x01\x06laptop";
    /// The same client, and an association with 2001:db8::10, valid for 3600 seconds.
    const REPLY_OPTIONS: &[u8] = b"\x00\x01\x00\x04\x01\x02\x03\x04\
                                   \x00\x03\x00\x28\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\
                                   \x00\x05\x00\x18\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x10\
                                   \x00\x00\x07\x08\x00\x00\x0e\x10";

    fn message(kind: u8, options: &[u8]) -> Vec<u8> {
        [&[kind, 0x0a, 0x0b, 0x0c], options].concat()
    }

    fn client() -> Client {
        Client {
            transaction: 0x000a_0b0c,
            identifier: [1, 2, 3, 4].into(),
        }
    }

    fn request() -> Exchange {
        Exchange::Request {
            client: client(),
            name: Name::new(b"laptop").expect("a name"),
        }
    }

    fn reply(name: Option<&[u8]>) -> Exchange {
        let address: IpAddr = "2001:db8::10".parse().expect("an address");
        Exchange::Reply {
            client: client(),
            name: name.and_then(Name::new),
            leases: vec![(address, 3600)],
        }
    }

    #[test]
    fn requests_have_the_name_of_the_client() {
        for kind in [1, 3, 5, 6] {
            let message = message(kind, REQUEST_OPTIONS);
            assert_eq!(parse(&message), Some(request()));
        }
    }

    #[test]
    fn a_reply_assigns_addresses() {
        assert_eq!(parse(&message(7, REPLY_OPTIONS)), Some(reply(None)));
        let named = [REPLY_OPTIONS, b"\x00\x27\x00\x0d\x01\x06laptop\x03lan\0"].concat();
        assert_eq!(parse(&message(7, &named)), Some(reply(Some(b"laptop.lan"))));
    }

    fn relayed(kind: u8, message: &[u8]) -> Vec<u8> {
        let length = u16::try_from(message.len())
            .expect("it is short")
            .to_be_bytes();
        let mut relayed = vec![kind, 0];
        relayed.extend([0; 32]);
        relayed.extend(b"\x00\x12\x00\x02ab\x00\x09");
        relayed.extend(length);
        relayed.extend(message);
        relayed
    }

    #[test]
    fn relayed_messages_are_unwrapped() {
        let message = message(3, REQUEST_OPTIONS);
        let twice = relayed(12, &relayed(12, &message));
        assert_eq!(parse(&twice), Some(request()));
        let mut endless = message;
        for _ in 0..20 {
            endless = relayed(13, &endless);
        }
        assert_eq!(parse(&endless), None);
    }

    #[test]
    fn other_messages_say_nothing() {
        assert_eq!(parse(&message(2, REPLY_OPTIONS)), Some(Exchange::Other));
        assert_eq!(
            parse(&message(7, &REPLY_OPTIONS[..8])),
            Some(Exchange::Other)
        );
        assert_eq!(
            parse(&message(3, &REQUEST_OPTIONS[..8])),
            Some(Exchange::Other)
        );
    }

    #[test]
    fn what_is_cut_short_is_malformed() {
        let whole = message(7, REPLY_OPTIONS);
        // An end behind an option is no error.
        for length in (0..whole.len()).filter(|length| *length != 12) {
            assert_eq!(parse(&whole[..length]), None, "{length}");
        }
    }
}
