//! Steps: names for groups of operations that a user waits for as one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// One occurrence of a step. All operations that belong to it carry it, so that a transform may
/// drop or copy any of them.
///
/// Consecutive operations of a client belong to the same occurrence if section, iteration and step
/// are equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub name: Arc<str>,
    /// The number of the occurrence among the steps of its iteration, or of its setup or teardown,
    /// from 0. It keeps two steps of the same name apart that follow one another.
    pub number: u32,
    /// The step in which this one happened. It has no outer step itself.
    pub outer: Option<Arc<Step>>,
}

impl Step {
    /// Returns the outermost step, which may be this one.
    pub fn outermost(self: &Arc<Step>) -> &Arc<Step> {
        self.outer.as_ref().unwrap_or(self)
    }

    /// Returns the names of this step and its outer one, innermost first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.name).chain(self.outer.iter().map(|outer| &*outer.name))
    }
}

/// Maximum number of characters of the name of a step.
pub const MAX_STEP_NAME: usize = 64;

/// Maximum number of different names of steps in a stream. Each has measurements of its own.
pub const MAX_STEP_NAMES: usize = 1_000;

/// The reason why something is no step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    #[error(
        "{0:?} is not the name of a step: a name has 1 to {MAX_STEP_NAME} characters, which are letters (A to Z, a to z), digits, '_' and '-'"
    )]
    Name(String),
    #[error(
        "the stream has more than {MAX_STEP_NAMES} different names of steps: name the kind of work, not each file, client or number"
    )]
    TooManyNames,
    #[error("steps nest at most two levels deep: {name:?} is in {inner:?}, which is in {outer:?}")]
    TooDeep { name: String, inner: String, outer: String },
}

/// Checks that a step can have this name, which a threshold can contain
/// (`step.save.response.p99`).
///
/// # Errors
/// [`StepError::Name`].
pub fn check_step_name(name: &str) -> Result<(), StepError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    match (1..=MAX_STEP_NAME).contains(&name.len()) && name.bytes().all(allowed) {
        true => Ok(()),
        false => Err(StepError::Name(name.chars().take(MAX_STEP_NAME).collect())),
    }
}

/// The different names of the steps of one stream. Clones share them: the VMs that make a stream
/// together count its names together, so that the bound does not depend on their number.
#[derive(Clone, Debug, Default)]
pub struct StepNames(Arc<Mutex<BTreeSet<Arc<str>>>>);

impl StepNames {
    /// Returns the name as the operations of the stream carry it.
    ///
    /// # Errors
    /// [`StepError::Name`], [`StepError::TooManyNames`].
    pub fn intern(&self, name: &str) -> Result<Arc<str>, StepError> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(name) {
            return Ok(Arc::clone(known));
        }
        check_step_name(name)?;
        if names.len() == MAX_STEP_NAMES {
            return Err(StepError::TooManyNames);
        }
        let name: Arc<str> = name.into();
        names.insert(Arc::clone(&name));
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_word_of_a_threshold() {
        let long = "x".repeat(MAX_STEP_NAME);
        for name in ["save", "Save-2_b", "0", "-", long.as_str()] {
            assert_eq!(check_step_name(name), Ok(()));
        }
        let too_long = "x".repeat(MAX_STEP_NAME + 1);
        for name in ["", "a.b", "a b", "sa\u{301}ve", "save\n", "\"", too_long.as_str()] {
            assert_eq!(
                check_step_name(name),
                Err(StepError::Name(name.chars().take(MAX_STEP_NAME).collect()))
            );
        }
    }

    #[test]
    fn clones_count_their_names_together_and_a_known_name_is_never_too_much() {
        let names = [StepNames::default(), StepNames::default()];
        let [one, _] = &names;
        let other = one.clone();
        for number in 0..MAX_STEP_NAMES {
            let names = if number % 2 == 0 { one } else { &other };
            names.intern(&format!("s{number}")).unwrap();
        }
        for names in [one, &other] {
            assert_eq!(&*names.intern("s7").unwrap(), "s7");
            assert_eq!(names.intern("more"), Err(StepError::TooManyNames));
        }
        assert!(names[1].intern("more").is_ok(), "another stream has names of its own");
    }
}
