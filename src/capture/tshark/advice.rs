//! Advice for the operator when tshark cannot start capturing.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::{Ending, Group, child};

/// How long `tshark -D` may take. It asks every extcap program for its interfaces, and takes about
/// a second where there are many.
const LIST_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns what the operator can do about an ending whose cause is known.
#[must_use]
pub fn remedy(ending: &Ending) -> Option<&'static str> {
    if ending.is_not_installed() {
        return Some(
            "tshark is not installed, or not on the PATH: install it (Debian and Ubuntu: apt \
             install tshark; Fedora: dnf install wireshark-cli; Alpine: apk add tshark; macOS: \
             brew install wireshark), or leave out --interface to receive on plain UDP sockets",
        );
    }
    let messages = ending.relevant_messages();
    let refusals = [
        "Permission denied",
        "permission to",
        "Operation not permitted",
    ];
    refusals
        .iter()
        .any(|refusal| messages.contains(refusal))
        .then_some(
            "not permitted: to capture without being root, add the user to the group wireshark (Debian, Ubuntu: \
         dpkg-reconfigure wireshark-common, then usermod -aG wireshark USER), or run: setcap \
         cap_net_raw,cap_net_admin+eip \"$(command -v dumpcap)\"; or leave out --interface to \
         receive on plain UDP sockets",
        )
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
    let child = Command::from(child::command("tshark"))
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
