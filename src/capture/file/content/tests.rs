use super::*;

#[track_caller]
fn check(bytes: &[u8], expected: &str) {
    assert_eq!(Content::of(bytes).to_string(), expected);
}

/// Checks a message that suggests a command which writes a capture to standard output.
#[track_caller]
fn check_piped(bytes: &[u8], what: &str, command: &str) {
    let text = Content::of(bytes).to_string();
    let begin = format!("this is {what}");
    let end = format!(" it: {command} | tzsp_packetstream_exporter analyze -");
    assert!(text.starts_with(&begin) && text.ends_with(&end), "{text}");
}

/// The magic numbers come from the format descriptions and from files written by the tools.
#[test]
fn compressed_files_and_archives_name_the_command_that_unpacks_them() {
    check(
        b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46",
        "this is xz data, not a capture; unpack it: xz -dc FILE | tzsp_packetstream_exporter \
         analyze -",
    );
    check_piped(b"BZh91AY&SY", "bzip2 data", "bzip2 -dc FILE");
    check_piped(b"LZIP\x01\x0c", "lzip data", "lzip -dc FILE");
    check_piped(b"\x89LZO\0\r\n\x1a\n", "lzop data", "lzop -dc FILE");
    check_piped(b"\x1f\x9d\x90", "compress data", "gzip -dc FILE");
    check_piped(b"\x1f\x8b\x08\0", "gzip data", "gzip -dc FILE");
    check_piped(b"\x28\xb5\x2f\xfd\x24", "zstd data", "zstd -dc FILE");
    check_piped(b"\x04\x22\x4d\x18\x64", "lz4 data", "lz4 -dc FILE");
    check_piped(
        b"\x02\x21\x4c\x18",
        "lz4 data of the legacy",
        "lz4 -dc FILE",
    );
    check_piped(b"PK\x03\x04\x14\0\0\0", "a zip archive", "unzip -p FILE");
    check_piped(b"7z\xbc\xaf\x27\x1c\0\x04", "a 7z archive", "7z x -so FILE");
    let rar = "unrar p -inul FILE";
    check_piped(b"Rar!\x1a\x07\x01\0", "a RAR archive", rar);
    let mut tar = vec![0; 512];
    tar[..6].copy_from_slice(b"a.pcap");
    tar[257..265].copy_from_slice(b"ustar  \0");
    check_piped(&tar, "a tar archive", "tar -xOf FILE");
}

/// The bytes are as `editcap -F` of Wireshark 4.0 writes them.
#[test]
fn other_captures_name_the_command_that_converts_them() {
    check(
        b"snoop\0\0\0\0\0\0\x02\0\0\0\x04\0\0\0\x71",
        "this is a snoop capture, where pcap or pcapng was expected; convert it: tshark -r FILE \
         -w - | tzsp_packetstream_exporter analyze -",
    );
    let convert = "tshark -r FILE -w -";
    check_piped(b"RTSS\x01\x01\x01\0", "a NetMon capture", convert);
    check_piped(b"GMBU\0\x02\x01\0", "a NetMon capture", convert);
    let sniffer = b"TRSNIFF data    \x1a\x01\0";
    check_piped(sniffer, "a Sniffer capture", convert);
    check_piped(b"XCP\x00002.001", "a NetXRay or Sniffer", convert);
    check_piped(b"btsnoop\0\0\0\0\x01", "a Bluetooth snoop", convert);
    check_piped(b"\xaa\xaa\xaa\xaa\x20\0", "a 5View capture", convert);
    check_piped(b"\x05VNF\x02\0\0\0", "a Visual Networks", convert);
    let observer = b"ObserverPktBufferVersion=15.00\0";
    check_piped(observer, "an Observer capture", convert);
    let k12 = b"+---------+---------------+----------+\r\n22:13:20,123";
    check_piped(k12, "a K12 text capture", convert);
}

