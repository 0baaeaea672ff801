//! Random numbers that nobody can guess.

use std::io;

/// Returns random bytes from the operating system, for what must not be guessed or must be
/// unlike that of any other process: passwords, GUIDs, names of directories on a server.
/// Streams never use them, since the same seed must make the same stream.
///
/// # Errors
/// When the operating system gives none.
pub fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => {
            Err(io::Error::other(format!("the operating system gives no random numbers: {error}")))
        }
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
