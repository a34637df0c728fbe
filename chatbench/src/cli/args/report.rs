//! The command line of `report`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

const EXAMPLES: &str = "\
Examples:
  chatbench report result.json --out report.html --out report.md
  chatbench report result.json --out times.e2e_time.hgrm --out course.csv
  chatbench report a1.json a2.json a3.json --out rounds.html
  chatbench report result.json --comparison comparison.json --out report.html --out report.junit.xml
  chatbench report result.json --step-summary

Without --out and --step-summary the Markdown goes to stdout.

Endings of --out:
  .json       the result itself; of one result only
  .csv        the course of the run, a row for each interval
  .hgrm       one distribution by percentile, in ms, for HdrHistogramPlotter; of the response times, or of the
              time in the file's name, such as x.ack_time.hgrm; several results are added
  .hlog       every distribution, in us, as an HdrHistogram interval log with the metric as tag
  .junit.xml  a test case for each threshold, each promise of the ledger and each compared metric
  .md         a summary in Markdown
  .html       a report with charts, in one file that loads nothing

Exit codes: 0 written, 1 a file cannot be read or written, 2 usage or a file that is no result";

/// Options of `report`.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub struct ReportArgs {
    /// Results or baselines, in the order they are shown
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Comparison to show with them, as compare, ab or --comparison wrote it to a .json file
    #[arg(long, value_name = "FILE")]
    pub comparison: Option<PathBuf>,
    /// Write to this file, in the format of its ending (repeatable)
    #[arg(long, value_name = "FILE")]
    pub out: Vec<PathBuf>,
    /// Add the Markdown to the file named by $GITHUB_STEP_SUMMARY
    #[arg(long)]
    pub step_summary: bool,
}
