//! The division of a stream's clients among several sources.

/// One of the parts among which the clients of a stream are divided. A client's operations are
/// made in one part alone, and are the same for any number of parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientPartition {
    /// The number of the part, from 0.
    pub part: u32,
    /// The number of parts.
    pub of: u32,
}

impl ClientPartition {
    pub const WHOLE: ClientPartition = ClientPartition { part: 0, of: 1 };

    /// Returns the part of a client among `of` parts. Clients are dealt one by one, so that
    /// every workload is divided evenly. The run-wide client, which comes after those of the
    /// workloads, belongs to the first part.
    pub fn part_of(client: u32, workload_clients: u32, of: u32) -> u32 {
        if client < workload_clients { client % of } else { 0 }
    }

    pub fn has(self, client: u32, workload_clients: u32) -> bool {
        ClientPartition::part_of(client, workload_clients, self.of) == self.part
    }

    /// Returns the same part, with at most as many parts as there are clients to divide.
    pub fn at_most(self, workload_clients: u32) -> ClientPartition {
        ClientPartition { of: self.of.clamp(1, workload_clients.max(1)), ..self }
    }

    /// Returns the first client of this part among those numbered from `first` on, counted
    /// from `first`. The part's other clients follow [`ClientPartition::of`] apart.
    pub fn first_of(self, first: u32) -> u32 {
        (self.part + self.of - first % self.of) % self.of
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_belongs_to_one_part_and_every_workload_is_dealt_evenly() {
        for of in 1..6 {
            for (first, clients) in [(0, 7), (7, 5), (12, 1)] {
                let mut owners = vec![0; of as usize];
                for part in 0..of {
                    let partition = ClientPartition { part, of };
                    let own = (partition.first_of(first)..clients).step_by(of as usize);
                    for id in own {
                        assert!(partition.has(first + id, 13), "{partition:?} {first}+{id}");
                        owners[part as usize] += 1;
                    }
                }
                assert_eq!(owners.iter().sum::<u32>(), clients);
                assert!(owners.iter().max().unwrap() - owners.iter().min().unwrap() <= 1);
            }
            assert_eq!(ClientPartition::part_of(13, 13, of), 0, "the run-wide client");
        }
    }

    #[test]
    fn there_are_no_more_parts_than_clients() {
        assert_eq!(
            ClientPartition { part: 0, of: 8 }.at_most(3),
            ClientPartition { part: 0, of: 3 }
        );
        assert_eq!(ClientPartition { part: 0, of: 8 }.at_most(0), ClientPartition::WHOLE);
        assert_eq!(
            ClientPartition { part: 1, of: 2 }.at_most(9),
            ClientPartition { part: 1, of: 2 }
        );
    }
}
