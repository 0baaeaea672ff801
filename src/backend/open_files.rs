//! The limit of open files. Each connection takes one, or two if the server is in this process.

use rustix::process::{Resource, getrlimit, setrlimit};

/// The error that the limit of open files cannot be raised to what the run needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this run needs {needed} open files and the limit is {limit}: raise it with `ulimit -n {needed}`{}",
    if *limit_is_hard { " as root, or use fewer clients" } else { "" }
)]
pub struct OpenFileLimit {
    pub needed: u64,
    pub limit: u64,
    /// Whether the limit is the hard limit, which only root may raise.
    pub limit_is_hard: bool,
}

/// Raises this process's soft limit of open files to `needed`, where it is lower.
///
/// # Errors
/// [`OpenFileLimit`] when the hard limit is below `needed`; names the command that helps.
pub fn raise_open_file_limit(needed: u64) -> Result<(), OpenFileLimit> {
    let mut limit = getrlimit(Resource::Nofile);
    // None means that there is no limit.
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let hard = limit.maximum;
    if let Some(hard) = hard.filter(|hard| *hard < needed) {
        return Err(OpenFileLimit { needed, limit: hard, limit_is_hard: true });
    }
    let before = limit.current;
    limit.current = Some(needed);
    setrlimit(Resource::Nofile, limit).map_err(|_| OpenFileLimit {
        needed,
        limit: before.unwrap_or(u64::MAX),
        limit_is_hard: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_rises_to_what_is_needed_and_never_falls() {
        let before = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        raise_open_file_limit(16).unwrap();
        assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), before);
        if let Some(hard) = getrlimit(Resource::Nofile).maximum {
            raise_open_file_limit(hard).unwrap();
            assert_eq!(getrlimit(Resource::Nofile).current, Some(hard));
            let error = raise_open_file_limit(hard + 1).unwrap_err();
            assert!(error.to_string().contains(&format!("ulimit -n {}", hard + 1)), "{error}");
        }
    }
}
