//! The names by which parameters are set from outside. A script's own parameter has its name; that
//! of a library has the aliases that lead to the library before it, such as `office.doc_size`.

use super::declared::Declared;
use super::error::ScriptError;
use super::given_parameters::{GivenParameter, GivenParameters};
use super::values::unknown;
use crate::library::packages::{Package, Packages};

/// Maximum number of characters of a name that an error quotes.
const MAX_SHOWN: usize = 60;

/// Returns the number of the library that a name leads to, or None for the script itself, and the
/// name that the parameter has there. Returns None if there is no such library.
fn owner<'a>(packages: &Packages, name: &'a str) -> Option<(Option<usize>, &'a str)> {
    match name.rsplit_once('.') {
        None => Some((None, name)),
        Some((aliases, name)) => packages.at(aliases).map(|number| (Some(number), name)),
    }
}

/// Returns the values that are given for a parameter of a library, or of the script itself. A name
/// has its last value only. A library that several chains of aliases lead to has several names for
/// one parameter.
pub(super) fn values_for<'a>(
    given: &'a GivenParameters,
    packages: &Packages,
    of: Option<usize>,
    name: &str,
) -> Vec<&'a GivenParameter> {
    let mut found: Vec<&GivenParameter> = Vec::new();
    for value in given.values.iter().rev() {
        if owner(packages, &value.name) == Some((of, name))
            && found.iter().all(|known| known.name != value.name)
        {
            found.push(value);
        }
    }
    let highest = found.iter().map(|value| value.rank()).max();
    found.retain(|value| Some(value.rank()) == highest);
    found.reverse();
    found
}

/// Returns the value that is given for the parameter with the name `name` outside.
pub(super) fn given_for<'a>(
    given: &'a GivenParameters,
    packages: &Packages,
    name: &str,
) -> Option<&'a GivenParameter> {
    let (of, name) = owner(packages, name)?;
    values_for(given, packages, of, name).pop()
}

/// Refuses values from outside for parameters that neither the script nor a library has.
pub(super) fn check_given(declared: &Declared, packages: &Packages) -> Result<(), ScriptError> {
    let given = &declared.given;
    for value in &given.values {
        let owner = owner(packages, &value.name);
        let is_known = match owner {
            Some((None, name)) => {
                declared.params.as_ref().is_some_and(|params| params.values.contains_key(name))
            }
            Some((Some(number), name)) => (declared.library_params.get(&number))
                .is_some_and(|params| params.places.contains_key(name)),
            None => false,
        };
        if is_known {
            continue;
        }
        let library = owner.and_then(|(number, _)| number);
        let problem = match library {
            Some(number) if declares_none(declared, number) => {
                let Package { id, .. } = packages.get(number);
                format!(
                    "the library {id} declares no parameters in the modules that the script requires"
                )
            }
            _ => {
                let mut known: Vec<String> =
                    declared.parameters().map(|help| help.name.clone()).collect();
                // The library may have been reached through other aliases.
                if let (Some(number), Some((aliases, _))) = (library, value.name.rsplit_once('.')) {
                    let places = declared.library_params[&number].places.keys();
                    known.extend(places.map(|name| format!("{aliases}.{name}")));
                    known.sort();
                    known.dedup();
                }
                problem(&value.name, known.iter().map(String::as_str))
            }
        };
        return Err(refusal(given, value, &problem));
    }
    Ok(())
}

fn declares_none(declared: &Declared, number: usize) -> bool {
    declared.library_params.get(&number).is_none_or(|library| library.places.is_empty())
}

/// Refuses values from outside for parameters that are not `known`, those of a script without
/// libraries.
pub(super) fn check_given_to_script<'a>(
    given: &GivenParameters,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), ScriptError> {
    match given.values.iter().find(|value| known.clone().all(|known| known != value.name)) {
        Some(value) => Err(refusal(given, value, &problem(&value.name, known))),
        None => Ok(()),
    }
}

fn problem<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match known.clone().next() {
        Some(_) => unknown("parameter", name, known),
        None => "the script has no parameters".to_string(),
    }
}

fn refusal(given: &GivenParameters, value: &GivenParameter, problem: &str) -> ScriptError {
    let source = match &value.place {
        Some(place) => place.clone(),
        None if given.by_test => "params".to_string(),
        None => format!("-p {}", value.name.chars().take(MAX_SHOWN).collect::<String>()),
    };
    ScriptError::Parameter(format!("{source}: {problem}"))
}
