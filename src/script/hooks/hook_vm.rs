//! The VM that hooks run in.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use mlua::{Buffer, Function, Lua, Result as LuaResult, Table};

use super::carried_state::CarriedState;
use super::errors::HookErrorLog;
use super::filter::{CompletionOutcome, Field, Filter, MAX_FIELDS};
use super::hook_state::{GiveUp, HookCall, HookState};
use super::tap::{BATCH, CompletionRecord, HookCounts};
use crate::ir::OperationType;
use crate::observability::Layout;
use crate::observability::custom_metrics::MetricDeclaration;
use crate::protocol::NtStatus;
use crate::script::declared::{CompletionHook, Declared};
use crate::script::error::{PRELUDE, ScriptError};
use crate::script::json_tables::read_only;
use crate::script::vm::Vm;

/// The size of the position at the start of the buffer. At most `MAX_FIELDS` numbers for each
/// record of a batch follow it.
const HEAD_BYTES: usize = 8;
/// The time that the records given to a hook at a time should take together.
const STRETCH: Duration = Duration::from_millis(2);

pub(super) struct HookVm {
    vm: Vm,
    state: Rc<HookState>,
    give_up: Arc<GiveUp>,
    layout: Arc<Layout>,
    hooks: Vec<Hook>,
    /// The hooks on phases, and whether each has ended.
    phases: Vec<(Function, bool)>,
    ends: Vec<Function>,
    /// The metrics that the script declares.
    pub declarations: Vec<MetricDeclaration>,
    records: Buffer,
    /// Strings that records refer to by index: the constant ones first, then those of the batch.
    texts: Table,
    constant_texts: Vec<CompletionOutcome>,
    pub errors: HookErrorLog,
    /// Whether the VM can no longer be used.
    broken: bool,
}

/// A hook on completions.
struct Hook {
    fields: Vec<Field>,
    /// The Lua function `(first, last)` that calls the hook with these records of the buffer.
    each: Function,
    /// The number of records that the hook is given at a time.
    stretch: usize,
    ended: bool,
}

/// The filters of a script's hooks on completions, and whether one gets paths.
pub(super) type Filters = (Arc<[Filter]>, bool);

impl HookVm {
    /// Creates the hooks of one generation. They update no metrics before
    /// [`HookVm::begin`].
    pub fn new(
        (vm, state): (Vm, Rc<HookState>),
        declared: Declared,
        layout: Arc<Layout>,
        give_up: Arc<GiveUp>,
    ) -> Result<(HookVm, Filters), ScriptError> {
        let filters: Arc<[Filter]> =
            (declared.hooks.completions.iter()).map(|hook| hook.filter.compile(&layout)).collect();
        let with_path =
            declared.hooks.completions.iter().any(|hook| hook.fields.contains(&Field::Path));
        let statuses = NtStatus::KNOWN.iter().map(|status| (*status).into());
        let constant_texts: Vec<CompletionOutcome> =
            statuses.chain(CompletionOutcome::others().map(|(_, outcome)| outcome)).collect();
        let completions = declared.hooks.completions;
        let (records, texts, hooks) = vm.enter(0, |lua| {
            let size = HEAD_BYTES + BATCH * MAX_FIELDS * 8;
            let records = lua.create_buffer_with_capacity(size)?;
            let texts = lua.create_table()?;
            for (at, operation) in (1..).zip(OperationType::ALL) {
                texts.raw_set(at, operation.name())?;
            }
            for (at, outcome) in (OperationType::ALL.len() + 1..).zip(&constant_texts) {
                texts.raw_set(at, outcome.name())?;
            }
            let hooks = (completions.into_iter())
                .map(|hook| Hook::new(lua, hook, (&records, &texts)))
                .collect::<LuaResult<Vec<_>>>()?;
            Ok((records, texts, hooks))
        })?;
        *state.records.borrow_mut() = Some(records.clone());
        let hook_vm = HookVm {
            phases: declared.hooks.phases.into_iter().map(|function| (function, false)).collect(),
            ends: declared.hooks.ends,
            declarations: declared.hooks.metrics,
            vm,
            state,
            give_up,
            layout,
            hooks,
            records,
            texts,
            constant_texts,
            errors: HookErrorLog::default(),
            broken: false,
        };
        Ok((hook_vm, (filters, with_path)))
    }

    /// Calls the hooks of every record, in order. A call that does not complete, because the hook
    /// has ended or is given up, counts as dropped.
    pub fn deliver(&mut self, batch: &[CompletionRecord], counts: &HookCounts) {
        for at in 0..self.hooks.len() {
            let wanted: Vec<&CompletionRecord> =
                batch.iter().filter(|record| record.hooks & (1 << at) != 0).collect();
            let called = self.deliver_to(at, &wanted);
            counts.delivered.fetch_add(called as u64, Relaxed);
            counts.dropped.fetch_add((wanted.len() - called) as u64, Relaxed);
        }
    }

