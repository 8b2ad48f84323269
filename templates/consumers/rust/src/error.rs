//! What can go wrong.

use std::fmt;

/// A failure, by what the caller can do about it. The text is three lines: what is wrong, what it means, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The model or the runtime raised an error.
    Failed(String),
    /// An argument or an input does not fit the call: count, name, dtype, rank, size, device.
    Usage(String),
    /// The model does not fit this bundle or machine type.
    ModelMismatch(String),
    /// A file of the model is missing, truncated or malformed.
    Damaged(String),
    /// This machine cannot run it: CPU features, driver, device, libc.
    MachineMismatch(String),
}

impl Error {
    /// From a status of the C API that is not `AOT_OK`.
    pub(crate) fn from_status(status: i32, message: String) -> Self {
        match status {
            2 => Self::Usage(message),
            5 => Self::ModelMismatch(message),
            6 => Self::Damaged(message),
            7 => Self::MachineMismatch(message),
            _ => Self::Failed(message),
        }
    }

    /// A [`Error::Usage`] of three lines.
    #[must_use]
    pub fn usage(what: &str, meaning: &str, fix: &str) -> Self {
        Self::Usage(format!("{what}\n{meaning}\n{fix}"))
    }

    /// The code a program should exit with: the same classes as aotpack's own tools.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::ModelMismatch(_) => 5,
            Self::Damaged(_) => 6,
            Self::MachineMismatch(_) => 7,
        }
    }

    /// The three lines.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Failed(message)
            | Self::Usage(message)
            | Self::ModelMismatch(message)
            | Self::Damaged(message)
            | Self::MachineMismatch(message) => message,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.message())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::Error;

    #[test]
    fn statuses_and_exit_codes_are_the_same_numbers() {
        for status in [1, 2, 5, 6, 7] {
            let error = Error::from_status(status, String::from("what\nmeaning\nfix"));
            assert_eq!(i32::from(error.exit_code()), status);
            assert_eq!(error.to_string(), "what\nmeaning\nfix");
        }
    }

    #[test]
    fn a_status_of_a_newer_library_is_a_failure() {
        assert_eq!(Error::from_status(99, String::new()).exit_code(), 1);
    }
}
