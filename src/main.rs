//! Parses the command line, runs the task and reports errors: the only place that prints them and
//! chooses exit codes.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use anyhow::Context;
use tzsp_packetstream_exporter::aggregator::Settings;
use tzsp_packetstream_exporter::analyze::Stop;
use tzsp_packetstream_exporter::capture::tshark::child;
use tzsp_packetstream_exporter::cli::{self, ANALYZED_FLOWS, ChildCommand, Task};
use tzsp_packetstream_exporter::memory::{self, TableSize};
use tzsp_packetstream_exporter::{analyze, geo, live, panics};

/// Prints a problem or warning to standard error. A failure to write it is ignored, so that the
/// work goes on if standard error is closed.
macro_rules! print_problem {
    ($($words:tt)*) => {{
        let _ = writeln!(io::stderr(), $($words)*);
    }};
}

fn main() -> ExitCode {
    panics::end_the_process();
    // clap prints its own errors and ends with status 2.
    let task = cli::task(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let result = match task {
        Task::Live(options, settings) => live::run(options, settings).map_err(anyhow::Error::from),
        Task::Analyze(options, settings) => print_analysis(options, settings),
        Task::RunChild(command) => return run_child(&command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_problem!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Replaces this process with the program. Returns only if that fails, with the exit status that a
/// shell would use.
fn run_child(command: &ChildCommand) -> ExitCode {
    let ChildCommand {
        parent,
        program,
        arguments,
    } = command;
    let error = child::exec(*parent, program, arguments);
    print_problem!("cannot run {}: {error}", program.display());
    ExitCode::from(if error.kind() == io::ErrorKind::NotFound {
        child::STATUS_NOT_FOUND
    } else {
        child::STATUS_NOT_RUNNABLE
    })
}

fn print_analysis(options: analyze::Options, settings: Settings) -> anyhow::Result<()> {
    let size = TableSize::of(&settings)
        .with_names(!options.names.is_empty())
        .with_databases(geo::total_size(&options.geo_databases));
    match memory::check(size) {
        Ok(None) => {}
        Ok(Some(warning)) => print_problem!("warning: {warning}"),
        // The default limit may exceed a small machine's memory, but few captures have so many
        // flows.
        Err(refusal) if settings.limits.flows == ANALYZED_FLOWS => {
            print_problem!("warning: {refusal}");
        }
        Err(refusal) => return Err(refusal.into()),
    }
    let stop = Stop::on_signals().context("cannot watch for signals")?;
    let mut out = BufWriter::new(io::stdout().lock());
    let report = analyze::run(options, settings, &stop, &mut out);
    // Discards what the buffer still holds: it could not be written, and the report has the error.
    let _ = out.into_parts();
    let (warnings, errors): (Vec<_>, Vec<_>) = report
        .problems
        .into_iter()
        .partition(analyze::Problem::is_warning);
    for warning in warnings {
        print_problem!("warning: {warning}");
    }
    if let Some(warning) = report.not_written {
        print_problem!("warning: {warning}");
    }
    if let Some(warning) = report.limit_reached {
        print_problem!("warning: {warning}");
    }
    if let Some(warning) = report.host_limit_reached {
        print_problem!("warning: {warning}");
    }
    if let Some(warning) = report.silence {
        print_problem!("warning: {warning}");
    }
    if stop.is_requested() {
        print_problem!("warning: interrupted: the output is of what was read until then");
    }
    if let Some(survey) = report.nothing_counted {
        print_problem!("warning: {survey}");
    }
    let errors = errors.into_iter().map(anyhow::Error::from);
    let failure = report.failure.filter(|failure| !failure.is_closed_pipe());
    let mut errors: Vec<_> = errors
        .chain(report.cannot_write.map(anyhow::Error::from))
        .chain(report.cannot_look_up.map(anyhow::Error::from))
        .chain(failure.map(anyhow::Error::from))
        .collect();
    let Some(last) = errors.pop() else {
        return Ok(());
    };
    for error in errors {
        print_problem!("error: {error:#}");
    }
    Err(last)
}