    /// Calls one hook with the records, and returns the number of records it was called with.
    fn deliver_to(&mut self, hook: usize, records: &[&CompletionRecord]) -> usize {
        let mut next = 0;
        while next < records.len() {
            if self.broken || self.hooks[hook].ended || self.give_up.has_come() {
                return next;
            }
            let stretch = &records[next..records.len().min(next + self.hooks[hook].stretch)];
            if let Err(error) = self.write(hook, stretch) {
                self.failed(&error);
                self.hooks[hook].ended = true;
                return next;
            }
            let began = Instant::now();
            let mut first = 0;
            while first < stretch.len() && !self.hooks[hook].ended && !self.broken {
                let each = self.hooks[hook].each.clone();
                let last = stretch.len() - 1;
                let entered = || self.vm.enter(self.main(), |_| each.call::<()>((first, last)));
                let result = self.state.call(HookCall::Hook, Some(first), entered);
                match result {
                    Ok(()) => first = stretch.len(),
                    Err(error) => {
                        let at = f64::from_le_bytes(self.records.read_bytes(0)) as usize;
                        if self.state.was_cut() {
                            return next + at.max(first);
                        }
                        first = at.max(first) + 1;
                        self.hooks[hook].ended = self.failed(&error);
                    }
                }
            }
            next += first;
            let (took, stretch) = (began.elapsed(), &mut self.hooks[hook].stretch);
            if took > STRETCH {
                *stretch = (*stretch / 2).max(1);
            } else if took < STRETCH / 4 {
                *stretch = (*stretch * 2).min(BATCH);
            }
        }
        next
    }

    /// Calls `bench.on_phase`, and counts these calls with the others.
    pub fn phase(&mut self, name: &str, edge: &str, counts: &HookCounts) {
        for at in 0..self.phases.len() {
            let (function, ended) = &self.phases[at];
            let mut missed = self.broken || *ended || self.give_up.has_come();
            if !missed {
                let entered = || self.vm.enter(self.main(), |_| function.call::<()>((name, edge)));
                let result = self.state.call(HookCall::Hook, None, entered);
                missed = self.state.was_cut();
                if let (Err(error), false) = (result, missed) {
                    self.phases[at].1 = self.failed(&error);
                }
            }
            counts.delivered.fetch_add((!missed).into(), Relaxed);
            counts.dropped.fetch_add(missed.into(), Relaxed);
        }
    }

    /// Calls the hooks on `bench.on_end` with the summary. If they are given up, the caller reports
    /// that.
    pub fn end(&mut self, summary: &serde_json::Value) {
        for at in 0..self.ends.len() {
            if self.broken {
                return;
            }
            let call = |lua: &Lua| self.ends[at].call::<()>(read_only(lua, summary)?);
            let entered = || self.vm.enter(self.main(), call);
            let result = self.state.call(HookCall::End, None, entered);
            if self.state.was_cut() {
                return;
            }
            if let Err(error) = result {
                self.failed(&error);
            }
        }
    }

    /// Returns the reason of a `bench.abort` since the last call.
    pub fn take_abort(&self) -> Option<String> {
        self.state.take_abort()
    }

    /// Takes over from the hooks of the previous generation, which are not called any more.
    pub fn begin(&mut self, generation: u32, carried: CarriedState) {
        self.state.begin(generation, &self.declarations);
        let state = self.state.table.borrow().clone();
        let restored = self.vm.enter(0, |lua| match state {
            Some(state) => carried.restore(lua, &state),
            None => Ok(()),
        });
        if let Err(error) = restored {
            self.failed(&error);
        }
    }

    /// Returns the plain data in `bench.state`, for the hooks of the next generation.
    pub fn carried_state(&mut self) -> CarriedState {
        let Some(state) = self.state.table.borrow().clone().filter(|_| !self.broken) else {
            return CarriedState::default();
        };
        match self.vm.enter(0, |_| CarriedState::of(&state)) {
            Ok((carried, refused)) => {
                if let Some(warning) = refused.warning() {
                    tracing::warn!("{warning}");
                }
                carried
            }
            Err(error) => {
                self.failed(&error);
                CarriedState::default()
            }
        }
    }

    fn main(&self) -> usize {
        self.vm.lua.current_thread().state().addr()
    }

    /// Counts an error of the script. Returns whether its hook has ended: it is called again,
    /// unless it used up its time or memory.
    fn failed(&mut self, error: &ScriptError) -> bool {
        let internal = matches!(error, ScriptError::Internal(_));
        let ended = internal || self.vm.host.was_exhausted();
        self.broken |= internal;
        self.errors.add(error, ended, self.vm.host.chunks.borrow().paths());
        ended
    }

