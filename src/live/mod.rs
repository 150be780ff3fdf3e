//! The daemon: binds its ports, captures, serves the metrics and shuts down.

mod backoff;
mod bound;
mod error;
mod exporter;
mod history;
mod holder;
mod hour;
pub mod log;
mod outcome;
mod packets;
mod process;
mod recent;
mod service;
mod signals;
mod sockets;
mod supervisor;
mod warnings;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::ValueEnum;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{info, warn};

use crate::aggregator::Settings;
use crate::capture::PacketCapture;
use crate::flow::CHECKPOINT_INTERVAL;
use crate::geo;
use crate::http::{self, ListenAddress, Listeners};
use crate::memory::{self, TableSize};
use crate::names::{self, Names};
use crate::wire::ListenPorts;
use bound::Bound;
pub use error::Error;
use exporter::Exporter;
use holder::{Transport, holder};
use signals::Signals;

/// The options of the daemon.
#[derive(Debug)]
pub struct Options {
    pub source: Source,
    pub listen_ports: Vec<u16>,
    /// Where the metrics are published. At least one address.
    pub listen_addresses: Vec<ListenAddress>,
    pub web_config_file: Option<PathBuf>,
    /// Maximum number of concurrent scrapes; 0 means no limit.
    pub max_requests: usize,
    /// Whether OpenMetrics has a `_created` series for the start of each counter.
    pub created_series: bool,
    /// Maximum number of sensors to distinguish.
    pub max_sensors: u32,
    /// Sources of names.
    pub names: Vec<names::Source>,
    /// Databases of countries and network operators.
    pub geo_databases: Vec<PathBuf>,
    pub log: log::Options,
}

/// The source of the frames.
#[derive(Debug)]
pub enum Source {
    /// Packets captured on network interfaces.
    Packets(PacketCapture, Method),
    /// Datagrams received on the listen ports.
    Sockets {
        /// Size of the kernel's buffer for each socket, in MiB.
        receive_buffer: u32,
    },
}

/// How packets are captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// Through tshark if it is installed, otherwise natively
    Auto,
    /// Through tshark
    Tshark,
    /// Through packet sockets of Linux
    Native,
}

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// The daemon cannot start, or its UDP sockets cannot be read any more.
pub fn run(mut options: Options, settings: Settings) -> Result<(), Error> {
    log::start(options.log);
    // While a database is read again, the one before it is in use.
    let databases = 2 * geo::total_size(&options.geo_databases);
    let size = TableSize::of(&settings)
        .with_names(!options.names.is_empty())
        .with_databases(databases);
    if let Some(warning) = memory::check(size)? {
        warn!("{warning}");
    }
    let wanted = options.max_requests;
    if let Some((fitting, why)) = memory::scrapes_that_fit(size, wanted) {
        options.max_requests = fitting;
        if wanted > 0 {
            info!("answering at most {fitting} concurrent scrapes instead of {wanted}: {why}");
        }
    }
    // A scrape needs a thread. One is started now, so that a limit on threads is an error at the
    // start, and threads never time out: even if no more may be started later, scrapes have this
    // one.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(Duration::MAX)
        .build()
        .map_err(Error::System)?;
    let probe = thread::Builder::new().spawn(|| {});
    let _ = probe.map_err(Error::Threads)?.join();
    runtime.spawn_blocking(|| {});
    let outcome = runtime.block_on(daemon(options, settings));
    // Does not wait for password checks that are still running.
    runtime.shutdown_background();
    outcome
}

