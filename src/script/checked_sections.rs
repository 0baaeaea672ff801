//! The extent to which a check of a script made its setup and teardown.

use crate::ir::Section;

/// The functions of one section, and how far a check came with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedSection {
    pub section: Section,
    /// Whether it is the section of the run-wide client.
    pub run_wide: bool,
    /// Number of compared clients that have a function for the section.
    pub functions: usize,
    /// Number of clients whose function was called.
    pub begun: usize,
    /// Number of clients whose function returned.
    pub ended: usize,
}

impl CheckedSection {
    fn name(&self) -> Option<&'static str> {
        match (self.section, self.run_wide) {
            _ if self.functions == 0 => None,
            (Section::Setup, false) => Some("setup"),
            (Section::Setup, true) => Some("bench.setup"),
            (Section::Iteration, _) => None,
            (Section::Teardown, false) => Some("teardown"),
            (Section::Teardown, true) => Some("bench.teardown"),
        }
    }
}

/// Returns the end of a sentence about a checked script, such as `, setup included; teardown was
/// not reached`. It is empty if the script has neither.
pub fn extent(sections: &[CheckedSection]) -> String {
    let cut = |checked: &&CheckedSection| checked.ended < checked.functions;
    let mut whole: Vec<&str> = Vec::new();
    for checked in sections.iter().filter(|checked| !cut(checked)) {
        // Run-wide functions are named separately only if the others were cut, and vice versa.
        let alone = sections.iter().filter(cut).any(|other| other.section == checked.section);
        let name = checked.name().map(|name| match alone {
            true => name,
            false => name.trim_start_matches("bench."),
        });
        whole.extend(name.filter(|name| !whole.contains(name)));
    }
    let mut parts = Vec::new();
    if !whole.is_empty() {
        parts.push(format!("{} included", whole.join(" and ")));
    }
    for checked in sections.iter().filter(cut) {
        let Some(name) = checked.name() else { continue };
        let CheckedSection { functions, begun, ended, .. } = checked;
        parts.push(match (begun, ended) {
            (0, _) => format!("{name} was not reached"),
            (_, 0) => format!("the end of {name} was not reached"),
            _ => format!("the end of {name} was reached for {ended} of {functions} clients"),
        });
    }
    match parts.is_empty() {
        true => String::new(),
        false => format!(", {}", parts.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extent_names_what_was_made_whole_and_what_was_not_reached() {
        let checked = |section, run_wide, [functions, begun, ended]: [usize; 3]| CheckedSection {
            section,
            run_wide,
            functions,
            begun,
            ended,
        };
        let said = |[run_setup, setup, teardown, run_teardown]: [[usize; 3]; 4]| {
            extent(&[
                checked(Section::Setup, true, run_setup),
                checked(Section::Setup, false, setup),
                checked(Section::Iteration, false, [9, 9, 0]),
                checked(Section::Teardown, false, teardown),
                checked(Section::Teardown, true, run_teardown),
            ])
        };
        let (none, one, all) = ([0; 3], [1; 3], [9; 3]);
        assert_eq!(said([none; 4]), "");
        assert_eq!(said([one, all, all, one]), ", setup and teardown included");
        assert_eq!(said([none, none, none, one]), ", teardown included");
        assert_eq!(
            said([none, all, [9, 0, 0], none]),
            ", setup included; teardown was not reached"
        );
        assert_eq!(
            said([[1, 1, 0], all, [9, 9, 3], [1, 0, 0]]),
            ", setup included; the end of bench.setup was not reached; the end of teardown was reached for 3 of 9 clients; bench.teardown was not reached"
        );
    }
}
