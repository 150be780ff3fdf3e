//! Why the daemon ends, and what to do about it.

use std::env::consts::OS;
use std::io;

use thiserror::Error;

use crate::flow::NoDatabase;
use crate::http::{self, ListenAddress};
use crate::{geo, memory, names};

/// Why the daemon cannot start or had to stop.
#[derive(Debug, Error)]
pub enum Error {
    #[error("cannot start: {0}")]
    System(io::Error),
    #[error("cannot start a thread: {}{}", .0, threads_advice(OS))]
    Threads(io::Error),
    #[error(transparent)]
    Memory(#[from] memory::TooLarge),
    #[error(transparent)]
    Names(#[from] names::Error),
    #[error(transparent)]
    Geo(#[from] geo::Error),
    #[error(transparent)]
    NoDatabase(#[from] NoDatabase),
    #[error(transparent)]
    Configuration(#[from] http::ConfigurationError),
    #[error(
        "cannot publish metrics on {}: {error}{}; {}",
        published(*.address),
        used_by(.holder.as_deref()),
        publish_advice(.error, OS)
    )]
    Publish {
        address: ListenAddress,
        holder: Option<String>,
        error: io::Error,
    },
    #[error(
        "cannot listen on UDP port {port}: {error}{}; {}",
        used_by(.holder.as_deref()),
        listen_advice(.error, OS)
    )]
    Listen {
        port: u16,
        holder: Option<String>,
        error: io::Error,
    },
    #[error("cannot receive on UDP port {port} any more: {error}")]
    Receive { port: u16, error: io::Error },
    #[error("cannot capture: {0}")]
    Start(String),
}

fn published(ListenAddress { address, port }: ListenAddress) -> String {
    match address {
        None => format!("TCP port {port}"),
        Some(address) => format!("TCP port {port} of {address}"),
    }
}

// The advice depends on the operating system: `system` is one of `std::env::consts::OS`.

/// Returns advice about an address and TCP port that cannot be bound.
fn publish_advice(error: &io::Error, system: &str) -> String {
    if error.kind() != io::ErrorKind::AddrNotAvailable {
        return port_advice(
            error,
            system,
            "tcp",
            "--publish-port or --web.listen-address",
        );
    }
    let command = match system {
        "linux" => "ip address",
        "windows" => "ipconfig",
        _ => "ifconfig",
    };
    format!(
        "give --publish-address or --web.listen-address an address of this host, as `{command}` \
         lists them"
    )
}

/// Returns advice about a UDP port that cannot be bound.
fn listen_advice(error: &io::Error, system: &str) -> String {
    port_advice(error, system, "udp", "--listen-port")
}

/// Returns advice about a port that cannot be bound. `options` choose another one.
fn port_advice(error: &io::Error, system: &str, protocol: &str, options: &str) -> String {
    match (error.kind(), system) {
        (io::ErrorKind::PermissionDenied, "windows") => format!(
            "another program has the port for itself (`netstat -ano` lists those in use), or \
             Windows reserves it (`netsh int ipv4 show excludedportrange protocol={protocol}`): \
             choose another port with {options}"
        ),
        (io::ErrorKind::PermissionDenied, "linux") => format!(
            "choose a port of at least 1024 with {options}, or give the program \
             CAP_NET_BIND_SERVICE"
        ),
        (io::ErrorKind::PermissionDenied, _) => {
            format!("choose a port of at least 1024 with {options}, or run the program as root")
        }
        (_, "windows") => format!(
            "stop the program that uses it (`netstat -ano` shows its PID), or choose another port \
             with {options}"
        ),
        _ => format!("stop that program, or choose another port with {options}"),
    }
}

/// Returns advice about a thread that cannot be started, to be appended to an error.
fn threads_advice(system: &str) -> &'static str {
    match system {
        "linux" => "; allow more with TasksMax= in systemd, or with ulimit -u",
        "windows" => "",
        _ => "; allow more with ulimit -u",
    }
}

pub(super) fn used_by(holder: Option<&str>) -> String {
    holder.map_or(String::new(), |holder| format!(", used by {holder}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_about_a_port_fits_the_system() {
        let check = |kind: io::ErrorKind, system, expected: &str| {
            assert_eq!(listen_advice(&kind.into(), system), expected);
        };
        check(
            io::ErrorKind::AddrInUse,
            "linux",
            "stop that program, or choose another port with --listen-port",
        );
        check(
            io::ErrorKind::AddrInUse,
            "windows",
            "stop the program that uses it (`netstat -ano` shows its PID), or choose another port \
             with --listen-port",
        );
        check(
            io::ErrorKind::PermissionDenied,
            "linux",
            "choose a port of at least 1024 with --listen-port, or give the program \
             CAP_NET_BIND_SERVICE",
        );
        check(
            io::ErrorKind::PermissionDenied,
            "windows",
            "another program has the port for itself (`netstat -ano` lists those in use), or \
             Windows reserves it (`netsh int ipv4 show excludedportrange protocol=udp`): choose \
             another port with --listen-port",
        );
    }

    #[test]
    fn advice_about_an_address_names_a_command_of_the_system() {
        let check = |system, command: &str| {
            let advice = publish_advice(&io::ErrorKind::AddrNotAvailable.into(), system);
            assert!(
                advice.contains(&format!(", as `{command}` lists")),
                "{advice}"
            );
        };
        check("linux", "ip address");
        check("windows", "ipconfig");
        check("freebsd", "ifconfig");
    }
}
