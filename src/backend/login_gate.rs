//! A gate that keeps many clients of one account from locking it: a password that no longer works
//! is tried once, not once by each client.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::ConnectError;

/// A gate through which the clients of one account log in. A client may pass while no
/// other client is logging in, or once another login has succeeded since the client came.
/// So one client logs in before all others when a run starts, and after a server was away.
#[derive(Default)]
pub struct LoginGate {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// The refusal of the account. It holds for the rest of the run.
    refused: Option<ConnectError>,
    in_progress: u64,
    /// Number of logins that succeeded.
    accepted: u64,
}

/// The right to log in. Dropping it ends the turn without an outcome.
pub struct LoginTurn<'a>(&'a LoginGate);

impl LoginGate {
    /// Waits for a turn. The caller bounds the wait.
    ///
    /// # Errors
    /// The account was refused, to this client or another.
    pub async fn enter(&self) -> Result<LoginTurn<'_>, ConnectError> {
        let accepted_before = self.state().accepted;
        loop {
            // Created before the state is read, so that no change is missed.
            let changed = self.changed.notified();
            {
                let mut state = self.state();
                if let Some(error) = &state.refused {
                    return Err(error.clone());
                }
                if state.in_progress == 0 || state.accepted > accepted_before {
                    state.in_progress += 1;
                    return Ok(LoginTurn(self));
                }
            }
            changed.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LoginTurn<'_> {
    /// Records that the server let the client in.
    pub fn accepted(self) {
        self.0.state().accepted += 1;
    }

    /// Records that the server refused the account. From then on nobody logs in.
    pub fn refused(self, error: ConnectError) {
        self.0.state().refused.get_or_insert(error);
    }
}

impl Drop for LoginTurn<'_> {
    fn drop(&mut self) {
        self.0.state().in_progress -= 1;
        self.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;

    use futures_util::FutureExt;

    use super::super::ConnectStage;
    use super::*;

    type Entering<'a> = Pin<Box<dyn Future<Output = Result<LoginTurn<'a>, ConnectError>> + 'a>>;

    fn entering(gate: &LoginGate) -> Entering<'_> {
        let mut entering: Entering = Box::pin(gate.enter());
        assert!(entering.as_mut().now_or_never().is_none(), "it waits for its turn");
        entering
    }

    fn turn(gate: &LoginGate) -> LoginTurn<'_> {
        gate.enter().now_or_never().expect("nobody else logs in").unwrap()
    }

    fn refusal() -> ConnectError {
        ConnectError {
            server: "nas".into(),
            user: Some("ann".into()),
            stage: ConnectStage::Login,
            reason: "STATUS_LOGON_FAILURE".into(),
            transient: false,
            account_refused: true,
        }
    }

    #[test]
    fn one_logs_in_ahead_of_the_others_and_then_they_do_at_once() {
        let gate = LoginGate::default();
        let first = turn(&gate);
        let mut others = [entering(&gate), entering(&gate)];
        first.accepted();
        let turns: Vec<_> =
            others.iter_mut().map(|other| other.as_mut().now_or_never().unwrap()).collect();
        assert!(turns.iter().all(Result::is_ok));
        // A client that comes during these logins waits until one of them succeeds.
        let mut late = entering(&gate);
        let mut turns = turns.into_iter();
        turns.next().unwrap().unwrap().accepted();
        assert!(late.as_mut().now_or_never().is_some());
    }

    #[test]
    fn after_a_refusal_nobody_logs_in() {
        let gate = LoginGate::default();
        let first = turn(&gate);
        let mut other = entering(&gate);
        first.refused(refusal());
        assert_eq!(other.as_mut().now_or_never().unwrap().err(), Some(refusal()));
        assert_eq!(gate.enter().now_or_never().unwrap().err(), Some(refusal()));
    }

    #[test]
    fn a_login_without_an_outcome_lets_one_other_try() {
        let gate = LoginGate::default();
        let first = turn(&gate);
        let (mut second, mut third) = (entering(&gate), entering(&gate));
        // The login took too long and was given up.
        drop(first);
        let second = second.as_mut().now_or_never().unwrap().unwrap();
        assert!(third.as_mut().now_or_never().is_none());
        drop(second);
        assert!(third.as_mut().now_or_never().is_some());
    }

    #[test]
    fn a_login_from_before_lets_nobody_in_who_comes_after_it() {
        let gate = LoginGate::default();
        turn(&gate).accepted();
        let _first = turn(&gate);
        let _waits = entering(&gate);
    }
}
