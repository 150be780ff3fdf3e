//! The processes that a tshark started.

use tokio::process::Child;

pub(super) use system::Group;

#[cfg(unix)]
mod system {
    use nix::sys::signal::{Signal, killpg};
    use nix::unistd::Pid;

    use super::Child;

    /// The process group of a tshark, with its dumpcap and all else that it started. Dropping this
    /// kills what is left of the group.
    #[derive(Debug)]
    pub(in super::super) struct Group(Option<Pid>);

    impl Group {
        /// Returns the group of a child that was started with [`child::command`], which makes it
        /// the group's leader.
        ///
        /// [`child::command`]: super::super::child::command
        pub(in super::super) fn of(child: &Child) -> Self {
            let leader = child.id().and_then(|pid| i32::try_from(pid).ok());
            Self(leader.map(Pid::from_raw))
        }

        /// Asks all of them to end. Returns whether this system can do so.
        pub(in super::super) fn terminate(&self) -> bool {
            self.signal(Signal::SIGTERM);
            true
        }

        pub(in super::super) fn kill(&self) {
            self.signal(Signal::SIGKILL);
        }

        fn signal(&self, signal: Signal) {
            if let Some(leader) = self.0 {
                // An error means that the whole group has ended already.
                let _ = killpg(leader, signal);
            }
        }
    }

    impl Drop for Group {
        fn drop(&mut self) {
            self.kill();
        }
    }
}

#[cfg(not(unix))]
mod system {
    use super::Child;

    /// Groups on Windows cannot be ended as a whole. A dumpcap ends by itself: its pipe to tshark
    /// breaks when that ends.
    #[derive(Debug)]
    pub(in super::super) struct Group;

    impl Group {
        pub(in super::super) fn of(_child: &Child) -> Self {
            Self
        }

        /// Does nothing, and returns false: a program without a window can only be killed.
        pub(in super::super) fn terminate(&self) -> bool {
            false
        }

        pub(in super::super) fn kill(&self) {}
    }
}
