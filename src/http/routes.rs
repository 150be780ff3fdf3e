//! What is asked for, who may see it, and what is answered.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use http_body_util::{Either, Full};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{
    ALLOW, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, VARY,
    WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode, Version};
use tokio::sync::watch;

use super::passwords::{Passwords, Verdict};
use super::places::{Places, User, Work};
use super::rate::RateLimiter;
use super::refusals::Refusals;
use super::reload::InForce;
use super::scrape::{self, ScrapeBody, accepts_gzip};
use super::turns::Turns;
use super::{MAX_HEADER_SIZE, Pages};
use crate::metrics::{self, Refused, WebState};

/// What all requests share.
pub(super) struct Site<P> {
    pub(super) pages: Arc<P>,
    pub(super) in_force: watch::Receiver<InForce>,
    pub(super) connections: Arc<Places>,
    /// None if there is no limit.
    pub(super) scrapes: Option<Arc<Places>>,
    pub(super) passwords: Arc<Passwords>,
    pub(super) handshakes: Arc<Turns>,
    pub(super) rate: RateLimiter,
    pub(super) refusals: Refusals,
}

type Content = Either<Full<Bytes>, ScrapeBody>;

impl<P: Pages> Site<P> {
    /// The answer to a client at `address`, over a connection that `user` has the place of.
    pub(super) async fn answer<B>(
        self: Arc<Self>,
        request: Request<B>,
        address: IpAddr,
        user: Arc<User>,
    ) -> Response<Answer> {
        // A connection with an open request keeps its place.
        let work = user.work();
        let config = Arc::clone(&self.in_force.borrow().config);
        let mut response = if has_oversize_headers(&request) {
            self.refuse(Refused::HeaderSize)
        } else if self.rate.admits(config.rate, Instant::now()) {
            let header = request.headers().get(AUTHORIZATION);
            match self.verdict(&request, header, address, &user).await {
                Verdict::Welcome => self.respond(&request),
                Verdict::Unauthorized => self.refuse(Refused::Unauthorized),
                Verdict::Busy => self.refuse(Refused::PasswordQueue),
            }
        } else {
            self.refuse(Refused::Rate)
        };
        for (name, value) in &config.headers {
            response.headers_mut().insert(name, value.clone());
        }
        response.map(|content| Answer {
            content,
            _work: work,
        })
    }

    /// All but health and readiness, which tell nothing of the network, is for users alone.
    async fn verdict<B>(
        &self,
        request: &Request<B>,
        authorization: Option<&HeaderValue>,
        address: IpAddr,
        user: &User,
    ) -> Verdict {
        let config = Arc::clone(&self.in_force.borrow().config);
        if config.users.is_empty() || matches!(request.uri().path(), "/-/healthy" | "/-/ready") {
            return Verdict::Welcome;
        }
        let verdict = self.passwords.check(&config.users, authorization, address);
        let verdict = verdict.await;
        if verdict == Verdict::Welcome {
            user.is_known();
        }
        verdict
    }

    fn respond<B>(self: &Arc<Self>, request: &Request<B>) -> Response<Content> {
        let page = match request.uri().path() {
            "/" => html(LANDING_PAGE),
            "/metrics" => return allowing_reads(request, || self.scrape(request)),
            "/-/healthy" => text(StatusCode::OK, "Healthy.\n"),
            "/-/ready" if self.pages.is_ready() => text(StatusCode::OK, "Ready.\n"),
            "/-/ready" => text(StatusCode::SERVICE_UNAVAILABLE, "No capture is running.\n"),
            _ => {
                return text(
                    StatusCode::NOT_FOUND,
                    "Not found. Metrics are at /metrics.\n",
                );
            }
        };
        allowing_reads(request, || page)
    }

    fn scrape<B>(self: &Arc<Self>, request: &Request<B>) -> Response<Content> {
        let gzip = accepts_gzip(request.headers());
        let content = if request.method() == Method::GET {
            let place = match self.scrapes.as_ref().map(Places::take).transpose() {
                Ok(place) => place.map(|(place, _)| place),
                Err(_) => return self.refuse(Refused::MaxRequests),
            };
            let site = Arc::clone(self);
            let write = move |out: &mut dyn io::Write| site.pages.metrics(&site.state(), out);
            let site = Arc::clone(self);
            let cut_short = move || site.refusals.count(Refused::SlowResponse);
            Either::Right(scrape::body(write, gzip, place, cut_short))
        } else {
            Either::Left(Full::default())
        };
        let mut response = Response::new(content);
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static(metrics::CONTENT_TYPE),
        );
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        if gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }

    fn state(&self) -> WebState {
        WebState::new(
            self.refusals.counts(),
            self.connections.taken(),
            self.in_force.borrow().is_current,
        )
    }

    fn refuse(&self, reason: Refused) -> Response<Content> {
        self.refusals.count(reason);
        match reason {
            Refused::Unauthorized => {
                let mut response = text(StatusCode::UNAUTHORIZED, "Unauthorized.\n");
                let challenge =
                    HeaderValue::from_static("Basic realm=\"metrics\", charset=\"UTF-8\"");
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                response
            }
            Refused::HeaderSize => text(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "The headers of the request are too large.\n",
            ),
            Refused::Rate => text(
                StatusCode::TOO_MANY_REQUESTS,
                "Too many requests: the limit is rate_limit. Try again later.\n",
            ),
            Refused::PasswordQueue => text(
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many passwords are waiting to be checked. Try again later.\n",
            ),
            _ => text(
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many scrapes at a time: the limit is --web.max-requests. Try again later.\n",
            ),
        }
    }
}

/// Of HTTP/1, they are refused before. RFC 9113, section 6.5.2, says how the size of a list of
/// headers is counted.
fn has_oversize_headers<B>(request: &Request<B>) -> bool {
    let fields = request.headers().iter();
    let size: usize = fields
        .map(|(name, value)| name.as_str().len() + value.len() + 32)
        .sum();
    let target = request.uri().path().len();
    request.version() == Version::HTTP_2 && size + target > MAX_HEADER_SIZE as usize
}

fn allowing_reads<B>(
    request: &Request<B>,
    response: impl FnOnce() -> Response<Content>,
) -> Response<Content> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return response();
    }
    let mut response = text(
        StatusCode::METHOD_NOT_ALLOWED,
        "Method not allowed. Use GET.\n",
    );
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

const LANDING_PAGE: &str = concat!(
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
    "<meta name=\"viewport\" content=\"width=device-width\">\n",
    "<title>TZSP packet stream exporter</title>\n</head>\n<body>\n",
    "<h1>TZSP packet stream exporter</h1>\n",
    "<p>tzsp_packetstream_exporter ",
    env!("CARGO_PKG_VERSION"),
    "</p>\n<p><a href=\"/metrics\">Metrics</a></p>\n</body>\n</html>\n",
);

fn text(status: StatusCode, body: &'static str) -> Response<Content> {
    let mut response = page("text/plain; charset=utf-8", body);
    *response.status_mut() = status;
    response
}

fn html(body: &'static str) -> Response<Content> {
    page("text/html; charset=utf-8", body)
}

fn page(content_type: &'static str, body: &'static str) -> Response<Content> {
    let mut response = Response::new(Either::Left(Full::from(body)));
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A body that keeps the place of its connection in use until it has gone out.
pub(super) struct Answer {
    content: Content,
    _work: Work,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.content).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.content.size_hint()
    }
}
