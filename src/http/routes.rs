//! Routes, access control, and responses.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http_body_util::{Either, Full};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    HeaderMap, HeaderValue, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode, Version};
use tokio::sync::watch;

use super::accept::negotiate;
use super::passwords::{Passwords, Verdict};
use super::queue::FairQueue;
use super::rate::RateLimiter;
use super::refusals::Refusals;
use super::reload::InForce;
use super::scrape::{self, ScrapeBody, accepts_gzip};
use super::sent::{Callback, Delivery, WhenSent};
use super::slots::{Activity, InFlight, Slots};
use super::{MAX_HEADER_SIZE, Pages, page};
use crate::metrics::{Refused, WebState};
use crate::report::{self, Overview};

/// The maximum number of hosts or flows that the API lists. `/metrics` has all of them.
const MAX_TOP: usize = 1000;

/// The state that all requests share.
pub(super) struct Site<P> {
    pub(super) pages: Arc<P>,
    pub(super) in_force: watch::Receiver<InForce>,
    pub(super) connections: Arc<Slots>,
    /// `None` if there is no limit.
    pub(super) scrapes: Option<Arc<Slots>>,
    pub(super) passwords: Arc<Passwords>,
    pub(super) handshakes: Arc<FairQueue>,
    pub(super) rate: RateLimiter,
    pub(super) refusals: Refusals,
}

/// A body, and what happens at its end.
struct Content {
    body: Either<Full<Bytes>, ScrapeBody>,
    /// Called once the whole body has been sent.
    on_sent: Option<Callback>,
}

/// The client that sends a request, and its connection.
pub(super) struct Client {
    pub(super) address: IpAddr,
    /// Records requests and authentication in the connection's slot.
    pub(super) activity: Arc<Activity>,
    pub(super) sent: Arc<WhenSent>,
}

impl<P: Pages> Site<P> {
    /// Answers a request.
    pub(super) async fn answer<B>(
        self: Arc<Self>,
        request: Request<B>,
        client: Client,
    ) -> Response<Answer> {
        let Client {
            address,
            activity,
            sent,
        } = client;
        // Protects the connection from eviction until the response is sent.
        let in_flight = activity.begin();
        let config = Arc::clone(&self.in_force.borrow().config);
        let mut response = if has_oversize_headers(&request) {
            self.refuse(Refused::HeaderSize)
        } else if self.rate.take_token(config.rate, Instant::now()) {
            let header = request.headers().get(AUTHORIZATION);
            match self.verdict(&request, header, address, &activity).await {
                Verdict::Granted => self.respond(&request),
                Verdict::Unauthorized => self.refuse(Refused::Unauthorized),
                Verdict::Busy => self.refuse(Refused::PasswordQueue),
            }
        } else {
            self.refuse(Refused::Rate)
        };
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        for (name, value) in &config.headers {
            headers.insert(name, value.clone());
        }
        response.map(|content| Answer {
            body: content.body,
            on_sent: content
                .on_sent
                .map(|on_sent| (Delivery::new(sent), on_sent)),
            _in_flight: in_flight,
        })
    }

    /// Decides whether a client may access a page. Health and readiness need no password: they
    /// reveal nothing about the network.
    async fn verdict<B>(
        &self,
        request: &Request<B>,
        authorization: Option<&HeaderValue>,
        address: IpAddr,
        activity: &Activity,
    ) -> Verdict {
        let config = Arc::clone(&self.in_force.borrow().config);
        if config.users.is_empty() || matches!(request.uri().path(), "/-/healthy" | "/-/ready") {
            return Verdict::Granted;
        }
        let verdict = self.passwords.check(&config.users, authorization, address);
        let verdict = verdict.await;
        if verdict == Verdict::Granted {
            activity.set_authenticated();
        }
        verdict
    }

