//! Ends the process on a panic in any thread. A daemon that lost a thread would go on serving
//! numbers that no longer change.

use std::{panic, process};

/// Installs a panic hook that prints the usual report and then aborts the process.
///
/// The release profile sets `panic = "abort"` as well; this hook does the same in every profile.
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

    /// Runs this test again as a child process, which panics.
    #[test]
    fn a_panic_of_any_thread_ends_the_process() {
        if env::var_os(IN_CHILD).is_some() {
            super::end_the_process();
            let _ = thread::spawn(|| panic!("on purpose")).join();
            return;
        }
        let name = "panics::tests::a_panic_of_any_thread_ends_the_process";
        let executable = env::current_exe().expect("it runs");
        let child = Command::new(executable)
            .args(["--exact", name, "--nocapture"])
            .env(IN_CHILD, "")
            .output()
            .expect("it runs again");
        assert_eq!(child.status.signal(), Some(6), "{child:?}");
        let stderr = String::from_utf8_lossy(&child.stderr);
        assert!(stderr.contains("on purpose"), "{stderr}");
    }
}
