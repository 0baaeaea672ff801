//! The errors of hooks: one entry for each line of the script, with a count.

use crate::protocol::shortened;
use crate::script::error::{ScriptError, place_of};

/// Maximum number of lines kept apart. Errors at further lines are counted together.
const MOST: usize = 16;
/// Maximum number of characters kept of a message.
const MOST_CHARS: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct HookErrorLog {
    found: Vec<HookError>,
    /// The number of errors at further lines.
    others: u64,
    internal: Option<String>,
}

#[derive(Debug)]
struct HookError {
    /// `file:line`, or the message where there is none.
    place: String,
    /// The message of the first error at this place.
    message: String,
    count: u64,
    /// Whether the hook used up its time or memory, and was not called again.
    ended: bool,
}

impl HookErrorLog {
    pub fn add(&mut self, error: &ScriptError, ended: bool, paths: &[String]) {
        let message = error.to_string();
        if let ScriptError::Internal(_) = error {
            self.internal.get_or_insert(message);
            return;
        }
        let message = shortened(&message, MOST_CHARS);
        let place = place_of(&message, paths).unwrap_or(&message).to_string();
        let known = self.found.iter().position(|known| known.place == place);
        match known {
            Some(at) => {
                self.found[at].count += 1;
                self.found[at].ended |= ended;
            }
            None if self.found.len() == MOST => self.others += 1,
            None => {
                tracing::info!("{message} (in a hook)");
                self.found.push(HookError { place, message, count: 1, ended });
            }
        }
    }

    pub fn any(&self) -> bool {
        !self.found.is_empty() || self.internal.is_some()
    }

    /// Returns one message for each line, and the fault of smbench, if there was one.
    pub fn take(&mut self) -> (Vec<String>, Option<String>) {
        let reported = |error: HookError| {
            let HookError { message, count, ended, .. } = error;
            let times = if count == 1 { "once".into() } else { format!("{count} times") };
            let after = if ended { ", which is not called again" } else { "" };
            format!("{message} ({times}, in a hook{after})")
        };
        let mut messages: Vec<String> = self.found.drain(..).map(reported).collect();
        if self.others > 0 {
            messages.push(format!("{} errors in hooks at further lines", self.others));
            self.others = 0;
        }
        (messages, self.internal.take())
    }
}
