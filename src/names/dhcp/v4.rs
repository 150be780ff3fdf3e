//! DHCPv4 messages: RFC 2131, options by RFC 2132 and 4702.
//!
//! ```text
//!  +----+-------+------+------+-----+------+-------+--------+--------+--------+
//!  | op | htype | hlen | hops | xid | secs | flags | ciaddr | yiaddr | siaddr |
//!  | 1  |   1   |  1   |  1   |  4  |  2   |   2   |   4    |   4    |   4    |
//!  +----+-------+------+------+-----+------+-------+--------+--------+--------+
//!  | giaddr | chaddr | sname | file | magic cookie | options
//!  |   4    |   16   |  64   | 128  |      4       |
//!  +--------+--------+-------+------+--------------+---------
//! ```

use std::net::Ipv4Addr;

use super::{Client, Exchange};
use crate::names::text::Name;

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const MAGIC_COOKIE: [u8; 4] = [99, 130, 83, 99];

const PAD: u8 = 0;
const HOST_NAME: u8 = 12;
const LEASE_TIME: u8 = 51;
const OVERLOAD: u8 = 52;
const MESSAGE_TYPE: u8 = 53;
const CLIENT_FQDN: u8 = 81;
const END: u8 = 255;

const DISCOVER: u8 = 1;
const REQUEST_MESSAGE: u8 = 3;
const ACKNOWLEDGEMENT: u8 = 5;

/// In the flags of option 81: the name is encoded as in DNS.
const FQDN_IS_ENCODED: u8 = 0b100;

/// Parses the payload of a datagram; `None` if it is malformed or cut short.
pub(super) fn parse(payload: &[u8]) -> Option<Exchange> {
    let (header, rest) = payload.split_first_chunk::<44>()?;
    let [op, _, hardware_length, _, xid @ ..] = header;
    let [x0, x1, x2, x3, ..] = *xid;
    let (&[y0, y1, y2, y3], hardware) = header.get(16..)?.split_first_chunk::<4>()?;
    let hardware = hardware.get(8..)?;
    let hardware = hardware
        .get(..usize::from(*hardware_length))
        .unwrap_or(hardware);
    let (server_name, rest) = rest.split_first_chunk::<64>()?;
    let (file, rest) = rest.split_first_chunk::<128>()?;
    let options = rest.strip_prefix(&MAGIC_COOKIE)?;

    let mut found = Options::default();
    found.read(options)?;
    // The two fields may hold further options.
    if found.overload & 1 != 0 {
        found.read(file)?;
    }
    if found.overload & 2 != 0 {
        found.read(server_name)?;
    }
    let client = Client {
        transaction: u32::from_be_bytes([x0, x1, x2, x3]),
        identifier: hardware.into(),
    };
    let address = Ipv4Addr::new(y0, y1, y2, y3);
    Some(match (*op, found.message_type) {
        (REQUEST, DISCOVER | REQUEST_MESSAGE) => Exchange::request(client, found.name()),
        (REPLY, ACKNOWLEDGEMENT) => {
            let leases = found.lease_time.map(|seconds| (address.into(), seconds));
            let leases = leases.filter(|_| !address.is_unspecified());
            Exchange::reply(client, found.name(), leases.into_iter().collect())
        }
        _ => Exchange::Other,
    })
}

/// The options that are read.
#[derive(Default)]
struct Options {
    message_type: u8,
    overload: u8,
    lease_time: Option<u32>,
    host_name: Vec<u8>,
    client_fqdn: Vec<u8>,
}

impl Options {
    /// Reads options up to the end; `None` if they are cut short.
    fn read(&mut self, mut rest: &[u8]) -> Option<()> {
        loop {
            rest = match rest {
                [END, ..] => return Some(()),
                [PAD, tail @ ..] => tail,
                [option, length, tail @ ..] => {
                    let (value, tail) = tail.split_at_checked(usize::from(*length))?;
                    self.option(*option, value);
                    tail
                }
                [] | [_] => return None,
            };
        }
    }

    fn option(&mut self, option: u8, value: &[u8]) {
        match (option, value) {
            (MESSAGE_TYPE, &[message_type]) => self.message_type = message_type,
            (OVERLOAD, &[overload]) => self.overload = overload,
            (LEASE_TIME, &[a, b, c, d]) => {
                self.lease_time = Some(u32::from_be_bytes([a, b, c, d]));
            }
            // A long option may be split into several, which are put together: RFC 3396.
            (HOST_NAME, value) => self.host_name.extend_from_slice(value),
            (CLIENT_FQDN, value) => self.client_fqdn.extend_from_slice(value),
            _ => {}
        }
    }

