//! Looks names up at the name servers of the system, in a task of its own: neither a packet nor a
//! scrape waits for it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::base::Message;
use domain::base::iana::{Rcode, Rtype};
use domain::base::name::ToName;
use domain::dep::octseq::Octets;
use domain::rdata::Ptr;
use domain::resolv::StubResolver;
use domain::resolv::stub::conf::ResolvConf;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::resolve::Failed;
use super::{Content, Name, Names, Source, dns};

type ReverseName = domain::base::Name<Vec<u8>>;

/// The maximum number of concurrent look-ups.
const MAX_CONCURRENT: usize = 8;
/// How long a look-up may take, whatever /etc/resolv.conf allows.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Looks up the addresses that scrapes ask for. Never completes. `now` returns the time by which
/// scrapes ask.
pub async fn run(names: Arc<Names>, now: impl Fn() -> Duration) {
    if !names.sources.contains(&Source::Resolve) {
        return std::future::pending().await;
    }
    let mut running = JoinSet::new();
    loop {
        while running.len() < MAX_CONCURRENT
            && let Some(address) = names.next_lookup()
        {
            running.spawn(async move { (address, look_up(address).await) });
        }
        tokio::select! {
            () = names.lookups_wait.notified() => {}
            Some(Ok((address, result))) = running.join_next() => {
                names.finish_lookup(now(), address, &result);
            }
        }
    }
}

/// Reads /etc/resolv.conf each time: it changes when the host moves to another network.
async fn look_up(address: IpAddr) -> Result<Option<Name>, Failed> {
    let resolver = StubResolver::from_conf(ResolvConf::default());
    let reverse = ReverseName::reverse_from_addr(address).map_err(|_| Failed)?;
    let answer = timeout(TIME_LIMIT, resolver.query((reverse, Rtype::PTR)));
    let answer = answer.await.map_err(|_| Failed)?.map_err(|_| Failed)?;
    match answer.header().rcode() {
        Rcode::NOERROR => Ok(pointer(&answer)),
        Rcode::NXDOMAIN => Ok(None),
        _ => Err(Failed),
    }
}

/// Returns the first name in an answer, behind aliases (RFC 2317).
fn pointer(answer: &Message<impl Octets>) -> Option<Name> {
    let owner = answer.canonical_name()?;
    let mut records = answer.answer().ok()?.limit_to_in::<Ptr<_>>().flatten();
    let record = records.find(|record| record.owner().name_eq(&owner))?;
    dns::domain_name(record.data().ptrdname())
}

impl Names {
    fn next_lookup(&self) -> Option<IpAddr> {
        let mut known = self.lock();
        known.iter_mut().find_map(|known| match &mut known.content {
            Content::Resolve(lookups) => lookups.next(),
            _ => None,
        })
    }

    fn finish_lookup(&self, now: Duration, address: IpAddr, result: &Result<Option<Name>, Failed>) {
        for known in &mut *self.lock() {
            if let Content::Resolve(lookups) = &mut known.content {
                known.failures += u64::from(result.is_err());
                lookups.finish(now, address, result.clone());
            }
        }
    }
}
