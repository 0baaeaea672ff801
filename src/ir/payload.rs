//! The data that a write carries. It is at hand before the operation is issued.

use std::sync::{Arc, LazyLock};

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::blobs::Blob;
use crate::protocol::SharePath;

/// The most bytes one read or write may carry; more is refused when the stream is made.
pub const MAX_IO_BYTES: u64 = 64 << 20;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Payload {
    Pattern(Pattern),
    Blob(Arc<Blob>),
}

/// Content that follows from pattern, seed, path and position in the file, so that it can be
/// checked without being stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pattern {
    Zero,
    /// Bytes that are incompressible within a window of 1 MiB.
    Random,
    /// Lines of printable ASCII.
    Text,
}

const TILE: usize = 1 << 20;

impl Pattern {
    /// Returns the bytes of `[offset, offset + length)` of the file at `path`.
    ///
    /// The content repeats every MiB, at a phase that follows from seed and path. Up to a MiB
    /// is therefore a slice of one shared tile, and nothing is copied.
    pub fn bytes(self, seed: u64, path: &SharePath, offset: u64, length: u64) -> Bytes {
        let length = usize::try_from(length.min(MAX_IO_BYTES)).unwrap_or(TILE);
        let tile = self.tile();
        let start = (phase(seed, path).wrapping_add(offset) % TILE as u64) as usize;
        if length <= TILE {
            return tile.slice(start..start + length);
        }
        let mut bytes = BytesMut::with_capacity(length);
        let mut at = start;
        while bytes.len() < length {
            let piece = (length - bytes.len()).min(TILE);
            bytes.extend_from_slice(&tile[at..at + piece]);
            at = (at + piece) % TILE;
        }
        bytes.freeze()
    }

    /// Makes the tile before the first write is due, because that takes a while.
    pub fn prepare(self) {
        self.tile();
    }

    /// Returns two periods of the content, so that a slice of up to one may start anywhere in
    /// the first.
    fn tile(self) -> &'static Bytes {
        static ZERO: LazyLock<Bytes> = LazyLock::new(|| vec![0; 2 * TILE].into());
        static RANDOM: LazyLock<Bytes> = LazyLock::new(|| doubled(random_bytes(TILE)));
        static TEXT: LazyLock<Bytes> = LazyLock::new(|| {
            const ALPHABET: &[u8; 64] =
                b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .";
            let mut text = random_bytes(TILE);
            for (i, byte) in text.iter_mut().enumerate() {
                *byte = if i % 64 == 63 { b'\n' } else { ALPHABET[usize::from(*byte & 63)] };
            }
            doubled(text)
        });
        match self {
            Pattern::Zero => &ZERO,
            Pattern::Random => &RANDOM,
            Pattern::Text => &TEXT,
        }
    }
}

fn doubled(tile: Vec<u8>) -> Bytes {
    tile.repeat(2).into()
}

fn random_bytes(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(b"smbench payload").finalize_xof().fill(&mut bytes);
    bytes
}

/// Returns the FNV-1a hash of seed and path.
fn phase(seed: u64, path: &SharePath) -> u64 {
    seed.to_le_bytes()
        .iter()
        .chain(path.as_str().as_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_the_same_bytes_however_it_is_cut() {
        let path = SharePath::new("a/b").unwrap();
        for pattern in [Pattern::Zero, Pattern::Random, Pattern::Text] {
            let whole = pattern.bytes(7, &path, 5, 3 << 20);
            let parts = [
                pattern.bytes(7, &path, 5, 1_000),
                pattern.bytes(7, &path, 1_005, (3 << 20) - 1_000),
            ];
            assert_eq!(whole, parts.concat());
        }
    }

    #[test]
    fn the_largest_offsets_have_content_too() {
        for seed in 0..8 {
            let path = SharePath::new("a/b").unwrap();
            let (last, whole) = (u64::MAX - 64, Pattern::Text.bytes(seed, &path, 0, 2 << 20));
            let start = (last % (1 << 20)) as usize;
            assert_eq!(Pattern::Text.bytes(seed, &path, last, 64), whole[start..start + 64]);
        }
    }

    #[test]
    fn paths_and_seeds_differ_in_content() {
        let (a, b) = (SharePath::new("a").unwrap(), SharePath::new("b").unwrap());
        assert_ne!(Pattern::Random.bytes(1, &a, 0, 64), Pattern::Random.bytes(1, &b, 0, 64));
        assert_ne!(Pattern::Random.bytes(1, &a, 0, 64), Pattern::Random.bytes(2, &a, 0, 64));
    }
}
