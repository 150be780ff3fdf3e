//! Parse, run, report: the only printing and the only exit codes.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use anyhow::Context;
use tzsp_packetstream_exporter::aggregator::Settings;
use tzsp_packetstream_exporter::analyze::Stop;
use tzsp_packetstream_exporter::capture::leash;
use tzsp_packetstream_exporter::cli::{self, ANALYZED_FLOWS, Leashed, Task};
use tzsp_packetstream_exporter::{analyze, live, memory, panics};

/// Standard error is for problems and warnings. If nobody takes them, the work goes on.
macro_rules! complain {
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
        Task::RunLeashed(leashed) => return run_leashed(&leashed),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns only if the program cannot be run, with the status that a shell would end with.
fn run_leashed(leashed: &Leashed) -> ExitCode {
    let Leashed {
        parent,
        program,
        arguments,
    } = leashed;
    let error = leash::become_leashed(*parent, program, arguments);
    complain!("cannot run {}: {error}", program.display());
    ExitCode::from(if error.kind() == io::ErrorKind::NotFound {
        leash::STATUS_NOT_FOUND
    } else {
        leash::STATUS_NOT_RUNNABLE
    })
}

fn print_analysis(options: analyze::Options, settings: Settings) -> anyhow::Result<()> {
    match memory::check(&settings.limits) {
        Ok(None) => {}
        Ok(Some(warning)) => complain!("warning: {warning}"),
        // Few captures have so many flows.
        Err(refusal) if settings.limits.flows == ANALYZED_FLOWS => complain!("warning: {refusal}"),
        Err(refusal) => return Err(refusal.into()),
    }
    let stop = Stop::on_signals().context("cannot watch for signals")?;
    let mut out = BufWriter::new(io::stdout().lock());
    let report = analyze::run(options, settings, &stop, &mut out);
    // What the buffer still holds cannot be written: the report says why.
    let _ = out.into_parts();
    let (warnings, errors): (Vec<_>, Vec<_>) = report
        .problems
        .into_iter()
        .partition(analyze::Problem::is_warning);
    for warning in warnings {
        complain!("warning: {warning}");
    }
    if let Some(warning) = report.not_written {
        complain!("warning: {warning}");
    }
    if let Some(warning) = report.limit_reached {
        complain!("warning: {warning}");
    }
    if let Some(warning) = report.silence {
        complain!("warning: {warning}");
    }
    if stop.is_requested() {
        complain!("warning: interrupted: the output is of what was read until then");
    }
    if let Some(survey) = report.nothing_counted {
        complain!("warning: {survey}");
    }
    let errors = errors.into_iter().map(anyhow::Error::from);
    let failure = report.failure.filter(|failure| !failure.is_closed_pipe());
    let mut errors: Vec<_> = errors
        .chain(report.cannot_write.map(anyhow::Error::from))
        .chain(failure.map(anyhow::Error::from))
        .collect();
    let Some(last) = errors.pop() else {
        return Ok(());
    };
    for error in errors {
        complain!("error: {error:#}");
    }
    Err(last)
}