/// A metadata record of 24 bytes without a time, then an Ethernet record of 40 bytes.
fn erf() -> Vec<u8> {
    let mut erf = vec![0; 24 + 40];
    erf[8..16].copy_from_slice(&[0x1b, 0x04, 0, 24, 0, 0, 0, 8]);
    erf[24 + 4..24 + 16].copy_from_slice(&[0, 0xf1, 0x53, 0x65, 2, 4, 0, 40, 0, 0, 0, 20]);
    erf
}

#[test]
fn two_plausible_records_are_erf() {
    check_piped(&erf(), "an ERF capture", "tshark -r FILE -w -");
    // The second record's type, length and wire length.
    for (at, value) in [(24 + 8, 0), (24 + 8, 49), (24 + 11, 41), (24 + 15, 0)] {
        let mut bytes = erf();
        bytes[at] = value;
        assert_eq!(Content::of(&bytes), Unknown, "byte {at}");
    }
    // The first record has a time too, more than a day before that of the second.
    let mut bytes = erf();
    bytes[4..8].copy_from_slice(&[0, 0x90, 0x52, 0x65]);
    assert_eq!(Content::of(&bytes), Unknown);
    assert_eq!(Content::of(&erf()[..24 + 15]), Unknown);
}

#[test]
fn text_in_place_of_a_capture_is_named() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    check(
        pointer,
        "this is a Git LFS pointer, not a capture; fetch the real file: git lfs pull",
    );
    let page = "this is an HTML page, not a capture; it may say why there was no capture to \
                download";
    check(b"<!DOCTYPE html>\n<html>", page);
    check(b"\xef\xbb\xbf\r\n  <HTML lang=en>", page);
    let write_one = |what: &str| {
        format!("this is {what}, not a capture; write one with: tcpdump -w FILE, or tshark -w FILE")
    };
    check(b"<?xml version=\"1.0\"?>\n<pdml>", &write_one("XML"));
    check(b"[\n  {\n    \"_index\": \"packets\"", &write_one("JSON"));
    check(b"{\"index\":{\"_index\":\"packets\"", &write_one("JSON"));
    let printed = write_one("the text output of tcpdump");
    for line in [
        &b"22:13:20.123456 IP 192.168.88.1.37008 > 192.168.88.10.37008: UDP, length 71\n"[..],
        b"2023-11-14 22:13:20.123456 IP6 fe80::1 > ff02::1: ICMP6",
        b"1700000000.123456 ARP, Request who-has 192.168.88.1",
    ] {
        check(line, &printed);
    }
    check("Grüße\n".as_bytes(), &write_one("text"));
    check(
        &[0; 512],
        "this is a run of zeros, not a capture; copy it again",
    );
    check(
        b"%PDF-1.7\n%\xe2\xe3",
        "this is a PDF document, not a capture; pass the capture file itself",
    );
}

#[test]
fn hex_dumps_name_the_command_that_reads_them() {
    let xxd = b"00000000: d4c3 b2a1 0200 0400 0000 0000  ............\n";
    check_piped(xxd, "a hex dump", "xxd -r FILE");
    for dump in [
        &b"0000  dc a6 32 33 44 0a 48 8f 5a 11 22 01 08 00 45 00   ..23D.H.Z.\"...E.\n"[..],
        b"00000000  d4 c3 b2 a1 02 00 04 00  00 00 00 00 00 00 00 00  |................|\n",
        b"000000 d4 c3 b2 a1 02 00 04 00 00 00 00 00 00 00 00 00\n",
    ] {
        check_piped(dump, "a hex dump", "text2pcap FILE -");
    }
}

#[test]
fn other_content_of_any_length_is_unknown() {
    for bytes in [
        &b"\x01"[..],
        b"\x7fELF\x02\x01\x01\0",
        b"BZ\0",
        b"\xff\xfe<\0",
    ] {
        check(bytes, "this is neither a pcap nor a pcapng capture");
    }
}
