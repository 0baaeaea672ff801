//! Random numbers that cannot be guessed.

use std::io;

/// Returns random bytes from the operating system. They are for values that must not be guessed, or
/// that must differ from those of every other process: passwords, GUIDs, names of directories on a
/// server. Streams never use them, because the same seed must make the same stream.
///
/// # Errors
/// The error of the operating system, if it provides no random bytes.
pub fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(io::Error::other(format!(
            "the operating system provides no random numbers: {error}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bytes_differ_each_time_and_in_every_part() {
        let (one, two) = (random_bytes::<32>().unwrap(), random_bytes::<32>().unwrap());
        assert_ne!(one, two);
        assert_ne!(one[..16], one[16..]);
    }
}
