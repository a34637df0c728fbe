//! Why a run did not take place, and what to do about it.

/// A reason to stop before there is anything to report.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line asks for something that cannot be (exit 2).
    #[error("{0}")]
    Usage(String),
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

impl Failure {
    /// A failure with its next step.
    pub fn could_not_run(cause: impl ToString, next: impl ToString) -> Self {
        Failure::CouldNotRun { cause: cause.to_string(), next: next.to_string() }
    }

    /// The exit code that says so.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::CouldNotRun { .. } => 1,
            Failure::Invalid(_) => 96,
        }
    }
}
