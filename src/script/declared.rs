//! The declarations that the top level of a script makes.

use std::collections::{BTreeMap, BTreeSet};

use mlua::Function;
use serde_json::{Map, Value};

use super::error::ScriptError;
use super::given_parameters::GivenParameters;
use super::hooks::filter::{Field, FilterSpec};
use super::pace::Pace;
use super::stream_plan::DeclaredStream;
use super::values::unknown;
use crate::ir::source::{Module, Phase, StatedThreshold};
use crate::ir::{Need, Section};
use crate::observability::custom_metrics::MetricDeclaration;
use crate::observability::thresholds::CustomKinds;
use crate::protocol::BreakPolicy;

/// The declarations of the top level, and the values it was given for them.
#[derive(Default)]
pub(super) struct Declared {
    /// Parameters given from outside.
    pub given: GivenParameters,
    pub seed: u64,
    /// The script's own parameters.
    pub params: Option<Parameters>,
    /// The parameters of libraries, by the number of the library.
    pub library_params: BTreeMap<usize, LibraryParameters>,
    pub modules: Vec<Module>,
    pub workloads: Vec<DeclaredWorkload>,
    /// The streams, in the order in which they were made.
    pub streams: Vec<DeclaredStream>,
    /// The functions of the run-wide client.
    pub run_wide: SectionFunctions,
    pub phases: Option<Vec<Phase>>,
    pub thresholds: Vec<StatedThreshold>,
    pub on_break: Vec<DeclaredPolicy>,
    pub hooks: DeclaredHooks,
}

impl Declared {
    /// Returns the descriptions of the script's parameters and then those of its libraries.
    pub fn parameters(&self) -> impl Iterator<Item = &ParameterHelp> {
        let own = self.params.iter().flat_map(|parameters| &parameters.help);
        own.chain(self.library_params.values().flat_map(|library| &library.parameters.help))
    }

    /// Takes the values of all parameters by the names with which they are set from outside.
    pub fn take_values(&mut self) -> Map<String, Value> {
        let mut values = self.params.take().map(|own| own.values).unwrap_or_default();
        for library in std::mem::take(&mut self.library_params).into_values() {
            values.extend(library.parameters.values);
        }
        values
    }

    /// Checks the filters of hooks, and returns whether the script has hooks or metrics.
    ///
    /// # Errors
    /// [`ScriptError`] if a hook names a workload or a phase that does not exist.
    pub fn check_hooks(&self, workloads: &[&str], phases: &[Phase]) -> Result<bool, ScriptError> {
        let phases: Vec<&str> = phases.iter().map(|phase| phase.name.as_str()).collect();
        for hook in &self.hooks.completions {
            let workloads = workloads.iter().copied();
            hook.filter.check(workloads, &phases).map_err(ScriptError::Script)?;
        }
        Ok(self.hooks.any())
    }
}

/// The functions that a client calls in its sections.
#[derive(Default)]
pub(super) struct SectionFunctions {
    pub setup: Option<Function>,
    pub iteration: Option<Function>,
    pub teardown: Option<Function>,
}

impl SectionFunctions {
    pub fn of(&self, section: Section) -> Option<&Function> {
        match section {
            Section::Setup => self.setup.as_ref(),
            Section::Iteration => self.iteration.as_ref(),
            Section::Teardown => self.teardown.as_ref(),
        }
    }
}

pub(super) struct DeclaredWorkload {
    pub name: String,
    /// The `file:line` of the declaration.
    pub line: Option<String>,
    pub clients: u32,
    pub functions: SectionFunctions,
    pub pace: Pace,
    pub needs: Vec<Need>,
    /// Whether the setup of each client runs again when a reload moves the client. If not, its
    /// operations are made and discarded.
    pub setup_on_reload: bool,
}

/// A parameter as `--help` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterHelp {
    /// The name with which it is set from outside: that of a library's parameter has the library's
    /// alias before it.
    pub name: String,
    /// The name and the version of the library that declares it; None for the script.
    pub library: Option<String>,
    /// `int`, `float`, `string`, `bool`, `duration` or `size`.
    pub kind: &'static str,
    /// The default as the script wrote it.
    pub default: String,
    pub min: Option<String>,
    pub max: Option<String>,
    /// The strings that the script allows. Empty if it does not list any.
    pub choices: Vec<String>,
    pub help: Option<String>,
}