async fn daemon(mut options: Options, mut settings: Settings) -> Result<(), Error> {
    let mut signals = Signals::new().map_err(Error::System)?;
    let configuration = http::Configuration::read(options.web_config_file.take())?;
    let names = open_names(std::mem::take(&mut options.names))?;
    let databases = geo::Files::open(std::mem::take(&mut options.geo_databases))?;
    let labels = settings.shape.labels;
    labels.check_databases(&databases.databases())?;
    let databases = Arc::new(databases);
    let max_requests = options.max_requests;
    let published = Published::bind(&options.listen_addresses, configuration.has_tls())?;

    let bound = Bound::new(options.source, &options.listen_ports)?;
    // Sensors stream to the port that the system chose for port 0.
    settings.decode.listen_ports = ListenPorts::Only(bound.ports());
    let exporter = Exporter::new(
        settings,
        names.clone(),
        Arc::clone(&databases),
        options.created_series,
    );
    let exporter = Arc::new(exporter);
    exporter.watch_sensors(&bound.ports(), options.max_sensors);
    let (stop, stopped) = watch::channel(false);
    let what = bound.describe();
    let capture = bound.capture(Arc::clone(&exporter), stopped.clone());
    exporter.set_source(&what);
    info!(
        "tzsp_packetstream_exporter {}: {what}; metrics are at {}",
        env!("CARGO_PKG_VERSION"),
        published.urls
    );
    let mut capture = tokio::spawn(capture);
    let pages = Arc::clone(&exporter);
    let listeners = published.listeners;
    let server = tokio::spawn(http::serve(
        listeners,
        pages,
        configuration,
        max_requests,
        {
            let mut stopped = stopped;
            async move {
                let _ = stopped.wait_for(|stop| *stop).await;
            }
        },
    ));
    let watched = Arc::clone(&exporter);
    let watchdog = tokio::spawn(service::watchdog(move || drop(watched.lock())));
    let warnings = tokio::spawn(warnings::warn(Arc::clone(&exporter)));
    let checkpoints = tokio::spawn(checkpoint_regularly(Arc::clone(&exporter)));
    let naming = tokio::spawn(find_names(names, Arc::clone(&exporter)));
    let located = Arc::clone(&exporter);
    let replaced = move |databases| located.set_databases(databases);
    let locating = tokio::spawn(geo::watch::follow(databases, replaced));

    let ended = tokio::select! {
        name = signals.next() => {
            info!("stopping on {name}");
            None
        }
        ended = &mut capture => Some(ended),
    };
    service::stopping();
    stop.send_replace(true);
    let outcome = match ended {
        Some(ended) => ended,
        None => capture.await,
    };
    let _ = server.await;
    watchdog.abort();
    warnings.abort();
    checkpoints.abort();
    naming.abort();
    locating.abort();
    exporter.log_totals();
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Opens the sources of names, if any were chosen.
fn open_names(sources: Vec<names::Source>) -> Result<Option<Arc<Names>>, names::Error> {
    if sources.is_empty() {
        return Ok(None);
    }
    Names::open(sources).map(|names| Some(Arc::new(names)))
}

/// Reads files of names again when they change, and looks names up, for ever.
async fn find_names(names: Option<Arc<Names>>, exporter: Arc<Exporter>) {
    if let Some(names) = names {
        let now = {
            let exporter = Arc::clone(&exporter);
            move || exporter.now()
        };
        tokio::join!(
            names::watch::follow(Arc::clone(&names), now),
            names::resolver::run(names, || exporter.now()),
        );
    }
}

/// The bound sockets of the web server.
struct Published {
    listeners: Listeners,
    /// The addresses of the metrics, for the log.
    urls: String,
}

impl Published {
    /// Binds all addresses, or none.
    fn bind(addresses: &[ListenAddress], has_tls: bool) -> Result<Self, Error> {
        let scheme = if has_tls { "https" } else { "http" };
        let mut sockets = Vec::new();
        let mut urls = Vec::new();
        for &address in addresses {
            let socket = address.bind().map_err(|error| Error::Publish {
                address,
                holder: holder(&error, Transport::Tcp, address.address, address.port),
                error,
            })?;
            let port = socket.local_addr().map_err(Error::System)?.port();
            let host = match address.address {
                None => "localhost".to_owned(),
                Some(IpAddr::V4(address)) => address.to_string(),
                Some(IpAddr::V6(address)) => format!("[{address}]"),
            };
            urls.push(format!("{scheme}://{host}:{port}/metrics"));
            sockets.push(socket);
        }
        Ok(Self {
            listeners: Listeners::new(sockets),
            urls: urls.join(" and "),
        })
    }
}

/// Takes checkpoints of the flow counters at regular intervals, for ever.
async fn checkpoint_regularly(exporter: Arc<Exporter>) {
    let mut checkpoints = interval_at(Instant::now() + CHECKPOINT_INTERVAL, CHECKPOINT_INTERVAL);
    checkpoints.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        checkpoints.tick().await;
        exporter.checkpoint_flows();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::flow::{FlowLimits, Shape};
    use crate::http::Pages;
    use crate::wire::{DecodeOptions, ListenPorts};

    /// tokio's clock is paused and skips the waits; the exporter's own clock is real.
    #[tokio::test(start_paused = true)]
    async fn checkpoints_are_taken_all_the_time() {
        let settings = Settings {
            decode: DecodeOptions {
                listen_ports: ListenPorts::Any,
                ipv6: false,
            },
            shape: Shape::default(),
            limits: FlowLimits {
                flows: 1,
                idle_flows: 0,
                idle_timeout: Duration::ZERO,
                hold: Duration::ZERO,
                hide_unseen: false,
                hosts: 1000,
            },
        };
        let exporter = Arc::new(Exporter::new(settings, None, Arc::default(), false));
        let checkpoints = tokio::spawn(checkpoint_regularly(Arc::clone(&exporter)));
        let since = || exporter.overview(1).recent.since;
        tokio::time::sleep(CHECKPOINT_INTERVAL * 5 / 2).await;
        assert_eq!(since(), Duration::ZERO);
        tokio::time::sleep(CHECKPOINT_INTERVAL).await;
        let first = since();
        assert!(first > Duration::ZERO);
        tokio::time::sleep(CHECKPOINT_INTERVAL).await;
        assert!(since() > first);
        checkpoints.abort();
    }
}
