//! The numbers that the clients of a run have through all generations of its stream.

use std::collections::HashMap;
use std::sync::Arc;

use super::source::StreamHeader;
use super::workloads::{MAX_CLIENTS, MAX_WORKLOADS, Workload};

/// The numbers of a generation's clients. In a run a client keeps the number that it was given
/// when it joined, whatever its number in the streams of later generations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientNumbers {
    /// The number in the stream of each client of the run, or [`ABSENT`].
    in_stream: Vec<u32>,
}

/// The place of a client that the generation does not have.
const ABSENT: u32 = u32::MAX;

impl ClientNumbers {
    /// Returns the number that a client of the run has in the stream, if it is in it.
    pub fn in_stream(&self, client: u32) -> Option<u32> {
        self.in_stream.get(client as usize).copied().filter(|number| *number != ABSENT)
    }

    /// Returns the clients of the run that are in the stream, in order.
    pub fn clients(&self) -> impl Iterator<Item = u32> + '_ {
        (0..)
            .zip(&self.in_stream)
            .filter(|(_, number)| **number != ABSENT)
            .map(|(client, _)| client)
    }
}

/// A generation whose clients cannot be given numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    #[error(
        "the generations of a run have more than {MAX_CLIENTS} different clients together; restart the run"
    )]
    Clients,
    #[error(
        "the generations of a run have more than {MAX_WORKLOADS} different workloads together; restart the run"
    )]
    Workloads,
}

/// Gives numbers to the clients of `next`, the stream that a run goes on with. A client is the same
/// as one of `run` if it has the same workload, by name, and the same number in it, or the same
/// name if the clients of both have names. Others get numbers after all that were given.
///
/// Returns the header of the run with these clients. Everything else in it is that of `run`.
///
/// # Errors
/// [`RosterError`] if there would be too many clients or workloads.
pub fn next_header(
    run: &StreamHeader,
    next: &StreamHeader,
) -> Result<(StreamHeader, ClientNumbers), RosterError> {
    let run_client = run.run_client.then(|| run.run_client_number());
    let mut workloads = run.workloads.clone();
    if let Some(run_client) = run_client {
        workloads.reserve(run_client);
    }
    let mut grown: Vec<Workload> = run.workloads.to_vec();
    for workload in &mut grown {
        workload.clients = 0;
    }
    let mut known = run.workloads.numbers_by_workload();
    let mut places: HashMap<Arc<str>, usize> = HashMap::new();
    places.extend((0..).zip(&grown).map(|(at, workload)| (Arc::clone(&workload.name), at)));
    let mut pairs: Vec<(u32, u32)> = Vec::new();
    let mut first = 0;
    for workload in &next.workloads {
        let at = *places.entry(Arc::clone(&workload.name)).or_insert_with(|| {
            grown.push(Workload { client_names: None, ..workload.clone() });
            known.push(Vec::new());
            grown.len() - 1
        });
        let was_known = !known[at].is_empty();
        let ids = place_names(&mut grown[at], workload, was_known);
        let place = &mut grown[at];
        place.clients = workload.clients;
        place.on_break = workload.on_break;
        place.setup_on_reload = workload.setup_on_reload;
        for (stream, id) in (first..).zip(ids) {
            while known[at].len() <= id as usize {
                let number = workloads.clients();
                if number >= MAX_CLIENTS {
                    return Err(RosterError::Clients);
                }
                workloads.append(at, known[at].len() as u32);
                known[at].push(number);
            }
            pairs.push((known[at][id as usize], stream));
        }
        first += workload.clients;
    }
    if grown.len() > MAX_WORKLOADS {
        return Err(RosterError::Workloads);
    }
    let mut in_stream =
        vec![ABSENT; workloads.clients().max(run_client.map_or(0, |it| it + 1)) as usize];
    let taking_part: Option<std::collections::HashSet<u32>> =
        next.active.as_ref().map(|active| active.iter().copied().collect());
    for (client, stream) in pairs {
        if taking_part.as_ref().is_none_or(|active| active.contains(&stream)) {
            in_stream[client as usize] = stream;
        }
    }
    let numbers_of_workloads = ClientNumbers { in_stream: in_stream.clone() };
    let active = numbers_of_workloads.clients().collect();
    if let (Some(run_client), true) = (run_client, next.run_client) {
        in_stream[run_client as usize] = next.workload_clients();
    }
    let header =
        StreamHeader { workloads: workloads.with_list(grown), active: Some(active), ..run.clone() };
    Ok((header, ClientNumbers { in_stream }))
}

