//! Random chains of stages.

use std::rc::Rc;

use proptest::prelude::*;
use smbench::ir::OperationType;
use smbench::protocol::SharePath;
use smbench::transform::{
    FilterStage, Globs, MergeInput, MixRule, MixStage, OperationStream, PathRule, PathTemplate,
    RepeatStreamStage, RewritePathsStage, SampleStage, ScaleClientsStage, ShiftStage, StagePlace,
    StreamStage, TimeWarpStage, TransformError, merge,
};

use super::applied;

/// One step of a chain.
#[derive(Clone, Debug)]
pub enum AnyStage {
    Filter(Box<FilterStage>),
    TimeWarp(TimeWarpStage),
    Shift(Box<ShiftStage>),
    Sample(SampleStage),
    Mix(MixStage),
    RewritePaths(RewritePathsStage),
    /// A stage whose number of clients is this many more than those of its input.
    ScaleClients {
        more: u32,
        jitter_ns: u64,
        path: PathTemplate,
    },
    RepeatStream(RepeatStreamStage),
    Merge(AnyMerge),
}

/// A merge of the chain so far with another stream.
#[derive(Clone, Debug)]
pub struct AnyMerge {
    /// Whether the other stream is the same one.
    with_itself: bool,
    join: bool,
    name: &'static str,
}

impl AnyStage {
    /// Applies the stage to `input`. `second` is the other stream of a merge.
    pub fn apply(
        &self,
        input: &Rc<dyn OperationStream>,
        second: &Rc<dyn OperationStream>,
        number: u32,
    ) -> Result<Rc<dyn OperationStream>, TransformError> {
        let stage: &dyn StreamStage = match self {
            AnyStage::Filter(stage) => &**stage,
            AnyStage::TimeWarp(stage) => stage,
            AnyStage::Shift(stage) => &**stage,
            AnyStage::Sample(stage) => stage,
            AnyStage::Mix(stage) => stage,
            AnyStage::RewritePaths(stage) => stage,
            AnyStage::RepeatStream(stage) => stage,
            AnyStage::ScaleClients { more, jitter_ns, path } => {
                let to = input.facts().header.workload_clients() + more;
                &ScaleClientsStage { to, jitter_ns: *jitter_ns, path: path.clone() }
            }
            AnyStage::Merge(AnyMerge { with_itself, join, name }) => {
                let other = if *with_itself { input } else { second };
                let named = |name: &str, stream: &Rc<dyn OperationStream>| MergeInput {
                    name: Some(name.to_string()),
                    stream: Rc::clone(stream),
                };
                let place = StagePlace { name: format!("stage {number}").into(), seed: 11, number };
                return merge(vec![named("a", input), named(name, other)], *join, place);
            }
        };
        applied(stage, input, number)
    }
}

pub fn globs(patterns: &[&str]) -> Globs {
    Globs::new(&patterns.iter().map(|pattern| pattern.to_string()).collect::<Vec<_>>()).unwrap()
}

pub fn any_globs() -> impl Strategy<Value = Globs> {
    let patterns: [&[&str]; 6] =
        [&["docs/**"], &["a", "x.*"], &["!a"], &["*"], &["**/*.docx"], &["nothing"]];
    prop::sample::select(patterns.to_vec()).prop_map(globs)
}

fn any_clients() -> impl Strategy<Value = Globs> {
    let patterns: [&[&str]; 5] =
        [&["w0/*", "ann0"], &["!w0/1"], &["**/*ann*"], &["*"], &["nobody"]];
    prop::sample::select(patterns.to_vec()).prop_map(globs)
}

pub fn any_filter() -> impl Strategy<Value = FilterStage> {
    let types =
        prop::sample::subsequence(OperationType::ALL.to_vec(), 1..=OperationType::ALL.len());
    let time = || prop::option::of(prop_oneof![0..3_000_u64, Just(5_000_000_000)]);
    (
        prop::option::of(types),
        prop::option::of(any_globs()),
        prop::option::weighted(0.3, any_clients()),
        time(),
        time(),
    )
        .prop_map(|(operations, path, clients, from_ns, to_ns)| FilterStage {
            operations,
            path,
            clients,
            from_ns,
            to_ns,
        })
}

