//! The handles that a client has open while its stream is made.

use std::ffi::c_void;

use mlua::LightUserData;

use crate::ir::HandleRef;

/// Maximum number of handles that a client may have open at a time.
pub(super) const MAX_OPEN: usize = 1 << SLOT_BITS;

const SLOT_BITS: u32 = 16;
const GENERATION_BITS: u32 = 26;
const CLIENT_BITS: u32 = 20;

/// The value that `open` returns to the script: one light userdata that identifies the client and
/// its handle. The generation distinguishes a handle from an earlier one with the same number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Token {
    mapped: bool,
    teardown: bool,
    client: u32,
    generation: u32,
    slot: u32,
}

/// The reason why a value cannot be used as a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HandleError {
    #[error("this handle belongs to another client; a client uses the handles it opened itself")]
    OtherClient,
    #[error("handle used after close")]
    Closed,
    #[error(
        "this handle was opened before teardown; open handles are closed when the iterations end, so open the file again"
    )]
    BeforeTeardown,
    #[error("{MAX_OPEN} handles are open, the most a client may have; is a close missing?")]
    TooMany,
}

#[derive(Debug)]
pub(super) struct Handles {
    /// Whether they are those of a client of a stream that passes through `bench.map`, whose number
    /// may be that of a client of the script.
    mapped: bool,
    client: u32,
    teardown: bool,
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    generation: u32,
    open: bool,
}

impl Handles {
    pub fn new(client: u32) -> Handles {
        Handles { mapped: false, client, teardown: false, slots: Vec::new(), free: Vec::new() }
    }

    pub fn of_mapped(client: u32) -> Handles {
        Handles { mapped: true, ..Handles::new(client) }
    }

    /// Starts teardown with no handle open and numbers handles afresh: the teardown must not depend
    /// on where the iterations were cut.
    pub fn enter_teardown(&mut self) {
        *self = Handles { mapped: self.mapped, teardown: true, ..Handles::new(self.client) };
    }

    pub fn open(&mut self) -> Result<(HandleRef, LightUserData), HandleError> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.slots.len() < MAX_OPEN => {
                self.slots.push(Slot { generation: 0, open: false });
                self.slots.len() as u32 - 1
            }
            None => return Err(HandleError::TooMany),
        };
        let entry = &mut self.slots[slot as usize];
        entry.generation = (entry.generation + 1) & ((1 << GENERATION_BITS) - 1);
        entry.open = true;
        let token = Token {
            mapped: self.mapped,
            teardown: self.teardown,
            client: self.client,
            generation: entry.generation,
            slot,
        };
        Ok((HandleRef(slot), token.into_light()))
    }

    pub fn find(&self, value: LightUserData) -> Result<HandleRef, HandleError> {
        let token = Token::from_light(value);
        if (token.mapped, token.client) != (self.mapped, self.client) {
            return Err(HandleError::OtherClient);
        }
        if token.teardown != self.teardown {
            return Err(HandleError::BeforeTeardown);
        }
        match self.slots.get(token.slot as usize) {
            Some(slot) if slot.open && slot.generation == token.generation => {
                Ok(HandleRef(token.slot))
            }
            _ => Err(HandleError::Closed),
        }
    }

    pub fn close(&mut self, handle: HandleRef) {
        if let Some(slot) = self.slots.get_mut(handle.0 as usize) {
            slot.open = false;
            self.free.push(handle.0);
        }
    }
}

impl Token {
    fn into_light(self) -> LightUserData {
        let bits = (u64::from(self.mapped) << (SLOT_BITS + GENERATION_BITS + CLIENT_BITS + 1))
            | (u64::from(self.teardown) << (SLOT_BITS + GENERATION_BITS + CLIENT_BITS))
            | (u64::from(self.client) << (SLOT_BITS + GENERATION_BITS))
            | (u64::from(self.generation) << SLOT_BITS)
            | u64::from(self.slot);
        LightUserData(std::ptr::without_provenance_mut::<c_void>(bits as usize))
    }

    fn from_light(value: LightUserData) -> Token {
        let bits = value.0.addr() as u64;
        let field = |shift: u32, width: u32| ((bits >> shift) & ((1 << width) - 1)) as u32;
        Token {
            mapped: field(SLOT_BITS + GENERATION_BITS + CLIENT_BITS + 1, 1) == 1,
            teardown: field(SLOT_BITS + GENERATION_BITS + CLIENT_BITS, 1) == 1,
            client: field(SLOT_BITS + GENERATION_BITS, CLIENT_BITS),
            generation: field(SLOT_BITS, GENERATION_BITS),
            slot: field(0, SLOT_BITS),
        }
    }
}

// The token fills 64 bits.
const _: () =
    assert!(size_of::<usize>() == 8 && 2 + SLOT_BITS + GENERATION_BITS + CLIENT_BITS == 64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_reused_after_close_but_the_old_handle_is_not_taken_for_the_new() {
        let mut handles = Handles::new(999_999);
        let (first, old) = handles.open().unwrap();
        assert_eq!(handles.find(old), Ok(first));
        handles.close(first);
        let (second, new) = handles.open().unwrap();
        assert_eq!(first, second);
        assert_eq!(handles.find(old), Err(HandleError::Closed));
        assert_eq!(handles.find(new), Ok(second));
    }

    #[test]
    fn handles_of_other_clients_and_from_before_teardown_are_distinguished() {
        let (mut ours, mut theirs) = (Handles::new(0), Handles::new(1));
        let (_, foreign) = theirs.open().unwrap();
        let (_, mine) = ours.open().unwrap();
        assert_eq!(ours.find(foreign), Err(HandleError::OtherClient));
        ours.enter_teardown();
        assert_eq!(ours.find(mine), Err(HandleError::BeforeTeardown));
        assert_eq!(ours.open().unwrap().0, HandleRef(0));
    }

    #[test]
    fn a_client_has_at_most_65536_handles_open() {
        let mut handles = Handles::new(3);
        let all: Vec<_> = (0..MAX_OPEN).map(|_| handles.open().unwrap().0).collect();
        assert_eq!(handles.open(), Err(HandleError::TooMany));
        handles.close(all[7]);
        assert_eq!(handles.open().unwrap().0, all[7]);
    }
}
