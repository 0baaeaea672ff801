//! Laws of streams of which a part is not pulled.

use std::rc::Rc;

use smbench::ir::{Operation, OperationSource, Progress, Section};
use smbench::transform::TransformedSource;

use super::any_chain::{any_chain, chained};
use super::any_document::any_document;
use super::{for_all, pulled};

#[test]
fn going_to_the_teardown_ends_the_iterations_wherever_they_are() {
    for_all(
        100,
        (any_document(), any_document(), any_chain(), 0..40_usize),
        |(first, second, chain, at)| {
            let Ok(stream) = chained(&chain, &first.stream(), &second.stream()) else { return };
            let mut source = TransformedSource::new(Rc::clone(&stream));
            for (client, whole) in (0..).zip(pulled(&stream, 64)) {
                let mut all = Vec::new();
                while let Ok(Progress::More) = source.pull(client, Section::Setup, 3, &mut all) {}
                let most = all.len() + at;
                while all.len() < most
                    && let Ok(Progress::More) = source.pull(client, Section::Iteration, 3, &mut all)
                {
                }
                if whole.error.is_none() {
                    assert_eq!(all[..], whole.operations[..all.len()]);
                }
                let before = all.len();
                let mut progress = Ok(Progress::More);
                while progress == Ok(Progress::More) {
                    progress = source.pull(client, Section::Teardown, 3, &mut all);
                }
                let teardown = &all[before..];
                assert!(teardown.iter().all(|it| it.section == Section::Teardown));
                assert!((before as u32..).zip(teardown).all(|(seq, it)| it.seq == seq));
                let expected = whole.operations.iter().filter(|it| it.section == Section::Teardown);
                // A stage may drop what is done on a handle whose open was skipped, and nothing else.
                let by_path = |it: &&Operation| it.kind.handle_ref().is_none();
                let kinds = |it: &Operation| it.kind.clone();
                if whole.error.is_none() {
                    assert!(
                        teardown
                            .iter()
                            .filter(by_path)
                            .map(kinds)
                            .eq(expected.filter(by_path).map(kinds))
                    );
                }
                assert_eq!(source.pull(client, Section::Iteration, 3, &mut all), Ok(Progress::End));
            }
        },
    );
}
