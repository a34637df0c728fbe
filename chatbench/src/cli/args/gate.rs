//! The command line of everything that compares runs.

use std::ffi::OsString;
use std::path::PathBuf;

use chatbench_result::capacity::Vary;
use clap::Args as ClapArgs;

use crate::cli::args::words;
use chatbench_result::compare::rules::{Rules, Wanted, percent};

const COMPARE_EXAMPLES: &str = "\
Examples:
  chatbench compare --base a1.json a2.json a3.json a4.json a5.json --head b*.json
  chatbench compare baseline.json --head b*.json --metric 'e2e_time:p(99)=10%' --fail-on-regression
  chatbench compare monday.baseline.json tuesday.baseline.json --out comparison.html

A metric is regressed or improved when its p value, corrected for the number of metrics, is at most
0.05, the interval leaves out 1, and the ratio is as far from 1 as --min-effect; unchanged when the
whole interval is nearer to 1 than that; else inconclusive. Each side needs 5 rounds.

Exit codes: 0 compared, 1 a file cannot be read, 2 usage or rounds that cannot be compared,
96 no valid round on a side, 98 regressed (with --fail-on-regression only)";

const AB_EXAMPLES: &str = "\
Examples:
  chatbench ab --a http://127.0.0.1:8080 --b http://127.0.0.1:8081 -- broadcast --clients 200
  chatbench ab --a http://old:8080 --b http://new:8080 --fail-on-regression=10% -- unicast
  chatbench ab --a URL --b URL --out comparison.md -- broadcast --duration 10s --out round.json

Rounds take turns (A B B A A B B A …), so that what the machine does meanwhile meets both sides.
A round that is no measurement is played again, at most 2 x --rounds times in all. What follows --
is any scenario with its options; its --out files get the round into their names (round.a1.json).

Exit codes: 0 compared, 1 could not run, 2 usage, 96 no valid round on a side, 97 an invariant broke,
98 regressed (with --fail-on-regression only), 99 a threshold failed, 130 interrupted";

const CAPACITY_EXAMPLES: &str = "\
Examples:
  chatbench capacity -- broadcast --clients 500 --duration 5s --threshold 'e2e_time:p(99)<50ms'
  chatbench capacity --from 1000 --max 20000 -- unicast --clients 500 --threshold 'ack_time:p(99)<20ms'
  chatbench capacity --vary clients --from 100 -- broadcast --rate 10/s --threshold 'fanout_time:p(99)<100ms'

The level doubles until a round fails, then the gap between the highest that held and the lowest
that failed is halved until it is within --precision. Of three rounds at a level two decide; the
answer held in two. When the generator cannot offer more, the answer is \"at least\".

Exit codes: 0 found, 1 could not run, 2 usage, 96 the generator was saturated before any level held,
97 messages were lost, doubled or out of order, 99 no level held, 130 interrupted";

/// Options of a scenario about repeating it and comparing it with what was before.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct GateArgs {
    /// How often to run; with more than one, --out files get the number into their names (result.1.json), and a run that
    /// is no measurement is repeated, at most this often in all
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    /// Compare with the rounds in this file
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Write the rounds to the --baseline file instead of comparing with it
    #[arg(long, requires = "baseline")]
    pub save_baseline: bool,
    /// Exit 98 when a metric is worse than the baseline by this much, 5% without a number
    #[arg(long, value_name = "PERCENT", num_args = 0..=1, require_equals = true, value_parser = percent,
          requires = "baseline", conflicts_with = "save_baseline")]
    pub fail_on_regression: Option<Option<f64>>,
    /// Write the comparison to this .json, .md or .html file (repeatable)
    #[arg(long, value_name = "FILE", requires = "baseline", conflicts_with = "save_baseline")]
    pub comparison: Vec<PathBuf>,
}