    fn respond<B>(self: &Arc<Self>, request: &Request<B>) -> Response<Content> {
        let response = match request.uri().path() {
            "/" => return allowing_reads(request, || self.landing(request)),
            "/api/hosts" => {
                return allowing_reads(request, || self.overview(request, report::write_hosts));
            }
            "/api/flows" => {
                return allowing_reads(request, || self.overview(request, report::write_overview));
            }
            "/metrics" => return allowing_reads(request, || self.scrape(request)),
            "/app.js" => asset("text/javascript; charset=utf-8", page::SCRIPT),
            "/style.css" => asset("text/css; charset=utf-8", page::STYLE),
            "/icon.svg" => asset("image/svg+xml", page::ICON),
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
        allowing_reads(request, || response)
    }

    fn scrape<B>(self: &Arc<Self>, request: &Request<B>) -> Response<Content> {
        let time = Arc::new(OnceLock::new());
        let time_written = Arc::clone(&time);
        let (format, content_type) = negotiate(request.headers());
        let mut response = self.written(request, content_type, move |site, out| {
            let time = site.pages.metrics(format, &site.state(), out)?;
            time_written.get_or_init(|| time);
            Ok(())
        });
        let vary = HeaderValue::from_static("Accept, Accept-Encoding");
        response.headers_mut().insert(VARY, vary);
        let pages = Arc::clone(&self.pages);
        response.body_mut().on_sent = Some(Box::new(move || {
            // Without a time, nothing or only a part was written, as for HEAD.
            if let Some(&time) = time.get() {
                pages.delivered(time);
            }
        }));
        response
    }

    fn landing<B>(self: &Arc<Self>, request: &Request<B>) -> Response<Content> {
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        let mut response = self.written(request, html, |site, out| {
            let page = page::landing(&site.pages.overview(page::TOP));
            out.write_all(page.as_bytes())
        });
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let policy = HeaderValue::from_static(page::POLICY);
        headers.insert(CONTENT_SECURITY_POLICY, policy);
        response
    }

    /// Answers with the `write`n state of the capture, in which as many hosts and flows are listed
    /// as the query asks for.
    fn overview<B>(
        self: &Arc<Self>,
        request: &Request<B>,
        write: fn(&mut dyn io::Write, &Overview) -> io::Result<()>,
    ) -> Response<Content> {
        let top = match parse_top(request.uri().query()) {
            Ok(top) => top,
            Err(problem) => return text(StatusCode::BAD_REQUEST, problem),
        };
        let json = HeaderValue::from_static("application/json");
        let mut response = self.written(request, json, move |site, out| {
            write(out, &site.pages.overview(top))
        });
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// Responds with a body that is expensive to write. It takes one of the slots of
    /// --web.max-requests.
    fn written<B>(
        self: &Arc<Self>,
        request: &Request<B>,
        content_type: HeaderValue,
        write: impl FnOnce(&Self, &mut dyn io::Write) -> io::Result<()> + Send + 'static,
    ) -> Response<Content> {
        let gzip = accepts_gzip(request.headers());
        let content = if request.method() == Method::GET {
            let slot = match self.scrapes.as_ref().map(Slots::take).transpose() {
                Ok(slot) => slot.map(|(slot, _)| slot),
                Err(_) => return self.refuse(Refused::MaxRequests),
            };
            let site = Arc::clone(self);
            let write = move |out: &mut dyn io::Write| write(&site, out);
            let site = Arc::clone(self);
            let cut_short = move || site.refusals.count(Refused::SlowResponse);
            Either::Right(scrape::body(write, gzip, slot, cut_short))
        } else {
            Either::Left(Full::default())
        };
        let mut response = Response::new(Content {
            body: content,
            on_sent: None,
        });
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        if gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }

    fn state(&self) -> WebState {
        WebState::new(
            self.refusals.counts(),
            self.connections.count(),
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
                "Too many concurrent scrapes: the limit is --web.max-requests. Try again later.\n",
            ),
        }
    }
}

/// Whether the headers of an HTTP/2 request exceed their limit, counted as in RFC 9113, section
/// 6.5.2. The HTTP library refuses those of HTTP/1 before they get here.
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

/// Parses the query `top=N`, the number of hosts or flows to list.
fn parse_top(query: Option<&str>) -> Result<usize, &'static str> {
    let mut top = None;
    let parameters = query.unwrap_or_default().split('&');
    for parameter in parameters.filter(|parameter| !parameter.is_empty()) {
        let Some(number) = parameter.strip_prefix("top=") else {
            return Err("The only parameter is top, as in ?top=5.\n");
        };
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
        let number = number.parse().ok().filter(|_| is_number);
        let number = number.filter(|number| (1..=MAX_TOP).contains(number));
        let number = number.ok_or("Write a number from 1 to 1000 after top=.\n")?;
        if top.replace(number).is_some() {
            return Err("Write top= once.\n");
        }
    }
    Ok(top.unwrap_or(page::TOP))
}

fn text(status: StatusCode, body: &'static str) -> Response<Content> {
    let mut response = fixed("text/plain; charset=utf-8", body);
    *response.status_mut() = status;
    response
}

/// Responds with a file of the landing page. Browsers revalidate it each time, since another
/// version of this program may have different content.
fn asset(content_type: &'static str, body: &'static str) -> Response<Content> {
    let mut response = fixed(content_type, body);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn fixed(content_type: &'static str, body: &'static str) -> Response<Content> {
    let mut response = Response::new(Content {
        body: Either::Left(Full::from(body)),
        on_sent: None,
    });
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A response body. Its request counts as in flight until the body is dropped.
pub(super) struct Answer {
    body: Either<Full<Bytes>, ScrapeBody>,
    on_sent: Option<(Arc<Delivery>, Callback)>,
    _in_flight: InFlight,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(_)) => {}
            Some(Err(_)) => self.on_sent = None,
            None => {
                if let Some((delivery, on_sent)) = self.on_sent.take() {
                    delivery.end(on_sent);
                }
            }
        }
        if let (Some(Ok(frame)), Some((delivery, _))) = (&mut frame, &self.on_sent)
            && let Some(bytes) = frame.data_mut()
        {
            *bytes = delivery.piece(std::mem::take(bytes));
        }
        Poll::Ready(frame)
    }

    /// Returns `false` as long as `on_sent` has to be called: hyper then polls for one more frame,
    /// and that poll shows that it has taken everything before.
    fn is_end_stream(&self) -> bool {
        self.on_sent.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
