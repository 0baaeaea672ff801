//! The parameters that a script is given from outside.

use super::error::ScriptError;
use super::options::{ProfileParameter, ScriptOptions};
use super::parameter_file::{FileValue, ParameterFile};

/// The parameters that a script is given, by the command line or by a test.
#[derive(Clone, Debug, Default)]
pub(super) struct GivenParameters {
    /// The parameters in order. If a name is given twice, the later value counts.
    pub values: Vec<GivenParameter>,
    /// Whether a test gave them. A test is a script itself, so it must not reach more files through
    /// a parameter than a script does.
    pub by_test: bool,
}

/// A value of a parameter, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenParameter {
    pub name: String,
    pub value: String,
    /// The `file:line` of the parameter file or the manifest that gave it; None if an argument did.
    pub place: Option<String>,
    /// The profile of the manifest that gave it, if one did.
    pub profile: Option<String>,
}

impl GivenParameter {
    /// Returns the rank of its source: a higher one takes precedence.
    pub(super) fn rank(&self) -> u8 {
        match (&self.profile, &self.place) {
            (Some(_), _) => 0,
            (None, Some(_)) => 1,
            (None, None) => 2,
        }
    }
}

impl GivenParameters {
    /// Returns the parameters of the options: those of the profile, those of the parameter files in
    /// the order of the files, and after them the others, which are more specific. All VMs of one
    /// load get the same values, because the first of them reads the files for all.
    ///
    /// # Errors
    /// [`ScriptError`] if a parameter file cannot be read.
    pub fn of(options: &ScriptOptions) -> Result<GivenParameters, ScriptError> {
        let of_profile = options.profile_params.iter().cloned();
        let of_profile = of_profile.map(|ProfileParameter { profile, name, value, place }| {
            GivenParameter { name, value, place: Some(place), profile: Some(profile) }
        });
        let mut values: Vec<GivenParameter> = of_profile.collect();
        for path in &options.param_files {
            options.reads.add(path);
            let read = || ParameterFile::read(path);
            let file = options.parameters_read.file(true, path, read)?;
            values.extend(file.values.iter().map(|FileValue { name, value, line }| {
                let place = Some(format!("{}:{line}", path.display()));
                GivenParameter { name: name.clone(), value: value.clone(), place, profile: None }
            }));
        }
        values.extend(options.params.iter().map(|(name, value)| GivenParameter {
            name: name.clone(),
            value: value.clone(),
            place: None,
            profile: None,
        }));
        Ok(GivenParameters { values, by_test: options.test.is_some() })
    }

    /// Returns whether the user gave this path on the command line, so that it may name any file. A
    /// path in a manifest is trusted no more than one in a script.
    pub fn trusts(&self, path: &str) -> bool {
        let given = |given: &GivenParameter| given.value == path && given.profile.is_none();
        !self.by_test && self.values.iter().any(given)
    }
}
