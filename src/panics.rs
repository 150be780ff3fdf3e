//! A panic ends the process, whichever thread it is in: a daemon that lost a thread would go on
//! serving numbers that no longer move.

use std::{panic, process};

/// From now on. The release profile has `panic = "abort"` besides, which leaves no code behind
/// that could go on; this holds in every profile.
pub fn end_the_process() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        report(panic);
        process::abort();
    }));
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;
    use std::{env, thread};

    const IN_CHILD: &str = "TZSP_TEST_PANICS";

    /// The test runs itself once more, as the process that is to end.
    #[test]
    fn a_panic_of_any_thread_ends_the_process() {
        if env::var_os(IN_CHILD).is_some() {
            super::end_the_process();
            let _ = thread::spawn(|| panic!("on purpose")).join();
            return;
        }
        let name = "panics::tests::a_panic_of_any_thread_ends_the_process";
        let this = env::current_exe().expect("it runs");
        let child = Command::new(this)
            .args(["--exact", name, "--nocapture"])
            .env(IN_CHILD, "")
            .output()
            .expect("it runs a second time");
        assert_eq!(child.status.signal(), Some(6), "{child:?}");
        let said = String::from_utf8_lossy(&child.stderr);
        assert!(said.contains("on purpose"), "{said}");
    }
}
