//! Laws of every chain of stages.

use std::rc::Rc;

use smbench::ir::compile::{CompileBounds, CompileError, compile};
use smbench::ir::document::Format;
use smbench::ir::{Due, Operation, OperationSource, Progress, Section};
use smbench::transform::{DocumentStream, OperationStream, TransformedSource};

use super::any_chain::{any_chain, chained};
use super::any_document::{any_document, load_text};
use super::{Pulled, SECTIONS, for_all, kept_by_a_document, pulled};

/// Checks that an error says at which stage it arose.
fn names_a_stage(message: &str) {
    assert!(message.starts_with("stage "), "names no stage: {message}");
}

#[test]
fn every_chain_makes_a_valid_document_or_says_which_stage_cannot() {
    for_all(200, (any_document(), any_document(), any_chain()), |(first, second, chain)| {
        let stream = match chained(&chain, &first.stream(), &second.stream()) {
            Ok(stream) => stream,
            Err(error) => {
                eprintln!("REFUSED {error}");
                return names_a_stage(&error.to_string());
            }
        };
        let mut source = TransformedSource::new(Rc::clone(&stream));
        let mut text = Vec::new();
        match compile(&mut source, CompileBounds::default(), Format::V2, &mut text) {
            Ok(_) => {}
            Err(CompileError::Source(error)) => {
                eprintln!("BROKE {error}");
                return names_a_stage(&error.message);
            }
            Err(error) => panic!("{error}"),
        }
        let document = load_text(&String::from_utf8(text).unwrap()).unwrap();
        let header = source.header();
        assert_eq!(kept_by_a_document(header), kept_by_a_document(document.header()));
        let all = pulled(&stream, 64);
        // An arrival may have been moved beyond the end of the stream.
        let named =
            all.iter().flat_map(|pulled| &pulled.operations).filter_map(
                |operation| match operation.due {
                    Due::At(at_ns) if operation.section == Section::Iteration => Some(at_ns),
                    _ => None,
                },
            );
        let last_ns = named.max().unwrap_or(0);
        assert!(last_ns <= stream.facts().length_ns, "the stream is longer than it says");
        let loaded: Rc<dyn OperationStream> = Rc::new(DocumentStream::new(document));
        for (made, read) in pulled(&stream, 64).iter().zip(pulled(&loaded, 64)) {
            let without_ids = |operations: &[Operation]| {
                operations
                    .iter()
                    .map(|it| (it.seq, it.due, it.section, it.iteration))
                    .collect::<Vec<_>>()
            };
            assert_eq!(without_ids(&made.operations), without_ids(&read.operations));
        }
    });
}

#[test]
fn a_chain_gives_the_same_operations_whatever_the_size_of_batches() {
    for_all(150, (any_document(), any_document(), any_chain()), |(first, second, chain)| {
        let Ok(stream) = chained(&chain, &first.stream(), &second.stream()) else { return };
        let expected = pulled(&stream, 64);
        assert_eq!(pulled(&stream, 1), expected);
        assert_eq!(pulled(&stream, 7), expected);
    });
}

#[test]
fn a_chain_gives_the_same_operations_whatever_the_order_in_which_clients_are_pulled() {
    for_all(100, (any_document(), any_document(), any_chain()), |(first, second, chain)| {
        let Ok(stream) = chained(&chain, &first.stream(), &second.stream()) else { return };
        let expected = pulled(&stream, 64);
        let mut source = TransformedSource::new(Rc::clone(&stream));
        let mut turns = vec![Pulled::default(); expected.len()];
        for section in SECTIONS {
            let mut left: Vec<u32> = (0..expected.len() as u32).rev().collect();
            left.retain(|client| turns[*client as usize].error.is_none());
            while !left.is_empty() {
                left.retain(|client| {
                    let turn = &mut turns[*client as usize];
                    match source.pull(*client, section, 2, &mut turn.operations) {
                        Ok(progress) => return progress == Progress::More,
                        Err(error) => turn.error = Some(error),
                    }
                    false
                });
            }
        }
        assert_eq!(turns, expected);
    });
}
