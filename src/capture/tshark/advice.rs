//! Advice for the operator when tshark cannot start capturing.

use std::env::consts::OS;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::time::timeout;

use super::{Ending, Group, command};

/// How long `tshark -D` may take. It asks every extcap program for its interfaces, and takes about
/// a second where there are many.
const LIST_TIMEOUT: Duration = Duration::from_secs(5);

/// Explains why tshark could not be started.
#[must_use]
pub fn cannot_start(error: &io::Error) -> String {
    // On Linux, this program itself is what is started: see `child`.
    if cfg!(not(target_os = "linux")) && error.kind() == io::ErrorKind::NotFound {
        return not_installed(OS).to_owned();
    }
    format!("cannot start tshark: {error}")
}

/// Returns what the operator can do about an ending whose cause is known.
#[must_use]
pub fn remedy(ending: &Ending) -> Option<&'static str> {
    remedy_on(OS, ending)
}

/// Returns the remedy on an operating system, one of `std::env::consts::OS`.
fn remedy_on(system: &str, ending: &Ending) -> Option<&'static str> {
    if ending.is_not_installed() {
        return Some(not_installed(system));
    }
    let messages = ending.relevant_messages();
    if messages.contains("wpcap.dll") {
        return Some(
            "Npcap is not installed: install it (https://npcap.com, or the installer of \
             Wireshark), or leave out --interface to receive on plain UDP sockets",
        );
    }
    let refusals = [
        "Permission denied",
        "permission to",
        "Operation not permitted",
        "Access is denied",
    ];
    refusals
        .iter()
        .any(|refusal| messages.contains(refusal))
        .then_some(not_permitted(system))
}

fn not_installed(system: &str) -> &'static str {
    match system {
        "windows" => {
            "tshark is not installed: install Wireshark with Npcap (https://www.wireshark.org; \
             tshark.exe is found on the PATH and in C:\\Program Files\\Wireshark), or leave out \
             --interface to receive on plain UDP sockets"
        }
        _ => {
            "tshark is not installed, or not on the PATH: install it (Debian and Ubuntu: apt \
             install tshark; Fedora: dnf install wireshark-cli; Alpine: apk add tshark; macOS: \
             brew install wireshark), or leave out --interface to receive on plain UDP sockets"
        }
    }
}

fn not_permitted(system: &str) -> &'static str {
    match system {
        "windows" => {
            "not permitted: run the program as administrator, or install Npcap again without \
             restricting it to administrators; or leave out --interface to receive on plain UDP \
             sockets"
        }
        _ => {
            "not permitted: to capture without being root, add the user to the group wireshark \
             (Debian, Ubuntu: dpkg-reconfigure wireshark-common, then usermod -aG wireshark USER), \
             or run: setcap cap_net_raw,cap_net_admin+eip \"$(command -v dumpcap)\"; or leave out \
             --interface to receive on plain UDP sockets"
        }
    }
}

/// Returns the list of interfaces, if tshark ended because an interface does not exist.
///
/// Cancel safe: dropping the future kills the tshark that lists them.
pub async fn advice(ending: &Ending) -> Option<String> {
    let mentions = |message: &str| ending.messages.contains(message);
    if mentions("no device named") || mentions("No such device") || mentions("no interface") {
        return Some(match timeout(LIST_TIMEOUT, interfaces()).await {
            Ok(interfaces) => format!("--interface takes one of these:\n{}", interfaces?),
            Err(_) => "--interface takes one of those that `tshark -D` lists".to_owned(),
        });
    }
    None
}

/// Returns the list that `tshark -D` prints.
async fn interfaces() -> Option<String> {
    let child = command()
        .arg("-D")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let _group = Group::of(&child);
    let output = child.wait_with_output().await.ok()?;
    let list = String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned();
    (!list.is_empty()).then_some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(system: &str, messages: &str, beginning: &str) {
        let ending = Ending {
            status: None,
            messages: messages.to_owned(),
        };
        let remedy = remedy_on(system, &ending).unwrap_or_default();
        assert!(remedy.starts_with(beginning), "{remedy}");
    }

    #[test]
    fn a_remedy_fits_the_system() {
        // Wireshark 4 on Windows.
        check(
            "windows",
            "tshark: Unable to load Npcap (wpcap.dll); you will not be able to capture packets.\n\
             In order to capture packets Npcap must be installed. See https://npcap.com/\n",
            "Npcap is not installed: ",
        );
        let refused = "(Error opening adapter: Access is denied. (5))\n";
        check(
            "windows",
            refused,
            "not permitted: run the program as administrator",
        );
        let refused = "(socket: Operation not permitted)\n";
        check(
            "linux",
            refused,
            "not permitted: to capture without being root",
        );
    }

    #[test]
    fn the_advice_to_install_tshark_fits_the_system() {
        assert!(not_installed("windows").contains("install Wireshark with Npcap"));
        assert!(not_installed("linux").contains("apt install tshark"));
    }
}
