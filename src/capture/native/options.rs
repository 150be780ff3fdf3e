//! Socket options that neither nix nor socket2 has. The compiler cannot check their types, so they
//! must match the kernel's headers.

use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};

sockopt_impl!(
    /// `struct packet_mreq` of linux/if_packet.h.
    AddMembership,
    SetOnly,
    libc::SOL_PACKET,
    libc::PACKET_ADD_MEMBERSHIP,
    libc::packet_mreq
);

sockopt_impl!(
    /// An int, since Linux 4.20.
    IgnoreOutgoing,
    SetOnly,
    libc::SOL_PACKET,
    libc::PACKET_IGNORE_OUTGOING,
    bool
);

sockopt_impl!(
    /// How many packets arrived, and how many of them were dropped, since the last read.
    /// `SO_MEMINFO` has a counter that reading does not reset, but qemu's user mode emulation
    /// shortens its answer, and nix panics if an answer is shorter than the type.
    Statistics,
    GetOnly,
    libc::SOL_PACKET,
    libc::PACKET_STATISTICS,
    libc::tpacket_stats
);
