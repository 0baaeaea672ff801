//! Formatting of values in failures, for readers who do not know Rust: statuses and levels by their
//! names in MS-SMB2, bytes in hexadecimal.

use std::fmt::Write;

use bytes::Bytes;

use crate::backend::OpError;
use crate::protocol::create::OplockLevel;
use crate::protocol::{
    Break, CreateAction, FileId, GrantedLease, LeaseBreak, LeaseState, NtStatus, OplockBreak,
};

/// The most characters of a value that are printed.
const MAX_CHARS: usize = 160;
/// The number of characters printed before two values differ.
const LEAD_CHARS: usize = 16;
const HEXADECIMAL: &str = "0x";

pub trait Shown {
    fn shown(&self) -> String;

    /// Formats several values.
    fn all_shown(items: &[Self]) -> String
    where
        Self: Sized,
    {
        items.iter().map(Shown::shown).collect::<Vec<_>>().join(", ")
    }
}

/// Formats two values that are not equal; of long ones, only the part where they differ.
pub fn both(found: &str, expected: &str) -> (String, String) {
    let common = found.chars().zip(expected.chars()).take_while(|(a, b)| a == b).count();
    let from = match common.saturating_sub(LEAD_CHARS) {
        from if from + LEAD_CHARS <= MAX_CHARS / 2 => 0,
        // The part starts at a whole byte.
        from => from - from % 2,
    };
    (part(found, from), part(expected, from))
}

/// Returns the part of `text` from character `from` on, with a note if anything was cut off.
fn part(text: &str, from: usize) -> String {
    let bytes = text.strip_prefix(HEXADECIMAL).map(|digits| digits.len() / 2);
    let length = text.chars().count();
    if length <= MAX_CHARS {
        return text.to_string();
    }
    let mut part: String = text.chars().skip(from).take(MAX_CHARS).collect();
    if from + MAX_CHARS < length {
        part.push('…');
    }
    if from > 0 {
        part.insert(0, '…');
    }
    match bytes {
        Some(bytes) if from > 0 => {
            let first = (from - HEXADECIMAL.len()) / 2;
            let _ = write!(part, " ({bytes} bytes, from byte {first} on)");
        }
        Some(bytes) => {
            let _ = write!(part, " ({bytes} bytes)");
        }
        None => {}
    }
    part
}

macro_rules! as_displayed {
    ($($kind:ty),*) => {
        $(impl Shown for $kind {
            fn shown(&self) -> String {
                self.to_string()
            }
        })*
    };
}
as_displayed!(bool, i32, u16, u32, u64, usize, str, LeaseState, FileId);

impl Shown for u8 {
    fn shown(&self) -> String {
        format!("0x{self:02x}")
    }

    fn all_shown(bytes: &[u8]) -> String {
        if bytes.is_empty() {
            return "no bytes".into();
        }
        bytes.iter().fold(HEXADECIMAL.into(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// Prints the name with the number, for readers to whom the name means nothing.
impl Shown for NtStatus {
    fn shown(&self) -> String {
        format!("{self:?}")
    }
}

impl Shown for OpError {
    fn shown(&self) -> String {
        match self {
            OpError::Status(status) => status.shown(),
            error => error.to_string(),
        }
    }
}

impl Shown for OplockLevel {
    fn shown(&self) -> String {
        self.name().into()
    }
}

impl Shown for CreateAction {
    fn shown(&self) -> String {
        self.name().into()
    }
}

impl Shown for GrantedLease {
    fn shown(&self) -> String {
        format!("a lease of {}", self.state)
    }
}

impl Shown for OplockBreak {
    fn shown(&self) -> String {
        format!("a break of the oplock of {} to {}", self.file_id, self.level.name())
    }
}

impl Shown for LeaseBreak {
    fn shown(&self) -> String {
        let LeaseBreak { key, current, new, .. } = self;
        format!("a break of the lease {} from {current} to {new}", key.shown())
    }
}

impl Shown for Break {
    fn shown(&self) -> String {
        match self {
            Break::Oplock(told) => told.shown(),
            Break::Lease(told) => told.shown(),
        }
    }
}

impl<T: Shown> Shown for [T] {
    fn shown(&self) -> String {
        T::all_shown(self)
    }
}

impl<T: Shown, const N: usize> Shown for [T; N] {
    fn shown(&self) -> String {
        T::all_shown(self)
    }
}

impl<T: Shown> Shown for Vec<T> {
    fn shown(&self) -> String {
        T::all_shown(self)
    }
}

impl Shown for Bytes {
    fn shown(&self) -> String {
        u8::all_shown(self)
    }
}

impl<T: Shown> Shown for Option<T> {
    fn shown(&self) -> String {
        self.as_ref().map_or_else(|| "none".into(), Shown::shown)
    }
}

impl<T: Shown + ?Sized> Shown for &T {
    fn shown(&self) -> String {
        (**self).shown()
    }
}

impl<A: Shown, B: Shown> Shown for (A, B) {
    fn shown(&self) -> String {
        format!("({}, {})", self.0.shown(), self.1.shown())
    }
}

impl<A: Shown, B: Shown, C: Shown> Shown for (A, B, C) {
    fn shown(&self) -> String {
        format!("({}, {}, {})", self.0.shown(), self.1.shown(), self.2.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_is_told_in_the_words_of_rust() {
        let file_id = FileId { persistent: 1, volatile: 2 };
        let broken = LeaseBreak {
            key: [0x0A; 16],
            current: LeaseState::RWH,
            new: LeaseState::RH,
            epoch: 1,
            acknowledgement_required: true,
        };
        let oplock = OplockBreak { file_id, level: OplockLevel::II };
        let key = "0x0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";
        for (shown, expected) in [
            (b"\x00\xff".shown(), "0x00ff"),
            (vec![0_u8; 0].shown(), "no bytes"),
            (Some([0x0A_u8; 16]).shown(), key),
            (None::<u64>.shown(), "none"),
            ([Some(1_u64), None].shown(), "1, none"),
            ((LeaseState::RH, LeaseState::NONE).shown(), "(RH, none)"),
            (OplockLevel::Batch.shown(), "SMB2_OPLOCK_LEVEL_BATCH"),
            (NtStatus::ACCESS_DENIED.shown(), "STATUS_ACCESS_DENIED (0xC0000022)"),
            (
                Break::Oplock(oplock).shown(),
                "a break of the oplock of 00000000000000010000000000000002 to SMB2_OPLOCK_LEVEL_II",
            ),
            (Break::Lease(broken).shown(), &format!("a break of the lease {key} from RWH to RH")),
        ] {
            assert_eq!(shown, expected);
        }
    }

    #[test]
    fn long_bytes_are_told_where_they_differ() {
        let found = vec![7_u8; 1_000];
        let mut expected = found.clone();
        expected[900] = 8;
        let (one, other) = both(&found.shown(), &expected.shown());
        assert!(one.starts_with("…07070707070707070707"), "{one}");
        assert!(other.starts_with("…070707070707070708"), "{other}");
        assert!(other.ends_with(" (1000 bytes, from byte 892 on)"), "{other}");
        let (one, other) = both(&found.shown(), &vec![8_u8; 3].shown());
        assert!(one.starts_with("0x0707") && one.ends_with("07… (1000 bytes)"), "{one}");
        assert_eq!(other, "0x080808");
    }
}
