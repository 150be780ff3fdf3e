//! A real Prometheus that scrapes the exporter.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::formats::printed;
use crate::live::{DATAGRAM, send};
use crate::support::{Exporter, eventually};
use crate::website::{HASH, Website};

pub(crate) struct Prometheus {
    child: Child,
    pub(crate) port: u16,
    directory: TempDir,
    program: PathBuf,
    arguments: Vec<String>,
}

impl Prometheus {
    /// Starts a server that scrapes this local port every second, with these scrape settings.
    #[track_caller]
    pub(crate) fn start(target: u16, settings: &str) -> Self {
        Self::start_program(Path::new("prometheus"), &[], target, settings)
    }

    /// Starts this program as such a server, with these arguments.
    #[track_caller]
    pub(crate) fn start_program(
        program: &Path,
        arguments: &[&str],
        target: u16,
        settings: &str,
    ) -> Self {
        let configuration = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
             scrape_configs:\n\
             - job_name: tzsp\n  static_configs: [{{targets: ['localhost:{target}']}}]\n\
             {settings}"
        );
        let directory = TempDir::new().unwrap();
        Self::launch(program, arguments, directory, &configuration)
    }

    /// Starts a server with its storage in the subdirectory `data`. It keeps data of any age.
    #[track_caller]
    pub(crate) fn start_in(directory: TempDir, configuration: &str) -> Self {
        Self::launch(Path::new("prometheus"), &[], directory, configuration)
    }

    #[track_caller]
    fn launch(program: &Path, arguments: &[&str], directory: TempDir, configuration: &str) -> Self {
        let path = directory.path().join("prometheus.yml");
        fs::write(&path, configuration).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let arguments: Vec<_> = arguments.iter().map(|&argument| argument.into()).collect();
        let child = run(program, &arguments, directory.path(), port);
        Self {
            child,
            port,
            directory,
            program: program.to_owned(),
            arguments,
        }
    }

    /// Stops the server, runs `meanwhile`, and starts it again with the same data.
    pub(crate) fn restart(&mut self, meanwhile: impl FnOnce()) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        self.child.wait().unwrap();
        meanwhile();
        let directory = self.directory.path();
        self.child = run(&self.program, &self.arguments, directory, self.port);
    }

    /// The value of an instant query. `None` unless it has exactly one result.
    pub(crate) fn query(&self, query: &str) -> Option<f64> {
        let answer = self.get(&format!("query?query={query}"))?;
        let value = answer["data"]["result"][0]["value"][1].as_str()?;
        value.parse().ok()
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        let url = format!("http://127.0.0.1:{}/api/v1/{path}", self.port);
        let mut response = ureq::get(&url).call().ok()?;
        serde_json::from_str(&response.body_mut().read_to_string().ok()?).ok()
    }

    /// The answer to an API request with these parameters, which are URL-encoded. Fails if the
    /// server reports an error.
    #[track_caller]
    pub(crate) fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let agent = ureq::Agent::config_builder().http_status_as_error(false);
        let url = format!("http://127.0.0.1:{}/api/v1/{path}", self.port);
        let request = agent.build().new_agent().get(&url);
        let request = request.query_pairs(parameters.iter().copied());
        let answer = request.call().unwrap().body_mut().read_to_string().unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["status"], "success", "{parameters:?}: {answer}");
        assert_eq!(answer["warnings"], Value::Null, "{parameters:?}");
        answer["data"].clone()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }
}

/// Runs a server with the configuration and the data in this directory.
#[track_caller]
fn run(program: &Path, arguments: &[String], directory: &Path, port: u16) -> Child {
    let mut log = File::options();
    let log = log
        .create(true)
        .append(true)
        .open(directory.join("log"))
        .unwrap();
    let configuration = directory.join("prometheus.yml");
    let data = directory.join("data");
    Command::new(program)
        .args(arguments)
        .arg(format!("--config.file={}", configuration.display()))
        .arg(format!("--storage.tsdb.path={}", data.display()))
        .arg("--storage.tsdb.retention.time=100y")
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("prometheus is missing; `cargo xtask ci` installs it")
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn prometheus_stores_what_was_counted_without_a_warning() {
    let mut exporter = Exporter::start(&["--listen-port", "0"]);
    let port = exporter.udp_port();
    for _ in 0..7 {
        send(port, &DATAGRAM);
    }
    let prometheus = Prometheus::start(exporter.port, "");
    let bytes = "sum(tzsp_observed_bytes_total%7Bto_type=%22public%22%7D)";
    eventually("seven packets of 40 bytes", || {
        prometheus.query(bytes).filter(|&bytes| bytes == 280.0)
    });
    assert_eq!(prometheus.query("up"), Some(1.0));
    let targets = prometheus.get("targets").unwrap();
    let target = &targets["data"]["activeTargets"][0];
    assert_eq!(target["health"], "up");
    assert_eq!(target["lastError"], "");
    let log = prometheus.log();
    let complaint = log
        .lines()
        .find(|line| line.contains("level=warn") || line.contains("level=error"));
    assert_eq!(complaint, None, "{log}");
}

/// Serves this text with this content type as a scrape target. Returns its port.
fn serve(text: String, content_type: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = BufReader::new(stream.try_clone().unwrap()).lines();
            // The header of the request ends with an empty line.
            while request
                .next()
                .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
            {}
            let length = text.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
                 Connection: close\r\n\r\n"
            );
            let _ = stream.write_all((head + &text).as_bytes());
        }
    });
    port
}

