//! How hosts give up their slots.
//!
//! A host is hidden like a flow: after some time without a packet, once a scrape has shown its last
//! value. Flows store the numbers of their hosts, and a hidden host may lose its number to another
//! host. So whenever hosts are hidden, their flows are told to look up their hosts again.

use super::super::hosts::HostPair;
use super::eviction::SWEEP_INTERVAL;
use super::{Accounts, FlowTable};

impl FlowTable {
    /// Hides the hosts that may be hidden.
    pub(super) fn hide_idle_hosts(&mut self) {
        if !self.accounts.hide_idle_hosts() {
            return;
        }
        self.invalidate_resolutions();
        if self.accounts.is_direct {
            let hosts = &self.accounts.hosts;
            let is_outdated = |pair| hosts.is_outdated(pair);
            self.narrow.for_each_exposed(|slot| {
                if is_outdated(slot.hosts()) {
                    slot.set_hosts(HostPair::UNKNOWN);
                }
            });
            self.wide.for_each_exposed(|slot| {
                if is_outdated(slot.hosts()) {
                    slot.set_hosts(HostPair::UNKNOWN);
                }
            });
        }
    }

    /// Hides the hosts that may be hidden, if a new one would find no slot.
    pub(super) fn make_room_for_hosts(&mut self) {
        if self.accounts.needs_room_for_hosts() {
            self.hide_idle_hosts();
        }
    }
}

impl Accounts {
    /// Whether hosts should be hidden because a new one would find no slot. Runs with scrapes leave
    /// that to the scrapes.
    pub(super) fn needs_room_for_hosts(&self) -> bool {
        self.limits.hide_unseen
            && self.hosts.is_on()
            && self.hosts.has_no_room()
            && self.can_hide_flows()
            && self.now >= self.next_host_sweep
    }

    /// Hides the hosts that may be hidden. Returns whether there were any: where their numbers are
    /// stored, hosts must then be looked up again.
    fn hide_idle_hosts(&mut self) -> bool {
        if !self.can_hide_flows() {
            return false;
        }
        self.next_host_sweep = self.now.plus(SWEEP_INTERVAL);
        if self.limits.hide_unseen {
            // Hosts with held series cannot be hidden. Without scrapes, nothing else releases them.
            self.hosts.release_holds(self.now);
        }
        let is_idle = self.idle_test();
        self.hosts.hide(is_idle)
    }
}
