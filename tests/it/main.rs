//! Integration tests: they run the built program as its users do and check its output.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::float_cmp, reason = "counts are exact in an f64")]

mod analyze;
mod architecture;
mod bounds;
mod browser;
mod buffer;
mod captures;
mod cli;
mod clients;
mod damage;
mod dashboard;
mod differential;
mod environment;
mod faults;
mod flows;
mod formats;
mod guide;
mod hostile;
mod http;
mod http2;
mod inputs;
mod ipv6;
mod jobs;
mod landing;
mod live;
mod manual;
mod namespace;
mod native;
mod network;
mod plain;
mod process;
mod prometheus;
mod promtool;
mod readme;
mod routers;
mod rules;
mod scrape;
mod sites;
mod supervision;
mod support;
mod surroundings;
mod table;
mod timeline;
mod tls;
mod traffic;
mod troubleshooting;
mod tshark;
mod web_config;
mod website;
mod write_inner;