#[test]
fn prometheus_scrapes_what_analyze_writes_as_openmetrics() {
    let text = printed(
        "five_minutes_of_an_office.pcap",
        &["--format", "openmetrics"],
    );
    let target = serve(
        text,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    );
    let prometheus = Prometheus::start(target, "");
    eventually("all bytes of the capture", || {
        let bytes = prometheus.query("sum(tzsp_observed_bytes_total)");
        bytes.filter(|&bytes| bytes == 129_940.0)
    });
    assert_eq!(prometheus.query("up"), Some(1.0));
    // Only OpenMetrics names families without the suffix.
    let metadata = prometheus
        .get("metadata?metric=tzsp_observed_bytes")
        .unwrap();
    let family = &metadata["data"]["tzsp_observed_bytes"][0];
    assert_eq!(family["type"], "counter", "{metadata}");
    assert_eq!(
        family["help"],
        "Bytes of mirrored packets, IP headers included."
    );
}

/// Waits until Prometheus reports its target as up, without an error.
#[track_caller]
fn check_target_is_up(prometheus: &Prometheus) {
    eventually("a scrape", || {
        prometheus.query("up").filter(|&up| up == 1.0)
    });
    let query = "tzsp_capture_up";
    eventually("its samples", || prometheus.query(query));
    let log = prometheus.log();
    assert!(!log.contains("level=warn"), "{log}");
}

#[test]
fn prometheus_scrapes_over_tls_and_only_with_the_password() {
    let site = Website::new(&format!(
        "tls_server_config: {{cert_file: server.crt, key_file: server.key}}\n\
         basic_auth_users: {{prometheus: {HASH}}}\n"
    ));
    site.write("password", "secret\n");
    let exporter = site.start(&[]);
    let tls = format!(
        "  scheme: https\n  tls_config: {{ca_file: {}}}\n",
        site.path("ca.pem")
    );
    let user = format!(
        "  basic_auth: {{username: prometheus, password_file: {}}}\n",
        site.path("password")
    );
    check_target_is_up(&Prometheus::start(exporter.port, &(tls.clone() + &user)));

    let without_password = Prometheus::start(exporter.port, &tls);
    eventually("a refusal", || {
        let targets = without_password.get("targets")?;
        let error = &targets["data"]["activeTargets"][0]["lastError"];
        (error == "server returned HTTP status 401 Unauthorized").then_some(())
    });
}

#[test]
fn prometheus_scrapes_with_a_client_certificate_and_follows_renewals() {
    let site = Website::new(
        "tls_server_config: {cert_file: server.crt, key_file: server.key, client_auth_type: \
         RequireAndVerifyClientCert, client_ca_file: ca.pem, client_allowed_sans: \
         [prometheus.example]}\n",
    );
    let mut exporter = site.start(&[]);
    let prometheus = Prometheus::start(
        exporter.port,
        &format!(
            "  scheme: https\n  tls_config: {{ca_file: {}, cert_file: {}, key_file: {}}}\n",
            site.path("ca.pem"),
            site.path("client.crt"),
            site.path("client.key")
        ),
    );
    check_target_is_up(&prometheus);

    let renewed = site.authority.issue(&["localhost"]);
    site.write_identity("server", &renewed);
    exporter.wait_for_line("the web configuration has changed and is in force");
    let samples = || prometheus.query("count_over_time(up[1h])");
    let before = samples().unwrap();
    eventually("more scrapes", || {
        samples().filter(|&samples| samples >= before + 3.0)
    });
    let never_down = prometheus.query("min_over_time(up[1h])");
    assert_eq!(never_down, Some(1.0));
}
