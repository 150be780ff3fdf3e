//! Runs the unit tests of the library as programs of a target.

use super::runner::Runner;
use crate::dist::build::Profile;
use crate::dist::targets::Target;
use crate::project::succeed;

/// The stack of a test, in bytes. In programs for Windows without optimization, reading 512 nested
/// structures of a damaged database takes more than the 2 MiB that threads have by default.
const STACK: usize = 8 << 20;

/// Starts itself as a child process. The kernel does not run programs for other processors.
const NOT_IN_QEMU: &str = "panics::tests::a_panic_of_any_thread_ends_the_process";

/// Runs them with the profile for which the program was built, so that most of it is built already.
pub(super) fn run(target: &Target, profile: Profile, runner: &Runner) -> anyhow::Result<()> {
    let arguments = ["--quiet", "--profile", profile.name(), "--lib"];
    let mut test = target.cargo("test", &arguments)?;
    test.env("RUST_MIN_STACK", STACK.to_string());
    if let Runner::Qemu(_) = runner {
        test.args(["--", "--skip", NOT_IN_QEMU]);
    }
    runner.configure(target, &mut test);
    succeed(&mut test)
}