pub fn any_shift() -> impl Strategy<Value = ShiftStage> {
    let by_ns = prop_oneof![3 => 0..3_000_i64, 1 => -1_000..0_i64, 1 => Just(i64::MIN)];
    (by_ns, prop::option::of(any_clients()))
        .prop_map(|(by_ns, clients)| ShiftStage { by_ns, clients })
}

pub fn any_mix() -> impl Strategy<Value = MixStage> {
    let weight = prop_oneof![Just(0.0), Just(0.5), Just(1.0), Just(2.0), Just(2.7)];
    let rule = (any_globs(), weight).prop_map(|(path, weight)| MixRule { path, weight });
    prop::collection::vec(rule, 1..=2).prop_map(|rules| MixStage { rules })
}

pub fn any_sample() -> impl Strategy<Value = SampleStage> {
    prop_oneof![Just(0.0), Just(0.5), Just(1.0)].prop_map(|fraction| SampleStage { fraction })
}

fn any_rewrite() -> impl Strategy<Value = RewritePathsStage> {
    let path = |path: &str| SharePath::new(path).unwrap();
    let from = prop::sample::select(vec!["docs", "DOCS/größe", "", "a", "tmp/x.tmp"]);
    let to = prop::sample::select(vec!["", "bench/ü", "x"]);
    let rule = (from, to).prop_map(move |(from, to)| PathRule { from: path(from), to: path(to) });
    prop::collection::vec(rule, 1..=2).prop_map(|rules| RewritePathsStage { rules })
}

pub fn any_template() -> impl Strategy<Value = PathTemplate> {
    let templates = ["clone{k}/{path}", "{path}.{k}", "all/c{k}/{path}", "{path}"];
    prop::sample::select(templates.to_vec()).prop_map(|text| PathTemplate::new(text).unwrap())
}

pub fn any_factor() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.5), Just(2.0), Just(1.0), 0.01..100.0]
}

pub fn any_stage() -> impl Strategy<Value = AnyStage> {
    let scale = (1..7_u32, prop_oneof![Just(0), Just(1_000)], any_template())
        .prop_map(|(more, jitter_ns, path)| AnyStage::ScaleClients { more, jitter_ns, path });
    let period = prop_oneof![3 => Just(None), 1 => (0..10_000_u64).prop_map(Some)];
    let repeat = (1..=3_u32, period).prop_map(|(times, period_ns)| {
        AnyStage::RepeatStream(RepeatStreamStage { times, period_ns })
    });
    let merge = (any::<bool>(), any::<bool>(), prop::sample::select(vec!["b", "a", ""])).prop_map(
        |(with_itself, join, name)| AnyStage::Merge(AnyMerge { with_itself, join, name }),
    );
    prop_oneof![
        3 => any_filter().prop_map(|filter| AnyStage::Filter(Box::new(filter))),
        2 => any_factor().prop_map(|factor| AnyStage::TimeWarp(TimeWarpStage { factor })),
        2 => any_shift().prop_map(|shift| AnyStage::Shift(Box::new(shift))),
        2 => any_sample().prop_map(AnyStage::Sample),
        3 => any_mix().prop_map(AnyStage::Mix),
        2 => any_rewrite().prop_map(AnyStage::RewritePaths),
        3 => scale,
        3 => repeat,
        3 => merge,
    ]
}

pub fn any_chain() -> impl Strategy<Value = Vec<AnyStage>> {
    prop::collection::vec(any_stage(), 0..=5)
}

/// Applies the stages of a chain in order. Merges take `second`.
pub fn chained(
    chain: &[AnyStage],
    first: &Rc<dyn OperationStream>,
    second: &Rc<dyn OperationStream>,
) -> Result<Rc<dyn OperationStream>, TransformError> {
    let mut stream = Rc::clone(first);
    for (number, stage) in (0..).zip(chain) {
        stream = stage.apply(&stream, second, number)?;
    }
    Ok(stream)
}
