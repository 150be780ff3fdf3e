//! Reads a web configuration file: any content gives a configuration or an error message.

#![no_main]

use std::fs;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use tzsp_packetstream_exporter::http::Configuration;

static DIRECTORY: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().unwrap());

fuzz_target!(|document: &[u8]| {
    let path = DIRECTORY.path().join("web.yml");
    fs::write(&path, document).unwrap();
    match Configuration::read(Some(path)) {
        Ok(configuration) => {
            let _ = configuration.has_tls();
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