    /// Returns the host name, or else the name in option 81.
    fn name(&self) -> Option<Name> {
        Name::new(&self.host_name).or_else(|| {
            let [flags, _, _, name @ ..] = &self.client_fqdn[..] else {
                return None;
            };
            if flags & FQDN_IS_ENCODED != 0 {
                super::encoded_name(name)
            } else {
                Name::new(name)
            }
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns a message of transaction 0x01020304 and of the hardware address 02:00:00:00:00:0a.
    pub(in super::super) fn message(op: u8, yiaddr: [u8; 4], options: &[u8]) -> Vec<u8> {
        let mut message = vec![op, 1, 6, 0, 1, 2, 3, 4];
        message.extend([0; 8]);
        message.extend(yiaddr);
        message.extend([0; 8]);
        message.extend([2, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        message.extend([0; 64 + 128]);
        message.extend([99, 130, 83, 99]);
        message.extend(options);
        message
    }

    fn client() -> Client {
        Client {
            transaction: 0x0102_0304,
            identifier: [2, 0, 0, 0, 0, 10].into(),
        }
    }

    fn request(name: &str) -> Exchange {
        Exchange::Request {
            client: client(),
            name: Name::new(name.as_bytes()).expect("a name"),
        }
    }

    const NO_ADDRESS: [u8; 4] = [0; 4];

    #[test]
    fn a_request_has_the_host_name() {
        let options = b"\x35\x01\x03\x3d\x07\x01\x02\0\0\0\0\x0a\x00\x0c\x06laptop\xff\0\0";
        assert_eq!(
            parse(&message(1, NO_ADDRESS, options)),
            Some(request("laptop"))
        );
        let discover = b"\x35\x01\x01\x0c\x06laptop\xff";
        assert_eq!(
            parse(&message(1, NO_ADDRESS, discover)),
            Some(request("laptop"))
        );
    }

    #[test]
    fn a_request_may_have_a_qualified_name_instead() {
        let text = b"\x35\x01\x03\x51\x0d\0\0\0laptop.lan\xff";
        assert_eq!(
            parse(&message(1, NO_ADDRESS, text)),
            Some(request("laptop.lan"))
        );
        let encoded = b"\x35\x01\x03\x51\x0f\x05\0\0\x06laptop\x03lan\0\xff";
        assert_eq!(
            parse(&message(1, NO_ADDRESS, encoded)),
            Some(request("laptop.lan"))
        );
        let both = b"\x35\x01\x03\x51\x0d\0\0\0laptop.lan\x0c\x06laptop\xff";
        assert_eq!(
            parse(&message(1, NO_ADDRESS, both)),
            Some(request("laptop"))
        );
    }

    #[test]
    fn an_option_may_be_split_and_in_other_fields() {
        let split = b"\x35\x01\x03\x0c\x03lap\x0c\x03top\xff";
        assert_eq!(
            parse(&message(1, NO_ADDRESS, split)),
            Some(request("laptop"))
        );
        // The field `file` begins at byte 108, and `sname` at byte 44.
        for (overload, place) in [(1, 108), (2, 44)] {
            let options = [0x34, 1, overload, 0x35, 1, 3, 0xff];
            let mut message = message(1, NO_ADDRESS, &options);
            message[place..][..9].copy_from_slice(b"\x0c\x06laptop\xff");
            assert_eq!(parse(&message), Some(request("laptop")));
        }
    }

    #[test]
    fn an_acknowledgement_assigns_an_address() {
        let options = b"\x35\x01\x05\x33\x04\x00\x00\x0e\x10\xff";
        let reply = |name: Option<&str>| {
            Some(Exchange::Reply {
                client: client(),
                name: name.and_then(|name| Name::new(name.as_bytes())),
                leases: vec![(Ipv4Addr::new(192, 168, 1, 10).into(), 3600)],
            })
        };
        assert_eq!(parse(&message(2, [192, 168, 1, 10], options)), reply(None));
        let named = b"\x35\x01\x05\x33\x04\x00\x00\x0e\x10\x0c\x03nas\xff";
        assert_eq!(
            parse(&message(2, [192, 168, 1, 10], named)),
            reply(Some("nas"))
        );
    }

    #[test]
    fn other_messages_say_nothing() {
        let nothing = |message: &[u8]| assert_eq!(parse(message), Some(Exchange::Other));
        let offer = b"\x35\x01\x02\x33\x04\x00\x00\x0e\x10\x0c\x03nas\xff";
        nothing(&message(2, [192, 168, 1, 10], offer));
        // The answer to a DHCPINFORM, without an address and without a lease.
        let inform = b"\x35\x01\x05\x0c\x03nas\xff";
        nothing(&message(2, NO_ADDRESS, inform));
        nothing(&message(2, [192, 168, 1, 10], inform));
        nothing(&message(1, NO_ADDRESS, b"\x35\x01\x03\xff"));
        nothing(&message(1, NO_ADDRESS, b"\x35\x01\x07\x0c\x03nas\xff"));
    }

    #[test]
    fn what_is_cut_short_or_no_dhcp_is_malformed() {
        let whole = message(1, NO_ADDRESS, b"\x35\x01\x03\x0c\x06laptop\xff");
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "{length}");
        }
        let mut other_cookie = whole.clone();
        other_cookie[236] = 0;
        assert_eq!(parse(&other_cookie), None);
        let mut long_address = whole;
        long_address[2] = 255;
        assert!(matches!(
            parse(&long_address),
            Some(Exchange::Request { .. })
        ));
    }
}
