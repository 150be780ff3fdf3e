//! Writes databases in the MaxMind DB format: <https://maxmind.github.io/MaxMind-DB/>.
//!
//! This is all that the test databases need: a tree without compression, and data without pointers
//! but those of the tree.

/// A value in the data or the metadata.
#[derive(Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    /// An unsigned number of 16 bits, of 32, and of 64: different types of the format.
    Short(u16),
    Number(u32),
    Time(u64),
    Texts(Vec<&'static str>),
    Map(Vec<(&'static str, Value)>),
}

pub(crate) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// A database, and its networks with their records.
pub(crate) struct Database {
    /// 4 or 6. In a tree of IPv6, networks of IPv4 are below `::/96`.
    pub(crate) ip_version: u16,
    /// The number of bits of a record in the tree: 24, 28 or 32.
    pub(crate) record_bits: u16,
    pub(crate) kind: &'static str,
    /// When it was built, since 1970.
    pub(crate) built: u64,
    /// Networks such as `8.8.8.0/24`, each with its record. A later network may be inside an earlier
    /// one.
    pub(crate) networks: Vec<(String, Value)>,
}

/// What a record of the tree leads to.
#[derive(Clone, Copy)]
enum Child {
    Nothing,
    Node(usize),
    /// An index into the distinct data.
    Data(usize),
}

impl Database {
    /// Returns the content of the file.
    pub(crate) fn file(&self) -> Vec<u8> {
        let mut nodes = vec![[Child::Nothing; 2]];
        let mut distinct: Vec<&Value> = Vec::new();
        for (network, value) in &self.networks {
            let known = distinct.iter().position(|other| *other == value);
            let data = known.unwrap_or_else(|| {
                distinct.push(value);
                distinct.len() - 1
            });
            insert(&mut nodes, &self.bits(network), Child::Data(data));
        }
        let mut data = Vec::new();
        let mut offsets = Vec::new();
        for value in distinct {
            offsets.push(data.len());
            encode(&mut data, value);
        }
        let mut file = self.tree(&nodes, &offsets);
        file.extend([0; 16]);
        file.extend(data);
        file.extend(b"\xab\xcd\xefMaxMind.com");
        encode(&mut file, &self.metadata(nodes.len()));
        file
    }

    /// Returns the bits of a network's prefix, from the root of the tree.
    fn bits(&self, network: &str) -> Vec<usize> {
        let (address, length) = network.split_once('/').expect("an address and a length");
        let length: usize = length.parse().expect("a prefix length");
        let (octets, length) = match address.parse().expect("an address") {
            std::net::IpAddr::V4(address) if self.ip_version == 4 => {
                (address.octets().to_vec(), length)
            }
            std::net::IpAddr::V4(address) => (
                [[0; 12].as_slice(), &address.octets()].concat(),
                96 + length,
            ),
            std::net::IpAddr::V6(address) => (address.octets().to_vec(), length),
        };
        let bits = octets
            .iter()
            .flat_map(|octet| (0..8).rev().map(move |bit| usize::from(octet >> bit & 1)));
        bits.take(length).collect()
    }

    fn tree(&self, nodes: &[[Child; 2]], offsets: &[usize]) -> Vec<u8> {
        let number = |child: Child| match child {
            Child::Nothing => nodes.len(),
            Child::Node(node) => node,
            Child::Data(data) => nodes.len() + 16 + offsets[data],
        };
        let mut tree = Vec::new();
        for [left, right] in nodes {
            let [left, right] = [number(*left), number(*right)]
                .map(|number| u32::try_from(number).expect("it is small"));
            match self.record_bits {
                24 => tree.extend([&left.to_be_bytes()[1..], &right.to_be_bytes()[1..]].concat()),
                // The upper four bits of both are in the byte between them.
                28 => {
                    let middle = (left >> 24 << 4) | right >> 24;
                    tree.extend(&left.to_be_bytes()[1..]);
                    tree.push(u8::try_from(middle).expect("two times four bits"));
                    tree.extend(&right.to_be_bytes()[1..]);
                }
                _ => tree.extend([left.to_be_bytes(), right.to_be_bytes()].concat()),
            }
        }
        tree
    }

    fn metadata(&self, nodes: usize) -> Value {
        let nodes = u32::try_from(nodes).expect("few nodes");
        let description = "Made up for tests of tzsp_packetstream_exporter";
        Value::Map(vec![
            ("binary_format_major_version", Value::Short(2)),
            ("binary_format_minor_version", Value::Short(0)),
            ("build_epoch", Value::Time(self.built)),
            ("database_type", text(self.kind)),
            ("description", Value::Map(vec![("en", text(description))])),
            ("ip_version", Value::Short(self.ip_version)),
            ("languages", Value::Texts(vec!["en"])),
            ("node_count", Value::Number(nodes)),
            ("record_size", Value::Short(self.record_bits)),
        ])
    }
}

/// Makes the tree lead to `child` after these bits. What an earlier network leads to stays in the rest
/// of it.
fn insert(nodes: &mut Vec<[Child; 2]>, bits: &[usize], child: Child) {
    let (last, before) = bits.split_last().expect("a network is not everything");
    let mut node = 0;
    for &bit in before {
        node = match nodes[node][bit] {
            Child::Node(next) => next,
            earlier => {
                nodes.push([earlier; 2]);
                nodes[node][bit] = Child::Node(nodes.len() - 1);
                nodes.len() - 1
            }
        };
    }
    nodes[node][*last] = child;
}

/// Appends a value: a control byte with its type and size, and its payload.
fn encode(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Text(text) => encode_text(out, text),
        Value::Short(number) => encode_number(out, 5, &number.to_be_bytes()),
        Value::Number(number) => encode_number(out, 6, &number.to_be_bytes()),
        Value::Time(time) => encode_number(out, 9, &time.to_be_bytes()),
        Value::Texts(texts) => {
            control(out, 11, texts.len());
            for text in texts {
                encode_text(out, text);
            }
        }
        Value::Map(map) => {
            control(out, 7, map.len());
            for (key, value) in map {
                encode_text(out, key);
                encode(out, value);
            }
        }
    }
}

/// Appends a number without the zeros before it.
fn encode_number(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    control(out, kind, bytes.len() - zeros);
    out.extend(&bytes[zeros..]);
}

fn encode_text(out: &mut Vec<u8>, text: &str) {
    control(out, 2, text.len());
    out.extend(text.as_bytes());
}

/// Appends a control byte: the type in its upper three bits, or in a byte of its own if it is over 7,
/// and the size in its lower five, or in a byte of its own if it is over 28.
fn control(out: &mut Vec<u8>, kind: u8, size: usize) {
    let byte = |number: usize| u8::try_from(number).expect("values are short");
    let (short, more) = if size < 29 {
        (size, None)
    } else {
        (29, Some(size - 29))
    };
    if kind < 8 {
        out.push(kind << 5 | byte(short));
    } else {
        out.extend([byte(short), kind - 7]);
    }
    out.extend(more.map(byte));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &Value, expected: &[u8]) {
        let mut bytes = Vec::new();
        encode(&mut bytes, value);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn values_are_written_as_the_specification_says() {
        check(&text("DE"), b"\x42DE");
        check(
            &text(&"x".repeat(30)),
            &[b"\x5d\x01".as_slice(), &[b'x'; 30]].concat(),
        );
        check(&Value::Short(24), b"\xa1\x18");
        check(&Value::Number(0), b"\xc0");
        check(&Value::Number(15169), b"\xc2\x3b\x41");
        check(&Value::Time(0x6925_0000), b"\x04\x02\x69\x25\x00\x00");
        check(&Value::Texts(vec!["en"]), b"\x01\x04\x42en");
        check(
            &Value::Map(vec![("a", Value::Number(1))]),
            b"\xe1\x41a\xc1\x01",
        );
    }

    #[test]
    fn a_tree_has_a_node_for_each_bit() {
        let database = |record_bits| Database {
            ip_version: 4,
            record_bits,
            kind: "Test",
            built: 0,
            networks: vec![
                ("0.0.0.0/1".to_owned(), text("a")),
                ("64.0.0.0/2".to_owned(), text("b")),
            ],
        };
        // Node 0 leads to node 1, and to nothing; node 1 to the data at 0 and at 2.
        let file = database(24).file();
        assert_eq!(file[..12], [0, 0, 1, 0, 0, 2, 0, 0, 18, 0, 0, 20]);
        assert_eq!(file[12..32], *b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x41a\x41b");
        assert_eq!(database(28).file()[..7], [0, 0, 1, 0, 0, 0, 2]);
        assert_eq!(database(32).file()[..8], [0, 0, 0, 1, 0, 0, 0, 2]);
    }
}
