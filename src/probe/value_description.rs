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

pub trait Describe {
    fn described(&self) -> String;

    /// Formats several values.
    fn all_described(items: &[Self]) -> String
    where
        Self: Sized,
    {
        items.iter().map(Describe::described).collect::<Vec<_>>().join(", ")
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

macro_rules! describe {
    ($($kind:ty),* => $method:ident) => {
        $(impl Describe for $kind {
            fn described(&self) -> String {
                self.$method().into()
            }
        })*
    };
}
describe!(bool, i32, u16, u32, u64, usize, str, LeaseState, FileId => to_string);
describe!(OplockLevel, CreateAction => name);

impl Describe for u8 {
    fn described(&self) -> String {
        format!("0x{self:02x}")
    }

    fn all_described(bytes: &[u8]) -> String {
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
impl Describe for NtStatus {
    fn described(&self) -> String {
        format!("{self:?}")
    }
}

impl Describe for OpError {
    fn described(&self) -> String {
        match self {
            OpError::Status(status) => status.described(),
            error => error.to_string(),
        }
    }
}

impl Describe for GrantedLease {
    fn described(&self) -> String {
        format!("a lease of {}", self.state)
    }
}

impl Describe for OplockBreak {
    fn described(&self) -> String {
        format!("a break of the oplock of {} to {}", self.file_id, self.level.name())
    }
}

impl Describe for LeaseBreak {
    fn described(&self) -> String {
        let LeaseBreak { key, current, new, .. } = self;
        format!("a break of the lease {} from {current} to {new}", key.described())
    }
}

impl Describe for Break {
    fn described(&self) -> String {
        match self {
            Break::Oplock(notice) => notice.described(),
            Break::Lease(notice) => notice.described(),
        }
    }
}

impl<T: Describe> Describe for [T] {
    fn described(&self) -> String {
        T::all_described(self)
    }
}

impl<T: Describe, const N: usize> Describe for [T; N] {
    fn described(&self) -> String {
        T::all_described(self)
    }
}

impl<T: Describe> Describe for Vec<T> {
    fn described(&self) -> String {
        T::all_described(self)
    }
}

impl Describe for Bytes {
    fn described(&self) -> String {
        u8::all_described(self)
    }
}

impl<T: Describe> Describe for Option<T> {
    fn described(&self) -> String {
        self.as_ref().map_or_else(|| "none".into(), Describe::described)
    }
}

impl<T: Describe + ?Sized> Describe for &T {
    fn described(&self) -> String {
        (**self).described()
    }
}

impl<A: Describe, B: Describe> Describe for (A, B) {
    fn described(&self) -> String {
        format!("({}, {})", self.0.described(), self.1.described())
    }
}

impl<A: Describe, B: Describe, C: Describe> Describe for (A, B, C) {
    fn described(&self) -> String {
        format!("({}, {}, {})", self.0.described(), self.1.described(), self.2.described())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_is_described_in_the_words_of_rust() {
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
            (b"\x00\xff".described(), "0x00ff"),
            (vec![0_u8; 0].described(), "no bytes"),
            (Some([0x0A_u8; 16]).described(), key),
            (None::<u64>.described(), "none"),
            ([Some(1_u64), None].described(), "1, none"),
            ((LeaseState::RH, LeaseState::NONE).described(), "(RH, none)"),
            (OplockLevel::Batch.described(), "SMB2_OPLOCK_LEVEL_BATCH"),
            (NtStatus::ACCESS_DENIED.described(), "STATUS_ACCESS_DENIED (0xC0000022)"),
            (
                Break::Oplock(oplock).described(),
                "a break of the oplock of 00000000000000010000000000000002 to SMB2_OPLOCK_LEVEL_II",
            ),
            (
                Break::Lease(broken).described(),
                &format!("a break of the lease {key} from RWH to RH"),
            ),
        ] {
            assert_eq!(shown, expected);
        }
    }

    #[test]
    fn long_bytes_are_described_by_where_they_differ() {
        let found = vec![7_u8; 1_000];
        let mut expected = found.clone();
        expected[900] = 8;
        let (one, other) = both(&found.described(), &expected.described());
        assert!(one.starts_with("…07070707070707070707"), "{one}");
        assert!(other.starts_with("…070707070707070708"), "{other}");
        assert!(other.ends_with(" (1000 bytes, from byte 892 on)"), "{other}");
        let (one, other) = both(&found.described(), &vec![8_u8; 3].described());
        assert!(one.starts_with("0x0707") && one.ends_with("07… (1000 bytes)"), "{one}");
        assert_eq!(other, "0x080808");
    }
}
