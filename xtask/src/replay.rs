//! Sends the TZSP datagrams of a capture to a live exporter, to try it out without a sensor.

mod batch;
mod datagrams;
mod sender;

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use self::datagrams::{tzsp_payload, visit_frames};
use self::sender::Sender;

#[derive(Args)]
pub(crate) struct Options {
    /// A pcap or pcapng file with TZSP datagrams, to any UDP port
    file: PathBuf,

    /// Address of the exporter; the host may be a name or an address, IPv6 in brackets
    #[arg(long, value_name = "HOST:PORT")]
    to: String,

    /// Datagrams per second; 0 means as fast as possible
    #[arg(long, visible_alias = "rate", value_name = "N", default_value_t = 0)]
    pps: u32,

    /// Send datagrams of equal length together and let the kernel split them (UDP segmentation
    /// offload), which is several times as fast; only for exporters on UDP sockets, because a
    /// packet capture may see them unsplit. May reorder datagrams that are due at the same time
    #[arg(long)]
    segments: bool,

    /// How many times to send the capture; 0 means without end
    #[arg(long = "loop", value_name = "N", default_value_t = 1)]
    rounds: u64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut sender = Sender::new(&options.to, options.pps, options.segments)?;
    let mut ignored: u64 = 0;
    let mut round = 0;
    while options.rounds == 0 || round < options.rounds {
        let accepted_before = sender.accepted();
        visit_frames(&options.file, |link, frame| {
            match tzsp_payload(link, frame) {
                Some(payload) => sender.send(&payload)?,
                None => ignored += 1,
            }
            Ok(())
        })?;
        if sender.accepted() == accepted_before {
            bail!("{} has no TZSP datagrams", options.file.display());
        }
        round += 1;
    }
    sender.flush()?;
    let seconds = sender.elapsed().as_secs_f64();
    sender.await_refusal()?;
    let sent = sender.accepted();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
    let rate = sent as f64 / seconds.max(0.001);
    println!(
        "{sent} datagrams sent, {ignored} frames ignored, \
         {seconds:.1} seconds, {rate:.0} datagrams/s"
    );
    Ok(())
}

/// The TZSP datagrams of a capture: the captured bytes of each payload, and its original length.
#[cfg(target_os = "linux")]
pub(crate) struct Datagrams(Vec<(Vec<u8>, usize)>);

#[cfg(target_os = "linux")]
impl Datagrams {
    pub(crate) fn read(file: &std::path::Path) -> anyhow::Result<Self> {
        let mut datagrams = Vec::new();
        visit_frames(file, |link, frame| {
            let payload = tzsp_payload(link, frame);
            datagrams
                .extend(payload.map(|payload| (payload.bytes.to_vec(), payload.claimed_length)));
            Ok(())
        })?;
        Ok(Self(datagrams))
    }

    /// Sends the datagrams in a loop, for as long as `more` returns `true` for the number sent so
    /// far. Returns how long it took.
    pub(crate) fn stream(
        &self,
        to: &str,
        pps: u32,
        more: impl Fn(u64) -> bool,
    ) -> anyhow::Result<std::time::Duration> {
        let mut sender = Sender::new(to, pps, false)?;
        for (bytes, claimed_length) in self.0.iter().cycle() {
            if !more(sender.accepted()) {
                break;
            }
            sender.send(&datagrams::Payload {
                bytes,
                claimed_length: *claimed_length,
            })?;
        }
        sender.flush()?;
        Ok(sender.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn replay(capture: &str) -> Vec<Vec<u8>> {
        replay_with(capture, false)
    }

    fn replay_with(capture: &str, segments: bool) -> Vec<Vec<u8>> {
        let receiver = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        let to = receiver.local_addr().expect("it is bound").to_string();
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../testdata")
            .join(capture);
        run(&Options {
            file,
            to,
            pps: 0,
            segments,
            rounds: 1,
        })
        .expect("the capture is replayed");
        receiver.set_nonblocking(true).expect("it is a socket");
        let mut payloads = Vec::new();
        let mut buffer = vec![0; 65_536];
        while let Ok(length) = receiver.recv(&mut buffer) {
            payloads.push(buffer[..length].to_vec());
        }
        payloads
    }

    #[track_caller]
    fn check_lengths(capture: &str, expected: &[usize]) {
        let lengths: Vec<usize> = replay(capture).iter().map(Vec::len).collect();
        assert_eq!(lengths, expected);
    }

    #[test]
    fn whole_datagrams_are_sent_unchanged() {
        let payloads = replay("routeros_ephemeral_source_port.pcap");
        assert_eq!(payloads.iter().map(Vec::len).collect::<Vec<_>>(), [71, 595]);
        assert!(
            payloads
                .iter()
                .all(|payload| payload.starts_with(&[1, 0, 0, 1, 1]))
        );
    }

    #[test]
    fn truncated_datagrams_are_extended_to_their_udp_length() {
        check_lengths("lone_first_fragment.pcap", &[1519]);
        check_lengths("lone_first_fragment_of_a_jumbo_packet.pcap", &[65_019]);
        check_lengths("snap_length_96.pcap", &[51, 71, 1472]);
    }

    #[test]
    fn later_fragments_are_ignored() {
        check_lengths("datagram_in_two_fragments.pcap", &[1519]);
        check_lengths("ipv6_fragments_outside.pcap", &[1519]);
    }

    #[test]
    fn padding_after_the_outer_packet_is_not_sent() {
        check_lengths("ethernet_padding_outside.pcap", &[4, 39]);
        check_lengths("udp_length_zero.pcap", &[71, 71]);
    }

    #[test]
    fn every_link_type_and_format_is_read() {
        for capture in [
            "linux_cooked_v1.pcap",
            "linux_cooked_v2.pcap",
            "loop_of_openbsd.pcap",
            "null_family_in_both_byte_orders.pcap",
            "pcap_link_type_with_fcs_bits.pcap",
            "pcap_snap_length_zero.pcap",
            "raw_ip_link_type_101.pcap",
            "raw_ip_link_type_12.pcap",
        ] {
            assert_eq!(replay(capture).len(), 2, "{capture}");
        }
        for capture in [
            "pcapng_enhanced_simple_obsolete.pcapng",
            "pcapng_interfaces_of_different_link_types.pcapng",
            "pcapng_simple_packets_cut_at_snap_length.pcapng",
        ] {
            assert_eq!(replay(capture).len(), 3, "{capture}");
        }
        check_lengths(
            "pcapng_sections_of_both_byte_orders.pcapng",
            &[71, 103, 71, 71, 103],
        );
    }

    #[test]
    fn segmentation_sends_the_same_datagrams_sorted_by_length() {
        let capture = "pcapng_sections_of_both_byte_orders.pcapng";
        let split = replay_with(capture, true);
        let lengths: Vec<_> = split.iter().map(Vec::len).collect();
        assert_eq!(lengths, [71, 71, 71, 103, 103]);
        let mut plain = replay(capture);
        plain.sort_by_key(Vec::len);
        assert!(split == plain);
    }

    #[test]
    fn a_closed_port_is_an_error() {
        let to = {
            let unused = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
            unused.local_addr().expect("it is bound").to_string()
        };
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../testdata/routeros_ephemeral_source_port.pcap");
        let error = run(&Options {
            file,
            to,
            pps: 0,
            segments: false,
            rounds: 1,
        })
        .expect_err("refused");
        assert!(
            error
                .to_string()
                .starts_with("no exporter listens on 127.0.0.1:"),
            "{error}"
        );
    }
}
