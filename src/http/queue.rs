//! A fair queue for expensive work: checking passwords, shaking hands for TLS.
//!
//! Runs one job at a time, round-robin over client networks. Strangers can ask for this work, so a
//! plain queue would let one of them make everybody wait for all that he asks for. Here a flood
//! delays only itself: whoever asks for one job waits for at most one job of each other network.
//! One job at a time also leaves the other processors to the capture.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;

pub(super) struct FairQueue {
    bounds: Bounds,
    state: Mutex<State>,
}

/// How many jobs may run or wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) total: usize,
    pub(super) per_network: usize,
}

#[derive(Default)]
struct State {
    is_running: bool,
    /// Jobs that run or wait, by network; those of clients that went away do not count.
    jobs: HashMap<IpAddr, usize>,
    /// The network whose turn is next comes first, and of its jobs the oldest. Jobs of clients that
    /// went away are still in here: they are passed over when their turn comes.
    waiting: VecDeque<(IpAddr, VecDeque<oneshot::Sender<Turn>>)>,
}

/// There are too many jobs already.
#[derive(Debug)]
pub(super) struct Full;

/// The right to run a job, until this is dropped. Then it is the next one's turn.
pub(super) struct Permit {
    _turn: Turn,
    _job: Job,
}

impl FairQueue {
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            state: Mutex::default(),
        })
    }

    /// Waits for the turn of a client at `address`. Its job leaves the queue when this is dropped.
    ///
    /// # Errors
    /// There is no room for another job, or for another one of this client's network.
    pub(super) async fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Permit, Full> {
        let network = network(address);
        let job = Job::enter(self, network).ok_or(Full)?;
        let turn = match self.turn_or_wait(network) {
            Ok(turn) => turn,
            Err(given) => given.await.expect("turns are handed on until nobody waits"),
        };
        Ok(Permit {
            _turn: turn,
            _job: job,
        })
    }

    /// Starts a job at once if none is running; else returns what tells when it may start.
    fn turn_or_wait(self: &Arc<Self>, network: IpAddr) -> Result<Turn, oneshot::Receiver<Turn>> {
        let mut state = self.lock();
        if !state.is_running {
            state.is_running = true;
            return Ok(Turn(Some(Arc::clone(self))));
        }
        let (turn, given) = oneshot::channel();
        state.push(network, turn);
        Err(given)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no thread panics while it holds the lock")
    }
}

impl State {
    fn push(&mut self, network: IpAddr, turn: oneshot::Sender<Turn>) {
        let queue = self.waiting.iter_mut().find(|(other, _)| *other == network);
        match queue {
            Some((_, own)) => own.push_back(turn),
            None => self.waiting.push_back((network, VecDeque::from([turn]))),
        }
    }

    /// Takes out the next job: its network's turn comes again after all others.
    fn pop(&mut self) -> Option<oneshot::Sender<Turn>> {
        let (network, mut own) = self.waiting.pop_front()?;
        let next = own.pop_front();
        if !own.is_empty() {
            self.waiting.push_back((network, own));
        }
        next
    }
}

/// The turn of one job, handed on when it is dropped.
struct Turn(Option<Arc<FairQueue>>);

impl Drop for Turn {
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
            match next.send(Turn(Some(Arc::clone(&queue)))) {
                Ok(()) => return,
                // The client went away. Emptied, or dropping it would hand the turn on a second
                // time.
                Err(mut unwanted) => unwanted.0 = None,
            }
        }
    }
}

/// A job that runs or waits, as the bounds count it.
struct Job {
    queue: Arc<FairQueue>,
    network: IpAddr,
}

impl Job {
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

/// Returns what counts as one client: an IPv4 address, or the /64 of an IPv6 address, because
/// whoever has one address there usually has all of them.
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
    fn networks_take_turns_and_clients_that_went_away_have_none() {
        let queue = FairQueue::new(Bounds {
            total: 10,
            per_network: 10,
        });
        let address = |last| IpAddr::from([192, 0, 2, last]);
        let (_, permit) = enter(&queue, address(1));
        assert!(permit.is_some(), "nobody waits");
        let greedy = || enter(&queue, address(1)).0;
        let (gone, mut second, mut third) = (greedy(), greedy(), greedy());
        let (mut modest, none) = enter(&queue, address(2));
        assert!(none.is_none());
        drop(gone);
        drop(permit);
        // The first was gone, and the turn of its network with it.
        let permit = poll(&mut modest).expect("the other network is next");
        assert!(poll(&mut second).is_none());
        drop(permit);
        let permit = poll(&mut second).expect("the oldest job");
        assert!(poll(&mut third).is_none());
        drop(permit);
        // Its turn has come, and it goes away.
        drop(third);
        assert!(enter(&queue, address(3)).1.is_some());
        assert!(queue.lock().waiting.is_empty());
    }

    #[test]
    fn a_network_has_four_jobs_and_all_networks_have_32() {
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
