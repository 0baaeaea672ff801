//! Standard output.

use std::io::{self, ErrorKind, Write};

/// Prints `text` as it is. A closed pipe (`| head`) is not an error.
///
/// # Errors
/// Any other failure to write, such as a full disk behind a redirection.
pub fn print(text: &str) -> io::Result<()> {
    write(&mut io::stdout().lock(), text)
}

fn write(out: &mut dyn Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fails(ErrorKind);

    impl Write for Fails {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_error_and_a_full_disk_is() {
        assert!(write(&mut Fails(ErrorKind::BrokenPipe), "x").is_ok());
        assert!(write(&mut Fails(ErrorKind::StorageFull), "x").is_err());
    }
}