/// How to compare.
#[derive(Debug, Clone, ClapArgs)]
pub struct RuleArgs {
    /// Metric that decides, named as in --threshold, with its own smallest effect if need be (repeatable); by default
    /// the times and costs that fit the scenario
    #[arg(long = "metric", value_name = "NAME[=PERCENT]")]
    pub metrics: Vec<Wanted>,
    /// Smallest change that matters
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = percent)]
    pub min_effect: f64,
    /// Seed of the bootstrap
    #[arg(long = "bootstrap-seed", value_name = "SEED", default_value_t = 1)]
    pub seed: u64,
    /// Exit 98 when a metric regressed; a number takes the place of --min-effect
    #[arg(long, value_name = "PERCENT", num_args = 0..=1, require_equals = true, value_parser = percent)]
    pub fail_on_regression: Option<Option<f64>>,
    /// Write the comparison to this .json, .md or .html file (repeatable)
    #[arg(long, value_name = "FILE")]
    pub out: Vec<PathBuf>,
    /// Print the verdict only
    #[arg(short, long)]
    pub quiet: bool,
}

/// Options of `compare`.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = COMPARE_EXAMPLES)]
pub struct CompareArgs {
    /// Results or baselines: the base, then the head
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Results or baselines to compare with
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub base: Vec<PathBuf>,
    /// Results or baselines to compare
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub head: Vec<PathBuf>,
    /// Compare although the settings differ, with a warning
    #[arg(long)]
    pub force: bool,
    /// How.
    #[command(flatten)]
    pub rules: RuleArgs,
}

/// Options of `ab`.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = AB_EXAMPLES)]
pub struct AbArgs {
    /// Addresses of the server to compare with
    #[arg(long, value_name = "URL[,URL…]", value_delimiter = ',', required = true)]
    pub a: Vec<chat_client::Server>,
    /// Addresses of the server to compare
    #[arg(long, value_name = "URL[,URL…]", value_delimiter = ',', required = true)]
    pub b: Vec<chat_client::Server>,
    /// What A is called
    #[arg(long, default_value = "A", value_name = "NAME")]
    pub a_name: String,
    /// What B is called
    #[arg(long, default_value = "B", value_name = "NAME")]
    pub b_name: String,
    /// Process id of A on this host, as --pid of a scenario (repeatable)
    #[arg(long, value_name = "PID")]
    pub a_pid: Vec<i32>,
    /// Process id of B (repeatable)
    #[arg(long, value_name = "PID")]
    pub b_pid: Vec<i32>,
    /// Rounds of each side
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// How.
    #[command(flatten)]
    pub rules: RuleArgs,
    /// The scenario of every round, with its options
    #[arg(last = true, required = true, value_name = "SCENARIO")]
    pub scenario: Vec<OsString>,
}

/// Options of `capacity`.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = CAPACITY_EXAMPLES)]
pub struct CapacityArgs {
    /// What to raise
    #[arg(long, default_value = "rate", value_parser = words::vary())]
    pub vary: Vary,
    /// The first level
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub from: u32,
    /// The highest level
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub max: u32,
    /// How near to the limit the answer must be
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = percent)]
    pub precision: f64,
    /// Most rounds
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Write the search to this .json file (repeatable)
    #[arg(long, value_name = "FILE")]
    pub out: Vec<PathBuf>,
    /// Print the answer only
    #[arg(short, long)]
    pub quiet: bool,
    /// The scenario of every round, with its options and at least one --threshold
    #[arg(last = true, required = true, value_name = "SCENARIO")]
    pub scenario: Vec<OsString>,
}

impl GateArgs {
    /// Whether the run is one of several or is compared with others.
    pub fn is_used(&self) -> bool {
        self.runs > 1 || self.baseline.is_some()
    }

    /// The rules it stands for.
    pub fn rules(&self) -> RuleArgs {
        RuleArgs {
            metrics: Vec::new(),
            min_effect: 0.05,
            seed: 1,
            fail_on_regression: self.fail_on_regression,
            out: self.comparison.clone(),
            quiet: false,
        }
    }
}

impl RuleArgs {
    /// How to compare.
    pub fn rules(&self) -> Rules {
        let min_effect = self.fail_on_regression.flatten().unwrap_or(self.min_effect);
        Rules { metrics: self.metrics.clone(), min_effect, seed: self.seed }
    }
}
