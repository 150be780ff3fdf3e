//! Heavy work for clients, one piece at a time: addresses take turns, so that whoever asks for a
//! lot of it waits for himself.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;

use super::passwords::network;

#[derive(Default)]
pub(super) struct Turns(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    is_taken: bool,
    /// The next address first, and of each the one who came first. Those who went away are still
    /// there, until it is their turn.
    queue: VecDeque<(IpAddr, VecDeque<oneshot::Sender<Turn>>)>,
}

/// It is somebody's turn until this is dropped.
pub(super) struct Turn(Option<Arc<Turns>>);

impl Turns {
    /// Waits until it is the turn of a client at `address`.
    pub(super) async fn take(self: &Arc<Self>, address: IpAddr) -> Turn {
        let (turn, given) = oneshot::channel();
        {
            let mut waiting = self.lock();
            if !waiting.is_taken {
                waiting.is_taken = true;
                return Turn(Some(Arc::clone(self)));
            }
            waiting.push(network(address), turn);
        }
        given.await.expect("turns are handed on until nobody waits")
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0
            .lock()
            .expect("no thread panics while it holds the lock")
    }
}

impl Waiting {
    fn push(&mut self, network: IpAddr, turn: oneshot::Sender<Turn>) {
        let queue = self.queue.iter_mut().find(|(other, _)| *other == network);
        match queue {
            Some((_, own)) => own.push_back(turn),
            None => self.queue.push_back((network, VecDeque::from([turn]))),
        }
    }

    /// Who is next.
    fn pop(&mut self) -> Option<oneshot::Sender<Turn>> {
        let (network, mut own) = self.queue.pop_front()?;
        let next = own.pop_front();
        if !own.is_empty() {
            self.queue.push_back((network, own));
        }
        next
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(turns) = self.0.take() else {
            return;
        };
        loop {
            let next = {
                let mut waiting = turns.lock();
                let next = waiting.pop();
                waiting.is_taken = next.is_some();
                next
            };
            let Some(next) = next else {
                return;
            };
            match next.send(Turn(Some(Arc::clone(&turns)))) {
                Ok(()) => return,
                // Gone.
                Err(mut unwanted) => unwanted.0 = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Taking = Pin<Box<dyn Future<Output = Turn>>>;

    fn take(turns: &Arc<Turns>, address: [u8; 4]) -> (Taking, Option<Turn>) {
        let turns = Arc::clone(turns);
        let mut taking: Taking = Box::pin(async move { turns.take(address.into()).await });
        let turn = look(&mut taking);
        (taking, turn)
    }

    fn look(taking: &mut Taking) -> Option<Turn> {
        match taking
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    #[test]
    fn addresses_take_turns_and_those_who_went_away_have_none() {
        let turns = Arc::new(Turns::default());
        let (_, turn) = take(&turns, [192, 0, 2, 1]);
        assert!(turn.is_some(), "nobody waits");
        let greedy = || take(&turns, [192, 0, 2, 1]).0;
        let (gone, mut second, mut third) = (greedy(), greedy(), greedy());
        let (mut modest, none) = take(&turns, [192, 0, 2, 2]);
        assert!(none.is_none());
        drop(gone);
        drop(turn);
        // The first was gone, and its address had its turn with it.
        let turn = look(&mut modest).expect("the other address is next");
        assert!(look(&mut second).is_none());
        drop(turn);
        let turn = look(&mut second).expect("who came first");
        assert!(look(&mut third).is_none());
        drop(turn);
        // Given, and not taken any more.
        drop(third);
        assert!(take(&turns, [192, 0, 2, 3]).1.is_some());
        assert!(turns.lock().queue.is_empty());
    }
}
