//! Checks of breaks: each ends once, in a way that is possible; no operation it blocks reaches the
//! server before its end, and none waits longer than that.

use std::collections::HashSet;

use smbench::ir::event::{BreakEnd, BreakEvent};
use smbench::ir::{
    CompletionEvent, CompletionStatus, Event, Failure, OpenOperation, OperationKind, OperationType,
};
use smbench::protocol::break_policy::SERVER_BREAK_TIMEOUT_NS;
use smbench::protocol::{Break, BreakAnswer, BreakPolicy, Granted};

use super::Client;
use crate::run::Outcome;
use crate::scenario::Scenario;
use crate::watched::Call;

pub fn check(scenario: &Scenario, outcome: &Outcome, clients: &[Client]) -> Result<(), String> {
    let mut reported = HashSet::new();
    for event in events(outcome) {
        let wrong = |what: &str| Err(format!("a break {what}: {event:?}"));
        if !reported.insert((event.client_idx, format!("{:?}", event.notice), event.noticed_ns)) {
            return wrong("ended twice");
        }
        let client = &clients[event.client_idx as usize];
        let opens: Vec<&CompletionEvent> = opens(client, &event.notice).collect();
        if opens.is_empty() {
            return wrong("is of nothing that was granted");
        }
        if let Err(what) = fits(scenario, outcome, client, event, &opens) {
            return wrong(&what);
        }
        if event.blocked_ns > u64::from(event.blocked) * (event.ended_ns - event.noticed_ns) {
            return wrong("was waited for longer than it lasted");
        }
        if event.end != BreakEnd::NotAsked
            && let Some(call) = went_ahead(scenario, outcome, event, &opens)
        {
            return wrong(&format!("did not keep back {call:?}"));
        }
    }
    unreported(outcome, clients)
}

/// Checks that every notice of something that the client certainly held has an event.
fn unreported(outcome: &Outcome, clients: &[Client]) -> Result<(), String> {
    use Failure::{ConnectionLost, Panicked, TimedOut};
    let gave_up = outcome.log.iter().find(|logged| matches!(logged.event, Event::GaveUp { .. }));
    let until_ns = gave_up.map_or(outcome.ended_ns, |logged| logged.at_ns);
    for notice in outcome.notices.iter().filter(|notice| notice.at_ns < until_ns) {
        let client = &clients[notice.client_idx as usize];
        let had = opens(client, &notice.notice).any(|open| {
            let file_id = open.execution.granted.as_ref().map(|granted| granted.file_id);
            let closed = outcome.calls.iter().any(|call| {
                call.client_idx == client.index
                    && call.what == OperationType::Close
                    && call.granted.map(|granted| granted.file_id) == file_id
                    && call.began_ns <= notice.at_ns
            });
            let lost = client.completions.iter().any(|completion| {
                use CompletionStatus::Failed;
                let status = &completion.execution.status;
                (open.times.completed_ns..=notice.at_ns).contains(&completion.times.completed_ns)
                    && matches!(status, Failed(ConnectionLost(_) | Panicked(_) | TimedOut))
            });
            open.times.completed_ns < notice.at_ns && !closed && !lost
        });
        let reported = events(outcome).any(|event| {
            (event.client_idx, event.notice, event.noticed_ns)
                == (notice.client_idx, notice.notice, notice.at_ns)
        });
        if had && !reported {
            return Err(format!("a break never ended: {notice:?}"));
        }
    }
    Ok(())
}

pub fn events(outcome: &Outcome) -> impl Iterator<Item = &BreakEvent> {
    outcome.events().filter_map(|event| match event {
        Event::Break(event) => Some(&**event),
        _ => None,
    })
}

/// Returns whether a break ended at this time, so that an operation may have waited for it until
/// then.
pub fn one_ended_at(outcome: &Outcome, at_ns: u64) -> bool {
    events(outcome).any(|event| event.ended_ns == at_ns)
}

/// Returns the client's opens that hold what the notice takes back.
fn opens<'a>(
    client: &'a Client,
    notice: &Break,
) -> impl Iterator<Item = &'a CompletionEvent> + use<'a> {
    let notice = *notice;
    client.completions.iter().copied().filter(move |completion| {
        completion.execution.granted.as_deref().is_some_and(|granted| holds(granted, &notice))
    })
}

fn holds(granted: &Granted, notice: &Break) -> bool {
    match notice {
        Break::Oplock(oplock) => granted.lease.is_none() && granted.file_id == oplock.file_id,
        Break::Lease(lease) => granted.lease.is_some_and(|granted| granted.key == lease.key),
    }
}

