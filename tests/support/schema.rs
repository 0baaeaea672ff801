use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::Value;

/// A format that smbench writes and that has a schema in `schema/`.
#[derive(Clone, Copy, Debug)]
pub enum Format {
    /// `summary.json`.
    Summary,
    /// A line of `ops.jsonl`.
    OperationLog,
    /// The output of `smbench targets probe --json`.
    Probe,
    /// The output of `smbench targets list --json`.
    Targets,
    /// The output of `smbench scan`.
    Tree,
    /// The output of `smbench scripts list --json`.
    Scripts,
    /// The output of `smbench run --explain --json`.
    Explanation,
    /// The output of `smbench lib list --json`.
    Libraries,
}

impl Format {
    /// Returns every place where `value` departs from the schema, and how.
    pub fn errors(self, value: &Value) -> Vec<String> {
        let validator = self.validator();
        // This is much faster than a search for errors, and nearly always true.
        if validator.is_valid(value) {
            return Vec::new();
        }
        let described =
            validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path()));
        described.collect()
    }

    /// Checks that `value` is as the schema says.
    ///
    /// # Panics
    /// If it is not.
    pub fn check(self, value: &Value) {
        let errors = self.errors(value);
        assert!(errors.is_empty(), "{self:?}: {errors:#?} in {value:#}");
    }

    /// Returns the compiled schema. It is compiled once in a process.
    fn validator(self) -> &'static Validator {
        static VALIDATORS: [OnceLock<Validator>; 8] = [const { OnceLock::new() }; 8];
        let text = match self {
            Format::Summary => include_str!("../../schema/summary.schema.json"),
            Format::OperationLog => include_str!("../../schema/ops.schema.json"),
            Format::Probe => include_str!("../../schema/probe.schema.json"),
            Format::Targets => include_str!("../../schema/targets.schema.json"),
            Format::Tree => include_str!("../../schema/tree.schema.json"),
            Format::Scripts => include_str!("../../schema/scripts.schema.json"),
            Format::Explanation => include_str!("../../schema/explanation.schema.json"),
            Format::Libraries => include_str!("../../schema/libraries.schema.json"),
        };
        VALIDATORS[self as usize].get_or_init(|| {
            let schema = serde_json::from_str(text).expect("a schema is JSON");
            jsonschema::validator_for(&schema).expect("it is a schema")
        })
    }
}
