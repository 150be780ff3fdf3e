//! Basic authentication: RFC 7617, with bcrypt hashes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::HeaderValue;
use ring::hmac;
use ring::rand::SystemRandom;
use tokio::task::spawn_blocking;
use tracing::warn;

use super::config::Users;
use super::queue::{Bounds, FairQueue};

/// The maximum number of passwords that are being checked or waiting, in total and from one client
/// network. At the usual bcrypt cost of 10, a full queue takes about two seconds, which is then
/// the longest wait.
const BOUNDS: Bounds = Bounds {
    total: 32,
    per_network: 4,
};

/// Whether a client may access the page that it requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Granted,
    Unauthorized,
    /// Too many passwords are waiting to be checked.
    Busy,
}

/// Checks passwords outside the runtime's thread, through a fair queue, because bcrypt is slow on
/// purpose.
///
/// A correct password is cached, since Prometheus sends it with each scrape. The cache contains
/// neither passwords nor plain hashes of them, which could be guessed fast. It contains a keyed
/// hash of the bcrypt hash and the password: it reveals nothing without the key, and a changed hash
/// in the web configuration invalidates the entry. Wrong passwords are never cached, so each guess
/// costs a full bcrypt check.
pub(super) struct Passwords {
    /// Generated at start and never stored: cached passwords end with the process.
    key: hmac::Key,
    /// The correct password of each user, as a keyed hash. Bounded by the number of users.
    cache: Mutex<HashMap<String, hmac::Tag>>,
    /// Separate from the queue of TLS handshakes. At the highest bcrypt cost a check takes seconds,
    /// and a client that guesses passwords must not delay the handshake of Prometheus, whose
    /// password is cached.
    queue: Arc<FairQueue>,
}

impl Passwords {
    pub(super) fn new() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        Self {
            key: key.expect("the system has random numbers"),
            cache: Mutex::default(),
            queue: FairQueue::new(BOUNDS),
        }
    }

    /// Checks the credentials in the `Authorization` header of a client at `address`.
    pub(super) async fn check(
        self: &Arc<Self>,
        users: &Users,
        authorization: Option<&HeaderValue>,
        address: IpAddr,
    ) -> Verdict {
        let Some((user, password)) = authorization.and_then(credentials) else {
            return Verdict::Unauthorized;
        };
        // An unknown user takes as much time as an existing one. Otherwise the response time would
        // reveal which users exist.
        let (hash, exists) = match users.get(&user) {
            Some(hash) => (hash, true),
            None => match self.some_hash(users, &user) {
                Some(hash) => (hash, false),
                None => return Verdict::Unauthorized,
            },
        };
        let secret = secret(hash, &password);
        if self.is_cached(&user, &secret) && exists {
            return Verdict::Granted;
        }
        let Ok(permit) = self.queue.enter(address).await else {
            return Verdict::Busy;
        };
        // Another request with the same password may have been checked meanwhile.
        if self.is_cached(&user, &secret) && exists {
            return Verdict::Granted;
        }
        let hash = hash.clone();
        let verified = spawn_blocking(move || {
            let _permit = permit;
            bcrypt::verify(password, &hash)
        });
        match verified.await {
            Ok(Ok(true)) if exists => {
                let mut cache = self.cache();
                cache.retain(|user, _| users.contains_key(user));
                cache.insert(user, hmac::sign(&self.key, &secret));
                Verdict::Granted
            }
            // The password is wrong, or the program is shutting down.
            Ok(Ok(_)) | Err(_) => Verdict::Unauthorized,
            Ok(Err(error)) => {
                warn!("cannot check a password: {error}");
                Verdict::Unauthorized
            }
        }
    }

    /// Picks a hash to check for a user that does not exist. It is always the same for one name:
    /// different costs in two attempts would reveal that the user does not exist.
    fn some_hash<'a>(&self, users: &'a Users, user: &str) -> Option<&'a String> {
        let tag = hmac::sign(&self.key, user.as_bytes());
        let number = tag.as_ref().iter().take(4);
        let number = number.fold(0, |number, byte| number << 8 | usize::from(*byte));
        users.values().nth(number.checked_rem(users.len())?)
    }

    /// Whether this is the cached password of the user. Compares in constant time.
    fn is_cached(&self, user: &str, secret: &[u8]) -> bool {
        let tag = self.cache().get(user).copied();
        tag.is_some_and(|tag| hmac::verify(&self.key, secret, tag.as_ref()).is_ok())
    }

    fn cache(&self) -> MutexGuard<'_, HashMap<String, hmac::Tag>> {
        self.cache.lock().expect(NO_PANIC)
    }
}

const NO_PANIC: &str = "no thread panics while it holds the lock";

/// Joins a bcrypt hash and a password. The zero byte between them makes the result unambiguous: no
/// hash contains one.
fn secret(hash: &str, password: &[u8]) -> Vec<u8> {
    [hash.as_bytes(), &[0], password].concat()
}

/// Parses an `Authorization` header into the user and the password. The password may be any bytes.
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
    fn credentials_are_parsed_as_in_rfc_7617() {
        // The two examples of the RFC, encoded independently: printf test:123£ | base64.
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
}
