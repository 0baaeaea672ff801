//! Laws of transforms, checked with random documents and random chains of stages.
//!
//! `PROPTEST_CASES` and `PROPTEST_RNG_SEED` make other and more cases than the fixed ones.

use std::rc::Rc;

use proptest::prelude::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use smbench::ir::{
    NominalClock, Operation, OperationSource, Progress, Section, SourceError, StreamHeader,
};
use smbench::transform::{
    OperationStream, StagePlace, StreamStage, TransformError, TransformedSource,
};

mod any_chain;
mod any_document;
mod chain_laws;
mod client_laws;
mod selection_laws;
mod skipping;
mod time_laws;

const SECTIONS: [Section; 3] = [Section::Setup, Section::Iteration, Section::Teardown];

/// Checks a law with `cases` random values, and reports the smallest that breaks it.
fn for_all<S: Strategy>(cases: u32, of: S, law: impl Fn(S::Value)) {
    let default = Config { failure_persistence: None, ..Config::default() };
    let config = Config {
        cases: if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { cases },
        rng_seed: match default.rng_seed {
            RngSeed::Random => RngSeed::Fixed(1),
            seed => seed,
        },
        max_shrink_iters: 2_000,
        ..default
    };
    let checked = TestRunner::new(config).run(&of, |value| {
        law(value);
        Ok::<(), TestCaseError>(())
    });
    if let Err(error) = checked {
        panic!("{error}");
    }
}

/// Applies a stage. Its place is named `stage <number>`.
fn applied(
    stage: &dyn StreamStage,
    input: &Rc<dyn OperationStream>,
    number: u32,
) -> Result<Rc<dyn OperationStream>, TransformError> {
    let name = format!("stage {number}").into();
    stage.apply(Rc::clone(input), StagePlace { name, seed: 11, number })
}

/// The operations of one client in order, and the error at which they broke off.
#[derive(Clone, Debug, Default, PartialEq)]
struct Pulled {
    operations: Vec<Operation>,
    error: Option<SourceError>,
}

impl Pulled {
    /// Reads all sections with a function that appends up to `max` operations.
    fn of(
        max: usize,
        mut read: impl FnMut(Section, usize, &mut Vec<Operation>) -> Result<Progress, SourceError>,
    ) -> Pulled {
        let mut pulled = Pulled::default();
        for section in SECTIONS {
            loop {
                let before = pulled.operations.len();
                let progress = read(section, max, &mut pulled.operations);
                let got = pulled.operations.len() - before;
                assert!(got <= max, "{got} operations instead of {max}");
                match progress {
                    Ok(Progress::More) => assert!(got > 0, "more, but nothing came"),
                    Ok(Progress::End) => break,
                    Err(error) => {
                        pulled.error = Some(error);
                        return pulled;
                    }
                }
            }
        }
        pulled
    }
}

/// Returns what each client of a stream does. Operations have the numbers that they have in their
/// document.
fn read(stream: &dyn OperationStream, max: usize) -> Vec<Pulled> {
    let clients = 0..stream.facts().header.clients();
    let read = clients.map(|client| {
        let mut reader = stream.reader(client);
        Pulled::of(max, |section, max, into| reader.read(section, max, into))
    });
    read.collect()
}

/// Returns what each client of a stream does, as a run pulls it.
fn pulled(stream: &Rc<dyn OperationStream>, max: usize) -> Vec<Pulled> {
    let mut source = TransformedSource::new(Rc::clone(stream));
    let clients = 0..source.header().clients();
    let pulled = clients.map(|client| {
        Pulled::of(max, |section, max, into| source.pull(client, section, max, into))
    });
    pulled.collect()
}

/// Returns the nominal time of each operation of a client within its section.
fn nominal_times(operations: &[Operation]) -> Vec<u64> {
    let mut clock = NominalClock::default();
    let mut section = Section::Setup;
    let times = operations.iter().map(|operation| {
        if operation.section != section {
            (section, clock) = (operation.section, NominalClock::default());
        }
        clock.pass(operation.due, operation.iteration);
        clock.now_ns()
    });
    times.collect()
}

/// Returns the operations of all clients, which must not have broken off.
fn whole(pulled: Vec<Pulled>) -> Vec<Vec<Operation>> {
    let whole = pulled.into_iter().map(|pulled| {
        assert_eq!(pulled.error, None);
        pulled.operations
    });
    whole.collect()
}

/// Returns the parts of headers that a document keeps.
fn kept_by_a_document(header: &StreamHeader) -> impl PartialEq + std::fmt::Debug {
    (header.workloads.clone(), header.phases.clone(), header.run_client)
}
