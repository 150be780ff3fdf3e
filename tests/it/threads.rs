//! `analyze` with several threads: whatever the input and the options, the result is that of one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tzsp_packetstream_exporter::capture::Block;
use tzsp_packetstream_exporter::flow::Label;

use crate::chain::walk::{Ending, walk};
use crate::inputs::FORMATS;
use crate::scrape::Scrape;
use crate::support::{PROGRAM, captures, command, testdata};

const JOBS: [&str; 4] = ["1", "2", "3", "8"];

/// A generator of numbers (xorshift), the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

/// Returns captures of both formats, one after the other: more than three blocks.
fn long_capture(seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let captures: Vec<_> = captures()
        .iter()
        .map(|file| fs::read(file).unwrap())
        .filter(|capture| matches!(walk(capture).1, Ending::Whole))
        .collect();
    let mut capture = Vec::new();
    while capture.len() < 3 * Block::SIZE {
        capture.extend(&captures[random.below(captures.len())]);
    }
    capture
}

/// Returns the same with damaged bytes: so many that some are in the headers of records.
fn damaged(mut capture: Vec<u8>, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    for _ in 0..200 {
        // The first bytes stay, so that it is a capture.
        let position = 200 + random.below(capture.len() - 200);
        capture[position] ^= 1 << random.below(8);
    }
    capture
}

/// What a run printed, and its exit code.
type Result = (String, String, Option<i32>);

fn analyze(directory: &Path, jobs: &str, options: &[&str], files: &[&str], piped: &str) -> Result {
    let stdin = match piped {
        "" => Stdio::null(),
        // A pipe, so that nothing can be read twice.
        file => {
            let mut cat = command("cat");
            let cat = cat.arg(directory.join(file)).stdout(Stdio::piped());
            cat.spawn().unwrap().stdout.unwrap().into()
        }
    };
    let mut command = command(PROGRAM);
    command.current_dir(directory).arg("analyze").stdin(stdin);
    let output = command.args(["--jobs", jobs]).args(options).args(files);
    let output = output.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    // The number of flows beyond the limit is an estimate, which differs between runs.
    let lines = stderr
        .lines()
        .filter(|line| !line.contains("there were about"));
    let problems = lines.collect::<Vec<_>>().join("\n");
    let stdout = String::from_utf8(output.stdout).unwrap();
    (stdout, problems, output.status.code())
}

/// Checks that the results of all numbers of jobs are equal, and returns them.
#[track_caller]
fn check(directory: &Path, options: &[&str], files: &[&str], piped: &str) -> Result {
    let [one, others @ ..] = JOBS.map(|jobs| analyze(directory, jobs, options, files, piped));
    for (other, jobs) in others.iter().zip(&JOBS[1..]) {
        assert_eq!(other.1, one.1, "{options:?} {files:?} with {jobs} jobs");
        assert_eq!(other.2, one.2, "{options:?} {files:?} with {jobs} jobs");
        assert!(other.0 == one.0, "{options:?} {files:?} with {jobs} jobs");
    }
    one
}

/// Creates whole, damaged and cut captures, also compressed, and files that are none.
fn inputs() -> TempDir {
    let directory = TempDir::new().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(directory.path().join(name), bytes).unwrap();
    let whole = long_capture(1);
    write("whole", &whole);
    write("other", &long_capture(2));
    write("damaged", &damaged(long_capture(3), 4));
    write("cut", &whole[..whole.len() - 7]);
    write(
        "short",
        &fs::read(testdata().join("lone_first_fragment.pcap")).unwrap(),
    );
    write("text", b"This is not a capture, but a text.\n");
    write("empty", b"");
    for (name, compress) in FORMATS {
        let packed = compress(&whole);
        write(&format!("whole.{name}"), &packed);
        write(&format!("cut.{name}"), &packed[..packed.len() / 2]);
    }
    directory
}

