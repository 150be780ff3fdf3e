//! Basic authentication: RFC 7617, with bcrypt hashes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::HeaderValue;
use ring::hmac;
use ring::rand::SystemRandom;
use tokio::sync::Semaphore;
use tracing::warn;

use super::config::Users;

/// Passwords that wait for their turn. At the usual cost of 10 this is about two seconds.
const MAX_WAITING: usize = 32;
/// Of these, so many from one address: whoever guesses passwords keeps others waiting for no more
/// than these.
const MAX_WAITING_PER_CLIENT: usize = 4;

/// Whether a client may see what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Welcome,
    Unauthorized,
    /// Too many passwords are waiting to be checked.
    Busy,
}

/// Checks passwords, one at a time, off the runtime's threads: each takes long on purpose. What
/// was right once is known from then on.
pub(super) struct Passwords {
    /// Lives as long as the program, so that nothing known outlives it.
    key: hmac::Key,
    /// For each user, the password that was right for a hash. Bounded by the number of users.
    known: Mutex<HashMap<String, hmac::Tag>>,
    turn: Arc<Semaphore>,
    waiting: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Passwords {
    pub(super) fn new() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        Self {
            key: key.expect("the system has random numbers"),
            known: Mutex::default(),
            turn: Arc::new(Semaphore::new(1)),
            waiting: Arc::default(),
        }
    }

    /// What `users` say to a client at `address` that sends this header.
    pub(super) async fn check(
        self: &Arc<Self>,
        users: &Users,
        authorization: Option<&HeaderValue>,
        address: IpAddr,
    ) -> Verdict {
        let Some((user, password)) = authorization.and_then(credentials) else {
            return Verdict::Unauthorized;
        };
        // An unknown user costs as much time as some known one.
        let (hash, exists) = match users.get(&user) {
            Some(hash) => (hash, true),
            None => match self.some_hash(users, &user) {
                Some(hash) => (hash, false),
                None => return Verdict::Unauthorized,
            },
        };
        let secret = secret(hash, &password);
        if self.is_known(&user, &secret) && exists {
            return Verdict::Welcome;
        }
        let Some(waiting) = Waiting::enter(&self.waiting, address) else {
            return Verdict::Busy;
        };
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        let turn = turn.expect("the semaphore is never closed");
        // It may have become known while this waited.
        if self.is_known(&user, &secret) && exists {
            return Verdict::Welcome;
        }
        let hash = hash.clone();
        let verified = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let _waiting = waiting;
            bcrypt::verify(password, &hash)
        });
        match verified.await {
            Ok(Ok(true)) if exists => {
                let mut known = self.known();
                known.retain(|user, _| users.contains_key(user));
                known.insert(user, hmac::sign(&self.key, &secret));
                Verdict::Welcome
            }
            // The second: the program ends.
            Ok(Ok(_)) | Err(_) => Verdict::Unauthorized,
            Ok(Err(error)) => {
                warn!("cannot check a password: {error}");
                Verdict::Unauthorized
            }
        }
    }

    /// The same for each name, so that no two tries tell an unknown user from a known one.
    fn some_hash<'a>(&self, users: &'a Users, user: &str) -> Option<&'a String> {
        let tag = hmac::sign(&self.key, user.as_bytes());
        let number = tag.as_ref().iter().take(4);
        let number = number.fold(0, |number, byte| number << 8 | usize::from(*byte));
        users.values().nth(number.checked_rem(users.len())?)
    }

    /// Takes the same time whatever the secret is.
    fn is_known(&self, user: &str, secret: &[u8]) -> bool {
        let tag = self.known().get(user).copied();
        tag.is_some_and(|tag| hmac::verify(&self.key, secret, tag.as_ref()).is_ok())
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, hmac::Tag>> {
        self.known.lock().expect(NO_PANIC)
    }
}

const NO_PANIC: &str = "no thread panics while it holds the lock";

/// A password is right for one hash. No hash holds a zero.
fn secret(hash: &str, password: &[u8]) -> Vec<u8> {
    [hash.as_bytes(), &[0], password].concat()
}

/// The user and the password, which need not be text.
fn credentials(authorization: &HeaderValue) -> Option<(String, Vec<u8>)> {
    let (scheme, encoded) = authorization.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (user, password) = decoded.split_at(colon);
    let user = String::from_utf8(user.to_vec()).ok()?;
    Some((user, password.get(1..)?.to_vec()))
}

/// One password that waits, or is being checked.
struct Waiting {
    all: Arc<Mutex<HashMap<IpAddr, usize>>>,
    client: IpAddr,
}

impl Waiting {
    fn enter(all: &Arc<Mutex<HashMap<IpAddr, usize>>>, address: IpAddr) -> Option<Self> {
        let client = network(address);
        let mut waiting = all.lock().expect(NO_PANIC);
        let total: usize = waiting.values().sum();
        let own = waiting.get(&client).copied().unwrap_or_default();
        if total >= MAX_WAITING || own >= MAX_WAITING_PER_CLIENT {
            return None;
        }
        waiting.insert(client, own + 1);
        drop(waiting);
        Some(Self {
            all: Arc::clone(all),
            client,
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = self.all.lock().expect(NO_PANIC);
        if let Some(own) = waiting.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                waiting.remove(&self.client);
            }
        }
    }
}

/// Whoever has one IPv6 address usually has all of its /64.
pub(super) fn network(address: IpAddr) -> IpAddr {
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
    use super::*;

    #[track_caller]
    fn check(header: &str, expected: Option<(&str, &[u8])>) {
        let found = credentials(&HeaderValue::from_str(header).expect(header));
        let expected = expected.map(|(user, password)| (user.to_owned(), password.to_vec()));
        assert_eq!(found, expected, "{header}");
    }

    #[test]
    fn credentials_are_read_as_rfc_7617_writes_them() {
        // The two examples there, made by hand: printf test:123£ | base64.
        check(
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            Some(("Aladdin", b"open sesame")),
        );
        check("basic dGVzdDoxMjPCow==", Some(("test", "123£".as_bytes())));
        // a:b:c and a:
        check("Basic YTpiOmM=", Some(("a", b"b:c")));
        check("BASIC YTo=", Some(("a", b"")));
        for wrong in [
            "",
            "Basic",
            "Basic ",
            "Basic YQ==",
            "Basic ?",
            "Bearer YTpi",
            "Basic gDph",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_client_has_four_passwords_waiting_and_all_have_32() {
        let all = Arc::default();
        let address = |number: u16| IpAddr::from([0x2001, 0xdb8, 0, number, 1, 2, 3, 4]);
        let first: Vec<_> = (0..4).map(|_| Waiting::enter(&all, address(0))).collect();
        assert!(first.iter().all(Option::is_some));
        let neighbour = IpAddr::from([0x2001, 0xdb8, 0, 0, 5, 6, 7, 8]);
        assert!(Waiting::enter(&all, neighbour).is_none());
        let others = (4..32).map(|number| Waiting::enter(&all, address(number)));
        let others: Vec<_> = others.collect();
        assert!(others.iter().all(Option::is_some));
        assert!(Waiting::enter(&all, address(32)).is_none());
        drop(others);
        assert!(Waiting::enter(&all, address(32)).is_some());
        drop(first);
        assert!(Waiting::enter(&all, neighbour).is_some());
        assert_eq!(all.lock().expect(NO_PANIC).len(), 0);
    }
}