    fn write(&self, hook: usize, records: &[&CompletionRecord]) -> Result<(), ScriptError> {
        let fields = &self.hooks[hook].fields;
        let mut bytes = Vec::with_capacity(HEAD_BYTES + records.len() * fields.len() * 8);
        bytes.extend([0xff; HEAD_BYTES]);
        self.vm.enter(0, |_| {
            let mut texts = Texts { hook_vm: self, next: self.first_text() };
            for record in records {
                for field in fields {
                    bytes.extend(texts.number(record, *field)?.to_le_bytes());
                }
            }
            self.records.write_bytes(0, &bytes);
            Ok(())
        })
    }

    /// Returns the index of the first string of a batch, behind the constant ones.
    fn first_text(&self) -> usize {
        OperationType::ALL.len() + self.constant_texts.len() + 1
    }
}

/// The conversion of a batch's fields into numbers.
struct Texts<'a> {
    hook_vm: &'a HookVm,
    next: usize,
}

impl Texts<'_> {
    fn number(&mut self, record: &CompletionRecord, field: Field) -> LuaResult<f64> {
        let time = |ns: u64| if record.outcome.was_sent() { ns as f64 } else { f64::NAN };
        let granted = record.granted.as_deref();
        let text: Option<Cow<str>> = match field {
            Field::Kind => return Ok((record.kind as usize + 1) as f64),
            Field::Status => {
                let constant = &self.hook_vm.constant_texts;
                match constant.iter().position(|outcome| *outcome == record.outcome) {
                    Some(at) => return Ok((OperationType::ALL.len() + at + 1) as f64),
                    None => Some(record.outcome.name().into()),
                }
            }
            Field::ServiceNs => return Ok(time(record.service_ns)),
            Field::ResponseNs => return Ok(time(record.response_ns)),
            Field::LatenessNs => return Ok(time(record.lateness_ns)),
            Field::Bytes => return Ok(record.bytes as f64),
            Field::Iteration => return Ok(record.iteration.into()),
            Field::Generation => return Ok(record.generation.into()),
            Field::OpId => Some(match &record.id {
                Some(id) => (&**id).into(),
                None => format!("{}-{}", record.client_idx, record.seq).into(),
            }),
            Field::Client => Some(self.hook_vm.layout.header.client_name(record.client_idx).into()),
            Field::Step => record.step.as_ref().map(|step| (&*step.name).into()),
            Field::Path => record.path.as_ref().map(|path| path.as_str().into()),
            Field::Granted => granted.map(|granted| granted.caching().name().into()),
            Field::CreateAction => granted.map(|granted| granted.action.name().into()),
            Field::FileId => granted.map(|granted| granted.file_id.to_string().into()),
        };
        text.map_or(Ok(0.0), |text| self.text(&text))
    }

    fn text(&mut self, text: &str) -> LuaResult<f64> {
        let at = self.next;
        self.next += 1;
        self.hook_vm.texts.raw_set(at, text)?;
        Ok(at as f64)
    }
}

impl Hook {
    /// Creates a hook. The loop over a batch is in Lua, generated for the hook's fields, because a
    /// call from Rust for each record would cost more than most hooks do.
    fn new(lua: &Lua, hook: CompletionHook, made_of: (&Buffer, &Table)) -> LuaResult<Hook> {
        let unsent = hook.filter.takes_unsent();
        let argument = |(at, field): (usize, &Field)| {
            let read = format!("readf64(records, at * {} + {})", hook.fields.len() * 8, 8 + at * 8);
            match field {
                Field::Kind
                | Field::Status
                | Field::OpId
                | Field::Client
                | Field::Path
                | Field::Step
                | Field::Granted
                | Field::CreateAction
                | Field::FileId => format!("texts[{read}]"),
                Field::ServiceNs | Field::ResponseNs | Field::LatenessNs if unsent => {
                    format!("known({read})")
                }
                _ => read,
            }
        };
        let arguments: Vec<String> = hook.fields.iter().enumerate().map(argument).collect();
        let text = format!(
            "local hook, records, texts = ...
            local readf64, writef64 = buffer.readf64, buffer.writef64
            local function known(time)
                if time == time then return time end
                return nil
            end
            return function(first, last)
                for at = first, last do
                    writef64(records, 0, at)
                    hook({})
                end
            end",
            arguments.join(", ")
        );
        let each = lua.load(text).set_name(format!("={PRELUDE}")).call((
            hook.function,
            made_of.0,
            made_of.1,
        ))?;
        Ok(Hook { fields: hook.fields, each, stretch: 16, ended: false })
    }
}