impl ParameterHelp {
    pub(super) fn text_bytes(&self) -> usize {
        let choices: usize = self.choices.iter().map(|choice| choice.len() + 24).sum();
        self.default.len() + self.help.as_ref().map_or(0, String::len) + choices
    }
}

/// The parameters declared with `bench.params`.
#[derive(Default)]
pub(super) struct Parameters {
    /// Values as the run sees them: durations in nanoseconds, sizes in bytes. The names are those
    /// with which parameters are set from outside.
    pub values: Map<String, Value>,
    /// Descriptions of the parameters, by name.
    pub help: Vec<ParameterHelp>,
}

/// The parameters that the files of one library declare.
#[derive(Default)]
pub(super) struct LibraryParameters {
    pub parameters: Parameters,
    /// The `file:line` of each, by the name that it has in the library.
    pub places: BTreeMap<String, String>,
    /// The files that have called `bench.params`.
    pub files: BTreeSet<String>,
}

/// A hook declared with `bench.on_complete`.
pub(super) struct CompletionHook {
    pub filter: FilterSpec,
    /// The arguments of the function, in this order.
    pub fields: Vec<Field>,
    pub function: Function,
}

/// All hooks and metrics that a script declares.
#[derive(Default)]
pub(super) struct DeclaredHooks {
    pub completions: Vec<CompletionHook>,
    pub phases: Vec<Function>,
    pub ends: Vec<Function>,
    pub metrics: Vec<MetricDeclaration>,
}

impl DeclaredHooks {
    /// Returns the kinds of the metrics, which thresholds are checked against.
    pub fn metric_kinds(&self) -> CustomKinds {
        let declarations = self.metrics.iter();
        declarations.map(|one| (one.name.clone(), one.kind_and_unit())).collect()
    }

    /// Returns the names of the hooks and the metrics.
    pub fn described(&self) -> Vec<String> {
        let hooks = [
            ("bench.on_complete", self.completions.len()),
            ("bench.on_phase", self.phases.len()),
            ("bench.on_end", self.ends.len()),
        ];
        let hooks = hooks.into_iter().filter(|(_, count)| *count > 0).map(|(name, _)| name);
        let metrics = self.metrics.iter().map(|metric| metric.name.as_str());
        let named = [("hooks", hooks.collect::<Vec<_>>()), ("metrics", metrics.collect())];
        let named = named.into_iter().filter(|(_, names)| !names.is_empty());
        named.map(|(what, names)| format!("its {what} ({})", shortened_list(&names))).collect()
    }

    /// Returns whether the script needs a VM for hooks.
    pub fn any(&self) -> bool {
        !(self.completions.is_empty()
            && self.phases.is_empty()
            && self.ends.is_empty()
            && self.metrics.is_empty())
    }
}

fn shortened_list(names: &[&str]) -> String {
    const MOST_NAMED: usize = 8;
    let named = names.iter().take(MOST_NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(MOST_NAMED) {
        None | Some(0) => named,
        Some(more) => format!("{named} and {more} more"),
    }
}

/// A policy declared with `bench.on_break`.
pub(super) struct DeclaredPolicy {
    pub policy: BreakPolicy,
    /// The name of the workload, or `None` for every workload without a policy of its own.
    pub workload: Option<String>,
    pub line: Option<String>,
}

/// Returns the policy that the script declares for each workload: its own, or else the one for all
/// workloads.
///
/// # Errors
/// [`ScriptError`] if a policy names a workload that does not exist.
pub(super) fn break_policies(
    declared: &[DeclaredPolicy],
    workloads: &[&str],
) -> Result<Vec<Option<BreakPolicy>>, ScriptError> {
    let names = || workloads.iter().copied();
    for DeclaredPolicy { workload, line, .. } in declared {
        if let Some(name) = workload.as_deref().filter(|name| names().all(|known| known != *name)) {
            let problem = format!("bench.on_break: {}", unknown("workload", name, names()));
            let place = line.as_ref().map_or(String::new(), |line| format!("{line}: "));
            return Err(ScriptError::Script(place + &problem));
        }
    }
    let said = |of: Option<&str>| {
        let one = declared.iter().find(|one| one.workload.as_deref() == of);
        one.map(|one| one.policy)
    };
    Ok(names().map(|name| said(Some(name)).or(said(None))).collect())
}
