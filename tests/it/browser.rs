//! A headless Chromium, controlled with the DevTools protocol:
//! <https://chromedevtools.github.io/devtools-protocol/>. It is spoken over two pipes, so that no
//! WebSocket is needed.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::eventually;

/// Chromium starts slowly while other tests run.
const TIMEOUT: Duration = Duration::from_mins(1);

pub(crate) struct Browser {
    child: Child,
    commands: File,
    messages: Receiver<Value>,
    events: Vec<Value>,
    last: u64,
    _directory: TempDir,
}

/// A page of the browser.
pub(crate) struct Tab {
    session: String,
}

impl Browser {
    #[track_caller]
    pub(crate) fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let [commands, answers] = ["commands", "answers"].map(|name| {
            let path = directory.path().join(name);
            mkfifo(&path, Mode::S_IRWXU).unwrap();
            path
        });
        // With this option it reads commands from file descriptor 3 and writes answers to 4.
        let child = Command::new("sh")
            .args(["-c", "exec chromium \"$@\" 3<commands 4>answers", "sh"])
            .args(["--headless=new", "--remote-debugging-pipe", "--no-sandbox"])
            .args(["--disable-gpu", "--hide-scrollbars", "--no-first-run"])
            .args(["--disable-background-networking", "--user-data-dir=profile"])
            .current_dir(directory.path())
            .env("HOME", directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let commands = File::options().write(true).open(commands).unwrap();
        let answers = BufReader::new(File::open(answers).unwrap());
        let (sender, messages) = channel();
        thread::spawn(move || {
            for message in answers.split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).unwrap();
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            commands,
            messages,
            events: Vec::new(),
            last: 0,
            _directory: directory,
        }
    }

    /// Opens an empty page of this size, in pixels.
    #[track_caller]
    pub(crate) fn tab(&mut self, width: u32, height: u32) -> Tab {
        let target = self.call("", "Target.createTarget", &json!({"url": "about:blank"}));
        let attached = self.call(
            "",
            "Target.attachToTarget",
            &json!({"targetId": target["targetId"], "flatten": true}),
        );
        let tab = Tab {
            session: attached["sessionId"].as_str().unwrap().to_owned(),
        };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.ask(&tab, &format!("{domain}.enable"), &json!({}));
        }
        self.ask(
            &tab,
            "Emulation.setDeviceMetricsOverride",
            &json!({
                "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
            }),
        );
        tab
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, tab: &Tab, method: &str, parameters: &Value) -> Value {
        self.call(&tab.session, method, parameters)
    }

    /// Navigates to a URL and waits until the page is loaded.
    #[track_caller]
    pub(crate) fn open(&mut self, tab: &Tab, url: &str) {
        let opened = self.ask(tab, "Page.navigate", &json!({"url": url}));
        assert_eq!(opened.get("errorText"), None, "{opened}");
        eventually("the page", || {
            let is_there = "location.href !== 'about:blank' && document.readyState === 'complete'";
            self.evaluate(tab, is_there)
                .as_bool()
                .filter(|there| *there)
        });
    }

    /// Evaluates a JavaScript expression in the page.
    #[track_caller]
    pub(crate) fn evaluate(&mut self, tab: &Tab, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true});
        let answer = self.ask(tab, "Runtime.evaluate", &parameters);
        assert_eq!(answer.get("exceptionDetails"), None, "{answer}");
        answer["result"]["value"].clone()
    }

    /// A screenshot of the whole page, as PNG.
    #[track_caller]
    pub(crate) fn picture(&mut self, tab: &Tab) -> Vec<u8> {
        let whole = json!({"captureBeyondViewport": true});
        let picture = self.ask(tab, "Page.captureScreenshot", &whole);
        BASE64_STANDARD
            .decode(picture["data"].as_str().unwrap())
            .unwrap()
    }

    /// The URLs of all requests that pages have sent so far.
    pub(crate) fn requests(&self) -> Vec<&str> {
        let sent = self.of_kind("Network.requestWillBeSent");
        sent.map(|event| event["params"]["request"]["url"].as_str().unwrap())
            .collect()
    }

    /// Messages on the console: errors, failed requests, violations of the content security policy.
    pub(crate) fn console_messages(&self) -> Vec<&Value> {
        let kinds = [
            "Runtime.consoleAPICalled",
            "Runtime.exceptionThrown",
            "Log.entryAdded",
        ];
        kinds.iter().flat_map(|kind| self.of_kind(kind)).collect()
    }

    fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.events
            .iter()
            .filter(move |event| event["method"] == kind)
    }

    #[track_caller]
    fn call(&mut self, session: &str, method: &str, parameters: &Value) -> Value {
        self.last += 1;
        let mut command = json!({"id": self.last, "method": method, "params": parameters});
        if !session.is_empty() {
            command["sessionId"] = session.into();
        }
        self.commands
            .write_all(format!("{command}\0").as_bytes())
            .unwrap();
        loop {
            let Ok(mut message) = self.messages.recv_timeout(TIMEOUT) else {
                panic!("chromium does not answer {method}; `cargo xtask ci` installs it");
            };
            if message["id"] == self.last {
                assert_eq!(message.get("error"), None, "{method}: {message}");
                return message["result"].take();
            }
            self.events.push(message);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The processes that it has started end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
