//! The parameters that a script is given from outside.

use super::options::ScriptOptions;

/// The parameters that a script is given, by the command line or by a test.
#[derive(Clone, Debug, Default)]
pub(super) struct GivenParameters {
    /// The names and values, in order. If a name is given twice, the later value counts.
    pub values: Vec<(String, String)>,
    /// Whether a test gave them. A test is a script itself, so it must not reach more files through
    /// a parameter than a script does.
    pub by_test: bool,
}

impl GivenParameters {
    pub fn of(options: &ScriptOptions) -> GivenParameters {
        GivenParameters { values: options.params.clone(), by_test: options.test.is_some() }
    }

    /// Returns whether the user gave this path on the command line, so that it may name any file.
    pub fn trusts(&self, path: &str) -> bool {
        !self.by_test && self.values.iter().any(|(_, value)| value == path)
    }
}
