//! A fair queue for expensive work: password checks and TLS handshakes.
//!
//! Runs one job at a time, round-robin over client networks. Unauthenticated clients can request
//! this work, so in a plain queue the requests of one client would delay all others. Here a flood
//! delays only itself: a network's first job waits for at most one job of each other network. One
//! job at a time also leaves the other processor cores to the capture.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;

/// A bounded queue that starts one job at a time, round-robin over client networks.
pub(super) struct FairQueue {
    bounds: Bounds,
    state: Mutex<QueueState>,
}

/// The maximum number of jobs that run or wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) total: usize,
    pub(super) per_network: usize,
}

#[derive(Default)]
struct QueueState {
    is_running: bool,
    /// The number of jobs that run or wait, by network. Cancelled jobs do not count.
    jobs: HashMap<IpAddr, usize>,
    /// The waiting jobs of each network, oldest first. The first network is served next. Cancelled
    /// jobs stay in here and are skipped when they reach the front.
    waiting: VecDeque<(IpAddr, VecDeque<oneshot::Sender<RunToken>>)>,
}

/// The queue has no room for another job.
#[derive(Debug)]
pub(super) struct Full;

/// Permission to run a job. Dropping it starts the next job.
pub(super) struct Permit {
    _token: RunToken,
    _job: Job,
}

impl FairQueue {
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            state: Mutex::default(),
        })
    }

    /// Waits until a job of a client at `address` may run. Dropping the future cancels the job.
    ///
    /// # Errors
    /// The queue is full, or it is full for this client's network.
    pub(super) async fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Permit, Full> {
        let network = network(address);
        let job = Job::enter(self, network).ok_or(Full)?;
        let token = match self.take_token_or_wait(network) {
            Ok(token) => token,
            Err(passed) => passed
                .await
                .expect("the token is passed on until no job waits"),
        };
        Ok(Permit {
            _token: token,
            _job: job,
        })
    }

    /// Takes the token at once if no job is running. Otherwise returns the channel through which
    /// the token will be passed.
    fn take_token_or_wait(
        self: &Arc<Self>,
        network: IpAddr,
    ) -> Result<RunToken, oneshot::Receiver<RunToken>> {
        let mut state = self.lock();
        if !state.is_running {
            state.is_running = true;
            return Ok(RunToken(Some(Arc::clone(self))));
        }
        let (job, passed) = oneshot::channel();
        state.push(network, job);
        Err(passed)
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state
            .lock()
            .expect("no thread panics while it holds the lock")
    }
}

impl QueueState {
    fn push(&mut self, network: IpAddr, job: oneshot::Sender<RunToken>) {
        let queue = self.waiting.iter_mut().find(|(other, _)| *other == network);
        match queue {
            Some((_, own)) => own.push_back(job),
            None => self.waiting.push_back((network, VecDeque::from([job]))),
        }
    }

    /// Removes the next job. Its network moves to the back of the queue.
    fn pop(&mut self) -> Option<oneshot::Sender<RunToken>> {
        let (network, mut own) = self.waiting.pop_front()?;
        let next = own.pop_front();
        if !own.is_empty() {
            self.waiting.push_back((network, own));
        }
        next
    }
}

/// The queue's only token: the job that holds it runs. Dropping it passes it to the next job.
struct RunToken(Option<Arc<FairQueue>>);

impl Drop for RunToken {
    fn drop(&mut self) {
        let Some(queue) = self.0.take() else {
            return;
        };
        loop {
            let next = {
                let mut state = queue.lock();
                let next = state.pop();
                state.is_running = next.is_some();
                next
            };
            let Some(next) = next else {
                return;
            };
            match next.send(RunToken(Some(Arc::clone(&queue)))) {
                Ok(()) => return,
                // The job was cancelled, and the token came back. It is emptied because this loop
                // passes it on: dropping it would pass it on a second time.
                Err(mut returned) => returned.0 = None,
            }
        }
    }
}

/// A job that runs or waits, and counts towards the bounds until it is dropped.
struct Job {
    queue: Arc<FairQueue>,
    network: IpAddr,
}

impl Job {
    /// Returns `None` if the queue is full.
    fn enter(queue: &Arc<FairQueue>, network: IpAddr) -> Option<Self> {
        let mut state = queue.lock();
        let total: usize = state.jobs.values().sum();
        let own = state.jobs.get(&network).copied().unwrap_or_default();
        if total >= queue.bounds.total || own >= queue.bounds.per_network {
            return None;
        }
        state.jobs.insert(network, own + 1);
        drop(state);
        Some(Self {
            queue: Arc::clone(queue),
            network,
        })
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        if let Some(own) = state.jobs.get_mut(&self.network) {
            *own -= 1;
            if *own == 0 {
                state.jobs.remove(&self.network);
            }
        }
    }
}

/// Returns the network that counts as one client: an IPv4 address, or the /64 of an IPv6 address.
/// A host usually can use all addresses of its /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Entering = Pin<Box<dyn Future<Output = Result<Permit, Full>>>>;

    fn enter(queue: &Arc<FairQueue>, address: IpAddr) -> (Entering, Option<Permit>) {
        let queue = Arc::clone(queue);
        let mut entering: Entering = Box::pin(async move { queue.enter(address).await });
        let permit = poll(&mut entering);
        (entering, permit)
    }

    fn poll(entering: &mut Entering) -> Option<Permit> {
        match entering
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(permit) => Some(permit.expect("there is room")),
            Poll::Pending => None,
        }
    }

    #[test]
    fn networks_are_served_round_robin_and_cancelled_jobs_are_skipped() {
        let queue = FairQueue::new(Bounds {
            total: 10,
            per_network: 10,
        });
        let address = |last| IpAddr::from([192, 0, 2, last]);
        let (_, permit) = enter(&queue, address(1));
        assert!(permit.is_some(), "no job is running");
        let greedy = || enter(&queue, address(1)).0;
        let (gone, mut second, mut third) = (greedy(), greedy(), greedy());
        let (mut modest, none) = enter(&queue, address(2));
        assert!(none.is_none());
        drop(gone);
        drop(permit);
        // The job at the front is cancelled, and skipping it moves its network to the end.
        let permit = poll(&mut modest).expect("the other network is next");
        assert!(poll(&mut second).is_none());
        drop(permit);
        let permit = poll(&mut second).expect("the oldest job");
        assert!(poll(&mut third).is_none());
        drop(permit);
        // The third job holds the token when it is cancelled.
        drop(third);
        assert!(enter(&queue, address(3)).1.is_some());
        assert!(queue.lock().waiting.is_empty());
    }

    #[test]
    fn jobs_are_limited_to_four_per_network_and_32_in_total() {
        let queue = FairQueue::new(Bounds {
            total: 32,
            per_network: 4,
        });
        let address = |number: u16| IpAddr::from([0x2001, 0xdb8, 0, number, 1, 2, 3, 4]);
        let enter = |address| Job::enter(&queue, network(address));
        let first: Vec<_> = (0..4).map(|_| enter(address(0))).collect();
        assert!(first.iter().all(Option::is_some));
        let neighbour = IpAddr::from([0x2001, 0xdb8, 0, 0, 5, 6, 7, 8]);
        assert!(enter(neighbour).is_none());
        let others: Vec<_> = (4..32).map(|number| enter(address(number))).collect();
        assert!(others.iter().all(Option::is_some));
        assert!(enter(address(32)).is_none());
        drop(others);
        assert!(enter(address(32)).is_some());
        drop(first);
        assert!(enter(neighbour).is_some());
        assert_eq!(queue.lock().jobs.len(), 0);
    }
}
