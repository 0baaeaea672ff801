//! The number of operations that are queued ahead for each client.

/// Maximum number of operations queued over all clients, and for one client.
const TOTAL: usize = 262_144;
const MOST: usize = 64;

/// Returns the maximum number of operations queued for each of so many clients.
pub fn lookahead(clients: u32) -> usize {
    (TOTAL / clients.max(1) as usize).clamp(2, MOST)
}