fn fits(
    scenario: &Scenario,
    outcome: &Outcome,
    client: &Client,
    event: &BreakEvent,
    opens: &[&CompletionEvent],
) -> Result<(), String> {
    let holds = |fact: bool, what: &str| if fact { Ok(()) } else { Err(what.to_string()) };
    let (noticed_ns, ended_ns) = (event.noticed_ns, event.ended_ns);
    holds(noticed_ns <= ended_ns, "ended before it came")?;
    holds(ended_ns - noticed_ns <= SERVER_BREAK_TIMEOUT_NS, "lasted longer than its server")?;
    let policies = || {
        let workload = scenario.stream.header.on_break(event.client_idx);
        let own = opens.iter().filter_map(|open| match &open.operation.kind {
            OperationKind::Open(OpenOperation { extensions, .. }) => extensions.as_ref()?.on_break,
            _ => None,
        });
        own.chain([workload])
    };
    let answers = |policy: BreakPolicy| policy.answer == BreakAnswer::Acknowledge;
    if let Some(acknowledged_ns) = event.acknowledged_ns {
        let due_ns = policies()
            .filter(|policy| answers(*policy))
            .map(|policy| noticed_ns.saturating_add(policy.delay_ns))
            .min();
        holds(due_ns.is_some(), "was answered, and nobody was to")?;
        holds(due_ns.is_some_and(|due_ns| due_ns <= acknowledged_ns), "was answered too soon")?;
        holds(acknowledged_ns <= ended_ns, "was answered after its end")?;
    }
    let answered = event.acknowledged_ns.is_some();
    let closes = || {
        let mut calls = outcome.calls.iter().filter(|call| call.client_idx == client.index);
        calls.any(|call| call.what == OperationType::Close && call.ended_ns == Some(ended_ns))
    };
    match event.end {
        BreakEnd::NotAsked => {
            let asked = matches!(event.notice, Break::Lease(l) if l.acknowledgement_required);
            let quick = opens.iter().any(|open| open.times.completed_ns == ended_ns);
            holds(!asked && !answered, "wanted an answer")?;
            holds(noticed_ns == ended_ns || quick, "was not over at once")
        }
        BreakEnd::Acknowledged | BreakEnd::Refused => holds(answered, "had no answer"),
        BreakEnd::Closed => holds(closes(), "ended with no close"),
        BreakEnd::Ignored | BreakEnd::TimedOut => {
            let ignores = policies().any(|policy| !answers(policy));
            holds(ignores || event.end != BreakEnd::Ignored, "was to be answered")?;
            let given_up = ended_ns - noticed_ns == SERVER_BREAK_TIMEOUT_NS;
            holds(given_up, "was given up before the server did")
        }
        BreakEnd::ConnectionLost => {
            use Failure::{ConnectionLost, Panicked, Status, TimedOut};
            let lost = client.completions.iter().any(|completion| {
                use CompletionStatus::{Cut, Failed};
                let loses = matches!(
                    &completion.execution.status,
                    Failed(ConnectionLost(_) | Panicked(_) | TimedOut | Status(_)) | Cut
                );
                loses && completion.times.completed_ns >= ended_ns
            });
            let away = !scenario.outages.is_empty() || scenario.faults_per_mille > 0;
            holds(lost || away || client.failed, "lost no connection")
        }
        BreakEnd::Cut => {
            let gave_up = outcome.events().any(|event| matches!(event, Event::GaveUp { .. }));
            holds(gave_up || outcome.reason.is_some(), "was cut where nothing was given up")
        }
    }
}

/// Returns a call that the break blocks and that was sent all the same, between the notice and the
/// end of the break.
fn went_ahead<'a>(
    scenario: &Scenario,
    outcome: &'a Outcome,
    event: &BreakEvent,
    opens: &[&CompletionEvent],
) -> Option<&'a Call> {
    // A notice that overtook the answer to its open takes effect with that answer.
    let overtook = opens
        .iter()
        .filter(|open| (open.times.issued_ns..open.times.completed_ns).contains(&event.noticed_ns));
    let from_ns = overtook.map(|open| open.times.completed_ns).fold(event.noticed_ns, u64::max);
    let before = opens.iter().rfind(|open| open.times.completed_ns <= from_ns);
    let file = before.and_then(|open| open.execution.granted.as_ref()?.disk_file_id);
    // The server knows of a rename before its client does.
    let renamed = outcome.calls.iter().any(|call| {
        call.what == OperationType::Rename && call.file == file && call.began_ns < event.ended_ns
    });
    outcome.calls.iter().find(|call| {
        let during = from_ns < call.began_ns && call.began_ns < event.ended_ns;
        let own = call.client_idx == event.client_idx
            && call.granted.is_some_and(|granted| holds(&granted, &event.notice));
        let by_file = scenario.by_file
            && file.is_some()
            && call.file == file
            && (call.granted.is_some() || !renamed);
        during && call.what != OperationType::Close && (own || by_file)
    })
}
