//! Compares the instruction counts of `cargo bench --bench instructions` with the figures that are
//! kept in the repository, so that no change makes the fast path slower unnoticed.

use std::fmt::{self, Write};
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use clap::Args;

use crate::project::{cargo, root};
use crate::tools::{self, Tool};

/// The figures of the last update.
const KEPT: &str = "benches/instructions.txt";

/// The largest accepted figure, as a multiple of the kept one. Unrelated changes can make the
/// compiler inline differently, which costs or saves a few instructions.
const LIMIT: f64 = 1.03;

const UPDATE: &str = "cargo xtask instructions --update";

pub(crate) const VALGRIND: Tool = Tool::new("valgrind", "--version", "valgrind");

#[derive(Args)]
pub(crate) struct Options {
    /// Write the measured figures to benches/instructions.txt instead of comparing them with it
    #[arg(long)]
    pub(crate) update: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    tools::ensure(&[VALGRIND])?;
    let path = root().join(KEPT);
    let measured = measure()?;
    if options.update {
        return fs::write(&path, measured.to_string()).with_context(|| format!("writing {KEPT}"));
    }
    let text = fs::read_to_string(&path).with_context(|| format!("reading {KEPT}"))?;
    let kept = Figures::parse(&text).with_context(|| format!("parsing {KEPT}"))?;
    print!("{}", side_by_side(&kept, &measured));
    check(&kept, &measured)
}

/// Runs the benchmark.
fn measure() -> anyhow::Result<Figures> {
    let output = cargo()
        .args(["bench", "--locked", "--bench", "instructions"])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    let printed = String::from_utf8(output.stdout).context("reading the figures")?;
    if !output.status.success() {
        bail!("cargo bench ended with {}", output.status);
    }
    // The last line is the path of the profiles.
    let lines = printed.lines().filter(|line| line.contains(SEPARATOR));
    Ok(Figures {
        compiler: compiler()?,
        figures: lines.map(Figure::parse).collect::<anyhow::Result<_>>()?,
    })
}

/// Returns the version of rustc and the platform that it compiles for.
fn compiler() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("-vV").output();
    let text = String::from_utf8(output.context("cannot run rustc")?.stdout)?;
    let mut lines = text.lines();
    let version = lines.next().context("rustc prints no version")?;
    let host = lines.find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc names no host")?;
    Ok(format!("{version} for {host}"))
}

/// Returns the measured figures, each with its change since it was kept.
fn side_by_side(kept: &Figures, measured: &Figures) -> String {
    let mut text = String::new();
    for figure in &measured.figures {
        let _ = match kept.named(&figure.name) {
            Some(before) => writeln!(text, "{figure} ({:+.1} %)", figure.growth(before)),
            None => writeln!(text, "{figure} (new)"),
        };
    }
    text
}