/// Options under which the order of the packets decides about the result, and others.
const OPTIONS: [&[&str]; 14] = [
    &[],
    &["--max-flows", "1"],
    &["--max-flows", "20"],
    &["--max-flows", "20", "--format", "json"],
    &["--max-flows", "20", "--format", "table"],
    &["--flow-idle-timeout", "30s"],
    &[
        "--flow-idle-timeout",
        "30s",
        "--max-flows",
        "20",
        "--max-idle-flows",
        "5",
    ],
    &[
        "--flow-idle-timeout",
        "1h",
        "--max-flows",
        "40",
        "--max-idle-flows",
        "0",
    ],
    &["--listen-port", "37008"],
    &["--listen-port", "9"],
    &["--plain", "--ipv6", "--max-flows", "30"],
    &[
        "--ipv6",
        "--prefix-length",
        "private=24",
        "--max-flows",
        "30",
    ],
    &[
        "--format",
        "openmetrics",
        "--every",
        "1h",
        "--max-flows",
        "20",
    ],
    &["--format", "none"],
];

#[test]
fn damaged_captures_give_the_same_result_with_all_options() {
    let directory = inputs();
    for options in OPTIONS {
        let (_, problems, _) = check(directory.path(), options, &["damaged"], "");
        assert!(problems.contains("damaged at byte"), "{problems}");
    }
}

#[test]
fn the_result_is_the_same_with_each_set_of_labels() {
    let directory = inputs();
    let all = Label::ALL.map(Label::name).join(",");
    for labels in Label::ALL.map(Label::name).into_iter().chain([&all[..]]) {
        for limit in ["3", "1000000"] {
            let options = ["--labels", labels, "--max-flows", limit, "--ipv6"];
            check(directory.path(), &options, &["whole"], "");
        }
    }
}

#[test]
fn the_result_is_the_same_for_several_files_and_pipes() {
    let directory = inputs();
    let inputs: [(&[&str], &str); 9] = [
        (&["whole", "damaged", "other"], ""),
        (
            &[
                "damaged", "short", "text", "missing", "cut", "empty", "whole",
            ],
            "",
        ),
        (&["whole", "./whole", "other", "whole"], ""),
        (&["whole", ".", "other"], ""),
        (&["-"], "damaged"),
        (&["-", "other", "short"], "cut.gzip"),
        (&["other", "-", "whole"], "damaged"),
        (
            &["whole.gzip", "cut.zstd", "other", "cut.gzip", "whole.lz4"],
            "",
        ),
        (&["cut.lz4"], ""),
    ];
    for (files, piped) in inputs {
        for options in [OPTIONS[0], OPTIONS[2], OPTIONS[6]] {
            check(directory.path(), options, files, piped);
        }
    }
}

#[test]
fn one_file_counts_completely_with_several_threads() {
    let directory = inputs();
    let frames = walk(&fs::read(directory.path().join("whole")).unwrap())
        .0
        .len();
    let (output, problems, code) = check(directory.path(), &[], &["whole"], "");
    assert_eq!((problems.as_str(), code), ("", Some(0)));
    let scrape = Scrape::parse(&output);
    assert_eq!(scrape.value("tzsp_frames_received_total"), frames as f64);
    scrape.assert_every_frame_is_accounted_for();
    for packed in ["whole.gzip", "whole.zstd", "whole.lz4"] {
        assert!(check(directory.path(), &[], &[packed], "").0 == output);
    }
}

/// As with `head`: the reader of the pipe ends early.
#[test]
fn a_closed_pipe_on_output_ends_all_threads() {
    let directory = TempDir::new().unwrap();
    let file: PathBuf = directory.path().join("capture");
    fs::write(&file, long_capture(5)).unwrap();
    for jobs in JOBS {
        let mut command = command(PROGRAM);
        let full = File::options().write(true).open("/dev/full").unwrap();
        let command = command.args(["analyze", "--jobs", jobs]).arg(&file);
        let output = command.stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command.stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}
