//! What the web server says of itself.

/// What the server refused, or cut off. Its variants are the `reason` label.
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
    /// In the order in which a client meets them.
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
    /// Connections that are open.
    pub connections: usize,
    /// Whether the web configuration in force is that of the files, as they are now.
    pub config_is_current: bool,
}

impl WebState {
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

    #[must_use]
    pub fn refused(&self, reason: Refused) -> u64 {
        self.refused[reason as usize]
    }
}
