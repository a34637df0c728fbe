//! Why a run did not take place, and what to do about it.

use chatbench_result::compare::rules::Incomparable;

/// A reason to stop before there is anything to report.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line asks for something that cannot be (exit 2).
    #[error("{0}")]
    Usage(String),
    /// The operator stopped it (exit 130).
    #[error("stopped before there was anything to report")]
    Stopped,
    /// What there is, is no measurement (exit 96).
    #[error("{0}")]
    Invalid(String),
    /// The server or this machine did not play along (exit 1).
    #[error("{cause}\n  next: {next}")]
    CouldNotRun {
        /// What happened.
        cause: String,
        /// What the operator can do.
        next: String,
    },
}

impl From<Incomparable> for Failure {
    fn from(why: Incomparable) -> Self {
        match why {
            Incomparable::Different(why) => Failure::Usage(why),
            Incomparable::NothingValid(why) => Failure::Invalid(why),
        }
    }
}

impl Failure {
    /// A failure with its next step.
    pub fn could_not_run(cause: impl ToString, next: impl ToString) -> Self {
        Failure::CouldNotRun { cause: cause.to_string(), next: next.to_string() }
    }

    /// In one line, as the reason of a result.
    pub fn reason(&self) -> String {
        match self {
            Failure::CouldNotRun { cause, next } => format!("{cause}; next: {next}"),
            other => other.to_string(),
        }
    }

    /// Whether a run that had begun has a result all the same, which says how it ended.
    pub fn leaves_a_result(&self) -> bool {
        matches!(self, Failure::CouldNotRun { .. } | Failure::Stopped)
    }

    /// The exit code that says so.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::CouldNotRun { .. } => 1,
            Failure::Stopped => 130,
            Failure::Invalid(_) => 96,
        }
    }
}
