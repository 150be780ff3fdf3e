//! A minimal receiver as a lower bound for the exporter: calls recvmmsg(2) in a loop, with the same
//! buffers as the exporter, and discards the datagrams.

use std::array;
use std::io::{IoSliceMut, Write};
use std::net::{Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use nix::errno::Errno;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, setsockopt};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

use super::process::duration;

#[derive(Args)]
pub(crate) struct Options {
    port: u16,
}

/// The result, printed as JSON.
#[derive(Serialize, Deserialize)]
pub(super) struct Drained {
    pub(super) datagrams: u64,
    pub(super) cpu_seconds: f64,
}

const BATCH: usize = 64;
const LARGEST_DATAGRAM: usize = 65_536;
const BUFFER: usize = 16 << 20;

/// When no datagram has arrived for this long, the load has ended.
const END: Duration = Duration::from_secs(1);
/// How long the load may take to start, as a multiple of [`END`].
const START: u32 = 30;

/// The line that is printed once the receiver is ready.
pub(super) const READY: &str = "ready";

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, None).context("cannot create a socket")?;
    socket.set_only_v6(false)?;
    if setsockopt(&socket, RcvBufForce, &BUFFER).is_err() {
        socket.set_recv_buffer_size(BUFFER)?;
    }
    socket.set_read_timeout(Some(END))?;
    socket
        .bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, options.port)).into())
        .with_context(|| format!("cannot listen on UDP port {}", options.port))?;
    println!("{READY}");
    std::io::stdout().flush()?;

    let mut bytes = vec![0; BATCH * LARGEST_DATAGRAM];
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
    let mut datagrams: u64 = 0;
    let mut idle = 0;
    loop {
        let mut chunks = bytes.chunks_exact_mut(LARGEST_DATAGRAM);
        let mut buffers: [_; BATCH] =
            array::from_fn(|_| [IoSliceMut::new(chunks.next().unwrap_or_default())]);
        let received = recvmmsg(
            socket.as_raw_fd(),
            &mut headers,
            &mut buffers,
            MsgFlags::MSG_WAITFORONE,
            None,
        );
        match received {
            Ok(received) => datagrams += received.count() as u64,
            Err(Errno::EAGAIN) if datagrams > 0 => break,
            Err(Errno::EAGAIN) if idle < START => idle += 1,
            Err(Errno::EAGAIN) => bail!("no datagram arrived"),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("receiving"),
        }
    }
    let usage = getrusage(UsageWho::RUSAGE_SELF).context("reading the CPU time")?;
    let cpu = duration(usage.user_time()) + duration(usage.system_time());
    let drained = Drained {
        datagrams,
        cpu_seconds: cpu.as_secs_f64(),
    };
    println!("{}", serde_json::to_string(&drained)?);
    Ok(())
}
