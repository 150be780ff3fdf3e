//! What the number of bits means for limits of flows.

use std::path::Path;

use anyhow::ensure;

use super::runner::Runner;
use crate::dist::targets::Target;
use crate::project::root;

/// The most flows that fit into the 3 GiB (3,221,225,472 bytes) of a 32-bit program: 16 MiB are for
/// the program, and each flow may take 128 bytes, and 120 while it is printed.
const MOST_FLOWS_IN_32_BITS: u32 = 12_921_162;

/// Checks that a 32-bit program refuses limits that its address space cannot hold, and no others.
pub(super) fn check(target: &Target, runner: &Runner, program: &Path) -> anyhow::Result<()> {
    let refused_in_32_bits = MOST_FLOWS_IN_32_BITS + 1;
    for (flows, is_refused) in [
        (MOST_FLOWS_IN_32_BITS, false),
        (refused_in_32_bits, target.is_32_bit()),
    ] {
        let output = runner
            .command(program)
            .args(["analyze", "--format", "none", "--max-hosts", "0"])
            .args(["--max-flows", &flows.to_string()])
            .arg(root().join("testdata/five_minutes_of_an_office.pcap"))
            .output()?;
        let message = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success() != is_refused,
            "--max-flows {flows}: {}, {message}",
            output.status
        );
        let names_reason =
            message.contains("the address space of a 32-bit program allows 3072 MiB");
        ensure!(names_reason == is_refused, "--max-flows {flows}: {message}");
    }
    Ok(())
}