/// Checks that no figure exceeds the limit, and that the same figures are kept and measured.
fn check(kept: &Figures, measured: &Figures) -> anyhow::Result<()> {
    if kept.compiler != measured.compiler {
        println!(
            "not checked: {KEPT} is from {}, and another compiler ({}) generates other code",
            kept.compiler, measured.compiler
        );
        return Ok(());
    }
    let mut problems = String::new();
    for figure in &measured.figures {
        let name = &figure.name;
        let _ = match kept.named(name) {
            None => writeln!(problems, "{name}: missing in {KEPT}"),
            Some(before) if figure.instructions > before.instructions * LIMIT => writeln!(
                problems,
                "{name}: {:.1} instructions {}, which was {:.1} ({:+.1} %; at most +3 % is accepted)",
                figure.instructions,
                figure.unit,
                before.instructions,
                figure.growth(before)
            ),
            Some(_) => Ok(()),
        };
    }
    for figure in &kept.figures {
        if measured.named(&figure.name).is_none() {
            let _ = writeln!(problems, "{}: in {KEPT}, but not measured", figure.name);
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    bail!(
        "{problems}benches/instructions.rs says how to find the functions that cost more. To accept \
         the new figures, run {UPDATE} and commit {KEPT} with the reason"
    )
}

/// Separates the number of a figure from its unit.
const SEPARATOR: &str = " instructions ";

/// The number of instructions of one part of the fast path.
#[derive(Debug, Clone, PartialEq)]
struct Figure {
    name: String,
    instructions: f64,
    unit: String,
}

impl Figure {
    /// Parses a line of the benchmark's output.
    fn parse(line: &str) -> anyhow::Result<Self> {
        let parts = line.split_once(SEPARATOR).and_then(|(front, unit)| {
            let (name, number) = front.rsplit_once(' ')?;
            Some((name.trim_end(), number.parse().ok()?, unit))
        });
        let (name, instructions, unit) = parts.with_context(|| format!("not a figure: {line}"))?;
        Ok(Self {
            name: name.to_owned(),
            instructions,
            unit: unit.to_owned(),
        })
    }

    /// Returns by how many percent this figure is larger than `before`.
    fn growth(&self, before: &Self) -> f64 {
        (self.instructions / before.instructions - 1.0) * 100.0
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            instructions,
            unit,
        } = self;
        write!(f, "{name:<34} {instructions:>7.1}{SEPARATOR}{unit}")
    }
}

/// All figures of one compiler.
#[derive(Debug, Clone, PartialEq)]
struct Figures {
    compiler: String,
    figures: Vec<Figure>,
}

impl Figures {
    /// Parses the text that `Display` writes.
    fn parse(text: &str) -> anyhow::Result<Self> {
        let (compiler, figures) = text.split_once('\n').context("the compiler is missing")?;
        Ok(Self {
            compiler: compiler.to_owned(),
            figures: figures
                .lines()
                .map(Figure::parse)
                .collect::<anyhow::Result<_>>()?,
        })
    }

    fn named(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.compiler)?;
        for figure in &self.figures {
            writeln!(f, "{figure}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT_FIGURES: &str = "\
rustc 1.95.0 (59807616e 2026-04-14) for x86_64-unknown-linux-gnu
decode_fast                          100.0 instructions a frame
write_analysis, sorting included    1000.0 instructions a flow
";

    fn kept() -> Figures {
        Figures::parse(KEPT_FIGURES).expect("two figures")
    }

    fn with_first(instructions: f64) -> Figures {
        let mut figures = kept();
        figures.figures[0].instructions = instructions;
        figures
    }

    fn failure(kept: &Figures, measured: &Figures) -> String {
        let error = check(kept, measured).expect_err("it must fail");
        let text = error.to_string();
        assert!(text.contains("cargo xtask instructions --update"), "{text}");
        text.lines().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn figures_are_kept_as_the_benchmark_prints_them() {
        assert_eq!(kept().to_string(), KEPT_FIGURES);
        // A line of the benchmark's output.
        let line = "write_analysis, sorting included    1000.0 instructions a flow";
        let figure = Figure::parse(line).expect("a figure");
        assert_eq!(
            Some(&figure),
            kept().named("write_analysis, sorting included")
        );
        assert!(Figure::parse("/tmp/callgrind.*.out").is_err());
    }

    #[test]
    fn three_percent_more_is_accepted_and_any_less() {
        for instructions in [1.0, 99.0, 100.0, 103.0] {
            assert!(check(&kept(), &with_first(instructions)).is_ok());
        }
        assert_eq!(
            failure(&kept(), &with_first(103.1)),
            "decode_fast: 103.1 instructions a frame, which was 100.0 (+3.1 %; at most +3 % is accepted)"
        );
    }

    #[test]
    fn the_same_figures_must_be_kept_and_measured() {
        let mut fewer = kept();
        fewer.figures.pop();
        assert_eq!(
            failure(&kept(), &fewer),
            "write_analysis, sorting included: in benches/instructions.txt, but not measured"
        );
        assert_eq!(
            failure(&fewer, &kept()),
            "write_analysis, sorting included: missing in benches/instructions.txt"
        );
    }

    #[test]
    fn figures_of_another_compiler_are_not_checked() {
        let mut other = with_first(200.0);
        other.compiler = "rustc 1.99.0 for x86_64-unknown-linux-gnu".to_owned();
        assert!(check(&kept(), &other).is_ok());
    }

    #[test]
    fn each_figure_is_shown_with_its_change() {
        let mut measured = with_first(99.0);
        measured.figures[1].name = "other".to_owned();
        assert_eq!(
            side_by_side(&kept(), &measured),
            "\
decode_fast                           99.0 instructions a frame (-1.0 %)
other                               1000.0 instructions a flow (new)
"
        );
    }
}
