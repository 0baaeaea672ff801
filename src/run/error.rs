//! The error of a run that did not take place.

use crate::backend::registry::OpenTargetError;
use crate::observability::exit::{ExitReason, exit_code};

/// The reason why nothing was measured, and the exit code for it.
#[derive(Debug)]
pub struct RunError {
    pub reason: ExitReason,
    pub error: anyhow::Error,
}

impl RunError {
    pub fn new(reason: ExitReason, error: impl Into<anyhow::Error>) -> RunError {
        RunError { reason, error: error.into() }
    }

    /// Returns an error of the script, the document or the command line.
    pub fn invalid(error: impl Into<anyhow::Error>) -> RunError {
        RunError::new(ExitReason::Invalid, error)
    }

    /// Returns an error of this program, or of the host it runs on.
    pub fn internal(error: impl Into<anyhow::Error>) -> RunError {
        RunError::new(ExitReason::InternalError, error)
    }

    /// Returns whether the reader of the output has closed the pipe.
    pub fn is_broken_pipe(&self) -> bool {
        self.error.chain().any(|cause| {
            let io = cause.downcast_ref::<std::io::Error>();
            io.is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
        })
    }

    pub fn exit_code(&self) -> u8 {
        exit_code(&[self.reason])
    }
}

/// Writes the error and its causes, each once: many errors already contain their cause.
impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut said = String::new();
        for cause in self.error.chain().map(ToString::to_string) {
            if !said.contains(&cause) {
                said += if said.is_empty() { "" } else { ": " };
                said += &cause;
            }
        }
        f.write_str(&said)
    }
}

impl std::error::Error for RunError {}

impl From<OpenTargetError> for RunError {
    fn from(error: OpenTargetError) -> RunError {
        match error {
            OpenTargetError::PasswordMissing { .. } => RunError::invalid(error),
            OpenTargetError::Embedded(_) => RunError::new(ExitReason::Unreachable, error),
        }
    }
}
