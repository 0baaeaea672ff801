//! Checks of the calls that the server saw. Each attempt of an operation is at most one call, or
//! two if the server refused the lease of the first. The times are those of the completion, and no
//! attempt begins before its backoff. The only other calls are the closes that cleaned up.

use smbench::ir::{CompletionStatus, OperationType};

use super::Client;
use crate::run::Outcome;
use crate::watched::Call;

/// The backoff before the second attempt. It doubles before each later one.
const FIRST_BACKOFF_NS: u64 = 100_000_000;

pub fn check(outcome: &Outcome, client: &Client) -> Result<(), String> {
    let mut calls = outcome.calls.iter().filter(|call| call.client_idx == client.index).peekable();
    let mut cleaned_up = 0;
    for completion in &client.completions {
        if matches!(completion.execution.status, CompletionStatus::Skipped { .. }) {
            continue;
        }
        let operation = &completion.operation;
        let wrong = |what: &str, call: Option<&Call>| {
            let (index, seq) = (client.index, operation.seq);
            Err(format!("client {index}: operation {seq} {what}: {call:?} for {completion:?}"))
        };
        let mut backoff_ns = FIRST_BACKOFF_NS;
        let mut again_from_ns = 0;
        for attempt in 0..=completion.retries {
            let last = attempt == completion.retries;
            while attempt == 0
                && let Some(call) = calls.peek()
                && call.what == OperationType::Close
                && (operation.operation_type() != OperationType::Close
                    || call.began_ns < completion.times.issued_ns)
            {
                calls.next();
                cleaned_up += 1;
            }
            // An operation that is given up as it is handed out never reaches the server.
            if last && completion.execution.status == CompletionStatus::Cut {
                calls.next_if(|call| call.what == operation.operation_type());
                continue;
            }
            let call = calls.next();
            let Some(&Call { what, began_ns, mut ended_ns, lease_refused, .. }) = call else {
                return wrong("never reached the server", None);
            };
            // The second request follows at once, with another lease or none.
            if lease_refused {
                let second = |call: &&Call| call.what == what && Some(call.began_ns) == ended_ns;
                if let Some(second) = calls.next_if(second) {
                    ended_ns = second.ended_ns;
                }
            }
            if what != operation.operation_type() {
                return wrong("is not what the server saw", call);
            }
            if began_ns < again_from_ns {
                return wrong("was tried again before its backoff had passed", call);
            }
            let at_ns = if attempt == 0 {
                Some(completion.times.issued_ns)
            } else {
                last.then_some(completion.times.attempted_ns)
            };
            if at_ns.is_some_and(|at_ns| at_ns != began_ns) {
                return wrong("was issued at another time than it says", call);
            }
            let Some(ended_ns) =
                ended_ns.filter(|ended_ns| *ended_ns <= completion.times.completed_ns)
            else {
                return wrong("completed before it had ended", call);
            };
            again_from_ns = ended_ns + backoff_ns;
            backoff_ns *= 2;
        }
    }
    for call in calls {
        if call.what != OperationType::Close {
            return Err(format!("client {}: lost, without a completion: {call:?}", client.index));
        }
        cleaned_up += 1;
    }
    if cleaned_up != client.cleaned_up && !client.ended_early(outcome) {
        let (index, reported) = (client.index, client.cleaned_up);
        return Err(format!(
            "client {index}: {cleaned_up} handles cleaned up, {reported} reported"
        ));
    }
    Ok(())
}

impl Client<'_> {
    /// Returns whether the client failed or the run was given up. What the client was doing then is
    /// not reported.
    pub fn ended_early(&self, outcome: &Outcome) -> bool {
        use smbench::ir::Event::GaveUp;
        self.failed || outcome.events().any(|event| matches!(event, GaveUp { .. }))
    }
}
