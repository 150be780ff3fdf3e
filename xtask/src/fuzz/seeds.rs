//! The seed inputs of the fuzz targets: the fixtures, in the input format of each target.

use crate::capture_file::Order;
use crate::fixtures;

/// Returns the names and contents of a target's seeds.
pub(super) fn of(target: &str) -> Vec<(String, Vec<u8>)> {
    let captures = fixtures::captures();
    match target {
        "frame" => captures.iter().flat_map(frames).collect(),
        // Pieces of seven bytes.
        "capture" => captures
            .iter()
            .map(|capture| with_choice(capture, 6))
            .collect(),
        // The bits are those of fuzz_targets/analyze.rs: the defaults; not mirrored packets; all
        // labels and IPv6; low flow limits.
        "analyze" => [0b0000_0000, 0b0000_0001, 0b0000_1010, 0b0011_0000]
            .iter()
            .flat_map(|&choice| {
                captures
                    .iter()
                    .map(move |capture| with_choice(capture, choice))
            })
            .collect(),
        "names" => names(),
        "geo" => geo(),
        _ => WEB_CONFIGURATIONS
            .iter()
            .enumerate()
            .map(|(number, text)| (number.to_string(), text.as_bytes().to_vec()))
            .collect(),
    }
}

/// Returns each message, and all together: a byte for the ports, the length in two bytes, and the
/// payload.
fn names() -> Vec<(String, Vec<u8>)> {
    let messages = fixtures::names::messages()
        .into_iter()
        .map(|(ports, payload)| {
            let ports = match ports {
                (53, _) => 0,
                (68, _) => 1,
                (67, _) => 2,
                (546, _) => 3,
                _ => 4,
            };
            let length = u16::try_from(payload.len()).expect("messages are short");
            [&[ports], &length.to_be_bytes()[..], &payload].concat()
        });
    let messages: Vec<_> = messages.collect();
    let all = messages.concat();
    let seeds = messages.into_iter().chain([all]).enumerate();
    seeds
        .map(|(number, seed)| (number.to_string(), seed))
        .collect()
}

/// Returns each database, whole and with its end cut in three ways: the metadata comes last.
fn geo() -> Vec<(String, Vec<u8>)> {
    let databases = fixtures::databases::contents();
    let seeds = databases.iter().flat_map(|database| {
        let cut = |from_end| database[..database.len() - from_end].to_vec();
        [0, 1, 100].map(cut)
    });
    let seeds = seeds.enumerate();
    seeds
        .map(|(number, seed)| (number.to_string(), seed))
        .collect()
}

type Capture = (&'static str, Vec<u8>);

/// Returns the capture after a byte that selects how the target reads it.
fn with_choice((name, content): &Capture, choice: u8) -> (String, Vec<u8>) {
    let seed = [&[choice], &content[..]].concat();
    (format!("{name}-{choice}"), seed)
}

/// Returns the frames of a pcap file, each after its link type and a 0, which means "not cut".
fn frames((name, content): &Capture) -> Vec<(String, Vec<u8>)> {
    let (order, header) = match content[..] {
        [0xa1, 0xb2, 0xcd, ..] => (Order::Big, 24),
        [0xa1, ..] => (Order::Big, 16),
        [0x34, ..] => (Order::Little, 24),
        [_, _, _, 0xa1, ..] => (Order::Little, 16),
        // The pcapng fixtures have the same frames as the pcap fixtures.
        _ => return Vec::new(),
    };
    let word = |at: usize| {
        let word = content[at..at + 4].try_into().expect("four bytes");
        match order {
            Order::Little => u32::from_le_bytes(word),
            Order::Big => u32::from_be_bytes(word),
        }
    };
    let link = u16::try_from(word(20) & 0xffff).expect("16 bits");
    let mut frames = Vec::new();
    let mut at = 24;
    while at + header <= content.len() {
        let end = at + header + word(at + 8) as usize;
        // What is no record, such as the header of an appended capture, ends the list.
        let Some(frame) = content.get(at + header..end) else {
            break;
        };
        let seed = [&link.to_be_bytes(), &[0][..], frame].concat();
        frames.push((format!("{name}-{}", frames.len()), seed));
        at = end;
    }
    frames
}

const WEB_CONFIGURATIONS: [&str; 6] = [
    "",
    "# nothing\n",
    "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  min_version: TLS12\n  \
     cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n  curve_preferences: [X25519]\n",
    "tls_server_config: {client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem, \
     client_allowed_sans: [x]}\n",
    "http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n    \
     Strict-Transport-Security: max-age=31536000\nrate_limit: {interval: 1s, burst: 5}\n",
    "basic_auth_users:\n  alice: $2b$10$abcdefghijklmnopqrstuuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234\n  \
     bob: &hash \"$2y$10$abcdefghijklmnopqrstuuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234\"\n  eve: *hash\n",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_seeds_of_all_fixtures() {
        for target in super::super::TARGETS {
            assert!(of(target).len() >= 6, "{target}");
        }
    }
}
