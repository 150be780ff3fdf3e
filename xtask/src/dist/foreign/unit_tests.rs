//! Runs the unit tests of the library as programs of a target.

use super::runner::Runner;
use crate::dist::build::Profile;
use crate::dist::targets::Target;
use crate::project::succeed;

/// Runs them with the profile for which the program was built, so that most of it is built already.
///
/// In qemu, the tests with millions of packets, flows or records take minutes each.
pub(super) fn run(target: &Target, profile: Profile, runner: &Runner) -> anyhow::Result<()> {
    let arguments = ["--quiet", "--profile", profile.name(), "--lib"];
    let mut test = target.cargo("test", &arguments)?;
    runner.configure(target, &mut test);
    succeed(&mut test)
}