/// Returns the number within the run's workload `place` of each client of `next`, and gives the
/// names of new clients to `place`.
fn place_names(place: &mut Workload, next: &Workload, was_known: bool) -> Vec<u32> {
    let by_number = || (0..next.clients).collect();
    let Some(names) = &next.client_names else { return by_number() };
    let mut known: Vec<Arc<str>> = match &place.client_names {
        Some(known) => known.to_vec(),
        None if was_known => return by_number(),
        None => Vec::new(),
    };
    let mut ids: HashMap<Arc<str>, u32> = (known.iter().cloned()).zip(0..).collect();
    let of_next = (names.iter())
        .map(|name| {
            *ids.entry(Arc::clone(name)).or_insert_with(|| {
                known.push(Arc::clone(name));
                known.len() as u32 - 1
            })
        })
        .collect();
    place.client_names = Some(known.into());
    of_next
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(workloads: &[(&str, u32)], run_client: bool) -> StreamHeader {
        let workloads = workloads.iter().map(|(name, clients)| Workload::new(name, *clients));
        StreamHeader { workloads: workloads.collect(), run_client, ..StreamHeader::default() }
    }

    fn names(header: &StreamHeader, numbers: &ClientNumbers) -> Vec<(u32, String, u32)> {
        let named =
            |client| (client, header.client_name(client), numbers.in_stream(client).unwrap());
        numbers.clients().map(named).collect()
    }

    fn shown(named: &[(u32, &str, u32)]) -> Vec<(u32, String, u32)> {
        named.iter().map(|(client, name, stream)| (*client, name.to_string(), *stream)).collect()
    }

    #[test]
    fn a_client_keeps_its_number_and_a_new_one_gets_a_number_after_all_others() {
        let first = header(&[("a", 2), ("b", 1)], true);
        let (second, numbers) = next_header(&first, &header(&[("b", 2), ("a", 3)], true)).unwrap();
        let expected = [
            (0, "a/0", 2),
            (1, "a/1", 3),
            (2, "b/0", 0),
            (3, "bench", 5),
            (4, "b/1", 1),
            (5, "a/2", 4),
        ];
        assert_eq!(names(&second, &numbers), shown(&expected));
        assert_eq!(second.iterating_count(), 5);
        let counts: Vec<_> = second.workloads.iter().map(|it| (&*it.name, it.clients)).collect();
        assert_eq!(counts, [("a", 3), ("b", 2)]);
    }

    #[test]
    fn clients_that_leave_and_come_back_are_the_same() {
        let first = header(&[("a", 3)], false);
        let (second, numbers) = next_header(&first, &header(&[("a", 1), ("c", 1)], false)).unwrap();
        assert_eq!(names(&second, &numbers), shown(&[(0, "a/0", 0), (3, "c/0", 1)]));
        let (third, numbers) = next_header(&second, &header(&[("a", 2)], false)).unwrap();
        assert_eq!(names(&third, &numbers), shown(&[(0, "a/0", 0), (1, "a/1", 1)]));
        assert_eq!(
            third.client_name(3),
            "c/0",
            "events of the generation before still have a name"
        );
        assert_eq!((third.iterating_count(), third.workloads[1].clients), (2, 0));
    }

    #[test]
    fn clients_of_a_document_are_known_by_their_names() {
        let document = |names: &[&str]| {
            let client_names = names.iter().map(|name| Arc::from(*name)).collect::<Vec<_>>();
            let workload = Workload {
                client_names: Some(client_names.into()),
                ..Workload::new("day", names.len() as u32)
            };
            StreamHeader { workloads: [workload].into_iter().collect(), ..StreamHeader::default() }
        };
        let (second, numbers) =
            next_header(&document(&["ada", "bob"]), &document(&["cy", "bob"])).unwrap();
        assert_eq!(names(&second, &numbers), shown(&[(1, "bob", 1), (2, "cy", 0)]));
        assert_eq!(second.client_name(0), "ada");
    }

    #[test]
    fn the_same_stream_again_changes_no_number() {
        let first = header(&[("a", 2)], true);
        let (second, numbers) = next_header(&first, &first).unwrap();
        assert_eq!(
            numbers.clients().map(|it| numbers.in_stream(it)).collect::<Vec<_>>(),
            [Some(0), Some(1), Some(2)]
        );
        let (third, again) = next_header(&second, &first).unwrap();
        assert_eq!((again, &third.workloads), (numbers, &second.workloads));
    }

    #[test]
    fn the_numbers_of_all_generations_together_are_bounded() {
        let mut run = header(&[("w", MAX_CLIENTS / 2)], false);
        run = next_header(&run, &header(&[("v", MAX_CLIENTS / 2)], false)).unwrap().0;
        let refused = next_header(&run, &header(&[("u", 1)], false)).unwrap_err();
        assert_eq!(refused, RosterError::Clients);
    }
}
