//! Limits of memory on Linux.

use std::fs;
use std::path::Path;

use nix::libc::RLIM_INFINITY;
use nix::sys::resource::{Resource, getrlimit};
use procfs::Current;
use procfs::process::Process;

use super::Ceiling;

/// Returns the limits of this process and of its control group.
pub(super) fn limits() -> impl Iterator<Item = Ceiling> {
    let resources = [
        (Resource::RLIMIT_AS, "ulimit -v"),
        (Resource::RLIMIT_DATA, "ulimit -d"),
    ];
    let own = resources.into_iter().filter_map(|(resource, origin)| {
        let (limit, _) = getrlimit(resource).ok()?;
        // On 32-bit systems, a limit has 32 bits.
        #[allow(clippy::useless_conversion)]
        let bytes = u64::from(limit);
        (limit != RLIM_INFINITY).then(|| Ceiling {
            bytes,
            origin: origin.to_owned(),
        })
    });
    own.chain(control_groups().unwrap_or_default())
}

/// Returns the memory of the machine.
pub(super) fn machine() -> Option<Ceiling> {
    let memory = procfs::Meminfo::current().ok()?;
    Some(Ceiling {
        bytes: memory.mem_total,
        origin: "this machine".to_owned(),
    })
}

/// Returns the limits of the control groups that this process is in, of version 1 or 2:
/// cgroups(7).
fn control_groups() -> Option<Vec<Ceiling>> {
    let process = Process::myself().ok()?;
    let mounts = process.mountinfo().ok()?;
    let mut ceilings = Vec::new();
    for group in process.cgroups().ok()? {
        let (kind, file) = match group.controllers.as_slice() {
            _ if group.hierarchy == 0 => ("cgroup2", "memory.max"),
            all if all.iter().any(|name| name == "memory") => ("cgroup", "memory.limit_in_bytes"),
            _ => continue,
        };
        let is_this = |mount: &&procfs::process::MountInfo| {
            mount.fs_type == kind
                && (kind == "cgroup2" || mount.super_options.contains_key("memory"))
        };
        let Some(mount) = mounts.0.iter().find(is_this) else {
            continue;
        };
        // In a container, the mounted directory may be a group further down the hierarchy.
        let below = Path::new(&group.pathname).strip_prefix(&mount.root);
        let directory = mount.mount_point.join(below.unwrap_or(Path::new("")));
        ceilings.extend(of_groups(&directory, &mount.mount_point, file));
    }
    Some(ceilings)
}

/// Returns the limits of a group and of the groups above it, which apply to it too. A group
/// without a limit has `max` in its file, which is left out, or a huge number.
pub(super) fn of_groups(
    directory: &Path,
    top: &Path,
    file: &'static str,
) -> impl Iterator<Item = Ceiling> {
    let groups = directory
        .ancestors()
        .take_while(move |group| group.starts_with(top));
    groups.filter_map(move |group| {
        let path = group.join(file);
        let text = fs::read_to_string(&path).ok()?;
        Some(Ceiling {
            bytes: text.trim_end().parse().ok()?,
            origin: path.display().to_string(),
        })
    })
}
