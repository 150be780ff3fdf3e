//! The state of the web server.

/// Why the server refused or cut off a connection or a request. The variants are the values of the
/// `reason` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    Accept,
    Connections,
    FirstRequest,
    Tls,
    Malformed,
    HeaderSize,
    Rate,
    Unauthorized,
    PasswordQueue,
    MaxRequests,
    SlowResponse,
}

impl Refused {
    /// All reasons, in the order in which a request meets the checks.
    pub const ALL: [Self; 11] = [
        Self::Accept,
        Self::Connections,
        Self::FirstRequest,
        Self::Tls,
        Self::Malformed,
        Self::HeaderSize,
        Self::Rate,
        Self::Unauthorized,
        Self::PasswordQueue,
        Self::MaxRequests,
        Self::SlowResponse,
    ];

    /// Returns the value of the `reason` label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Connections => "connections",
            Self::FirstRequest => "first_request",
            Self::Tls => "tls",
            Self::Malformed => "malformed",
            Self::HeaderSize => "header_size",
            Self::Rate => "rate",
            Self::Unauthorized => "unauthorized",
            Self::PasswordQueue => "password_queue",
            Self::MaxRequests => "max_requests",
            Self::SlowResponse => "slow_response",
        }
    }
}

/// The state of the web server at a scrape.
#[derive(Debug, Clone)]
pub struct WebState {
    refused: [u64; Refused::ALL.len()],
    /// Open connections.
    pub connections: usize,
    /// Whether the web configuration in force is that of the files as they are now.
    pub config_is_current: bool,
}

impl WebState {
    /// `refused` is indexed by [`Refused`].
    #[must_use]
    pub fn new(
        refused: [u64; Refused::ALL.len()],
        connections: usize,
        config_is_current: bool,
    ) -> Self {
        Self {
            refused,
            connections,
            config_is_current,
        }
    }

    /// Returns how often the server refused something for this reason.
    #[must_use]
    pub fn refused(&self, reason: Refused) -> u64 {
        self.refused[reason as usize]
    }
}
