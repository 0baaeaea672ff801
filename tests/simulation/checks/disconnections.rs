//! Checks of the time in which a client had no connection during the phases.

use std::collections::BTreeMap;

use smbench::ir::Failure::{ConnectionLost, Panicked, TimedOut};
use smbench::ir::event::Disconnection;
use smbench::ir::{CompletionStatus, Section};

use super::Client;
use crate::run::Outcome;

/// Checks that each loss is reported once and without a gap, up to the reconnect or the end of
/// measuring.
pub fn check(outcome: &Outcome, client: &Client) -> Result<(), String> {
    let Some((_, end_ns)) = outcome.measured_ns else {
        return match client.disconnected.is_empty() {
            true => Ok(()),
            false => Err("disconnected before time zero".into()),
        };
    };
    let mut left = client.disconnected.clone();
    // Several operations may fail at one instant; the last of them loses the connection.
    let mut losses = BTreeMap::new();
    for completion in &client.completions {
        let CompletionStatus::Failed(failure) = &completion.execution.status else { continue };
        let certain = matches!(failure, ConnectionLost(_) | Panicked(_));
        // An operation that the server could cancel keeps its connection.
        let measured = completion.operation.section == Section::Iteration;
        if measured && (certain || *failure == TimedOut) {
            *losses.entry(completion.times.completed_ns).or_default() |= certain;
        }
    }
    for (lost_ns, certain) in losses {
        let (own, others) = left.into_iter().partition::<Vec<_>, _>(|it| it.lost_ns == lost_ns);
        left = others;
        let back_ns = client.resumed_ns.iter().copied().find(|resumed_ns| *resumed_ns > lost_ns);
        let until_ns = back_ns.unwrap_or(u64::MAX).min(end_ns);
        let mut at_ns = lost_ns;
        for stretch in &own {
            if stretch.from_ns != at_ns || stretch.to_ns <= stretch.from_ns {
                return Err(format!("client {}: a gap before {stretch:?}", client.index));
            }
            at_ns = stretch.to_ns;
        }
        if (certain || !own.is_empty()) && at_ns < until_ns || at_ns > until_ns.max(lost_ns) {
            return Err(format!(
                "client {}: without a connection from {lost_ns} to {until_ns}, reported to {at_ns}",
                client.index
            ));
        }
    }
    // The other connections were lost while the client was idle, which its next operation finds
    // out.
    for stretch in &left {
        let goes_on = |it: &&&Disconnection| it.lost_ns == stretch.lost_ns;
        let until_ns = left.iter().filter(goes_on).map(|it| it.to_ns).max();
        let back = client.resumed_ns.iter().copied().find(|at_ns| *at_ns > stretch.lost_ns);
        if until_ns != Some(back.unwrap_or(u64::MAX).min(end_ns)) {
            return Err(format!("client {}: it ends wrongly: {stretch:?}", client.index));
        }
    }
    Ok(())
}
