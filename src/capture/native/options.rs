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
    /// `SK_MEMINFO_VARS` times 32 bits: linux/sock_diag.h. The last one is `SK_MEMINFO_DROPS`.
    MemoryInfo,
    GetOnly,
    libc::SOL_SOCKET,
    libc::SO_MEMINFO,
    [u32; 9]
);
