//! The clients that a check of a script compares.

use crate::ir::StreamHeader;

/// Number of clients of each workload whose setup, first iteration and teardown are made to their
/// end, as far as the bounds allow: the first two and the last.
pub(super) const MADE_WHOLE: u32 = 3;

/// Returns whether the check makes this client's setup, first iteration and teardown to their end.
pub(super) fn is_made_whole(id: u32, clients: u32) -> bool {
    id < MADE_WHOLE - 1 || id == clients - 1
}

/// Returns the clients that are compared: all of a workload, or some across its whole range. They
/// are at most `most`, unless there are so many workloads that few clients of each are more.
pub(super) fn compared_clients(header: &StreamHeader, most: u32) -> Vec<u32> {
    let of_each = (most / header.workloads.len().max(1) as u32).max(MADE_WHOLE);
    let mut first = 0;
    let mut clients = Vec::new();
    for workload in &header.workloads {
        clients.extend(sample(workload.clients, of_each).iter().map(|id| first + id));
        first += workload.clients;
    }
    clients
}

/// Returns the indexes of at most `most` clients of a workload, in ascending order: all of them, or
/// the first two, the last, and one of each equal part of the others. The position within the part
/// varies, because scripts often treat every second or every tenth client alike.
fn sample(clients: u32, most: u32) -> Vec<u32> {
    const GOLDEN_RATIO: u32 = 0x9e37_79b9;
    if clients <= most {
        return (0..clients).collect();
    }
    let (parts, others) = (u64::from(most - MADE_WHOLE), u64::from(clients - MADE_WHOLE));
    let between = (0..parts).map(|part| {
        let [begin, end] = [part, part + 1].map(|part| part * others / parts);
        let fraction = u64::from((part as u32).wrapping_mul(GOLDEN_RATIO));
        2 + (begin + ((fraction * (end - begin)) >> 32)) as u32
    });
    [0, 1].into_iter().chain(between).chain([clients - 1]).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_sample_has_clients_of_the_whole_range_and_of_every_period() {
        assert_eq!(sample(7, 7), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(sample(1_000_000, 3), [0, 1, 999_999]);
        for clients in [11, 150, 200, 1_001, 150_000] {
            let sampled = sample(clients, 10.max(clients / 2).min(1_000));
            assert!(sampled.is_sorted_by(|one, next| one < next), "{sampled:?}");
            assert_eq!(sampled.len(), 10.max(clients as usize / 2).min(1_000));
            assert_eq!(sampled.last(), Some(&(clients - 1)));
            for quarter in 0..4 {
                let (begin, end) = (clients / 4 * quarter, clients / 4 * (quarter + 1));
                assert!(sampled.iter().any(|id| (begin..end).contains(id)), "{sampled:?}");
            }
        }
        for period in [2, 3, 5, 10] {
            let late = sample(2_000, 1_000).into_iter().filter(|id| *id >= 1_500);
            let places: BTreeSet<u32> = late.map(|id| id % period).collect();
            assert_eq!(places.len(), period as usize);
        }
    }
}
