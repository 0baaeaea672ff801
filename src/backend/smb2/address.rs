//! The address of a share: `smb://[[DOMAIN;]user@]host[:port]/share[/directory]`.

use std::fmt;

use crate::protocol::SharePath;
use crate::protocol::path::PathError;

const DEFAULT_PORT: u16 = 445;

/// The address of a share and the user who logs in, without any secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmbAddress {
    /// The user's domain, or empty if there is none.
    pub domain: String,
    /// The user; None logs in as guest.
    pub user: Option<String>,
    /// The host's name or address, an IPv6 address without its brackets.
    pub host: String,
    pub port: u16,
    pub share: String,
    /// The directory that is put before every path of the run; the root if the URL names none.
    pub directory: SharePath,
}

/// The error for a string that is no address. It never quotes what may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error(
        "the target contains a password, which would appear in logs and results: remove it and set SMBENCH_PASSWORD"
    )]
    Password,
    #[error("the target names no server: write smb://user@host/share")]
    NoHost,
    #[error("the target's port is not a number from 1 to 65535")]
    Port,
    #[error("the target's \"[\" has no \"]\": write an IPv6 address as smb://user@[::1]/share")]
    Brackets,
    #[error("the target names no share: write smb://user@{host}/share")]
    NoShare { host: String },
    #[error(
        "the target has an \"@\" behind the server's name: write \"%40\" where one belongs to the share or directory"
    )]
    StrayAt,
    #[error("the target has a \"%\" that is not followed by two hexadecimal digits of UTF-8")]
    Percent,
    #[error("the target's share {0:?} is not a valid name of a share")]
    ShareName(String),
    #[error(
        "the target contains \"?\", and a target has no query: set options with flags (see smbench run --help)"
    )]
    Query,
    #[error("the target's directory: {0}")]
    Directory(#[from] PathError),
}

impl SmbAddress {
    /// Parses what follows `smb://`. Every part may be percent-encoded.
    ///
    /// # Errors
    /// [`AddressError`], which says what to write instead.
    pub fn parse(rest: &str) -> Result<SmbAddress, AddressError> {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        if login.is_some_and(|login| login.contains(':')) {
            return Err(AddressError::Password);
        }
        // What follows the "?" may be a password, so nothing is quoted. Neither a host nor a share
        // nor a path may contain a "?".
        if decoded(place)?.contains('?') || decoded(path)?.contains('?') {
            return Err(AddressError::Query);
        }
        // A password with a slash in it looks like a path.
        if path.contains('@') {
            return Err(AddressError::StrayAt);
        }
        let (host, port) = host_and_port(place)?;
        let (domain, user) = match login.map(|login| login.split_once(';').unwrap_or(("", login))) {
            Some((domain, user)) => (decoded(domain)?, Some(decoded(user)?)),
            None => (String::new(), None),
        };
        // No user name contains a colon, so what follows an encoded one may be a password.
        if domain.contains(':') || user.as_ref().is_some_and(|user| user.contains(':')) {
            return Err(AddressError::Password);
        }
        let (share, directory) = path.split_once('/').unwrap_or((path, ""));
        let share = decoded(share)?;
        if share.is_empty() {
            return Err(AddressError::NoShare { host });
        }
        if share.contains(|c: char| c < ' ' || "\\/:*?\"<>|".contains(c)) || share == ".." {
            return Err(AddressError::ShareName(share.chars().take(80).collect()));
        }
        let directory = SharePath::new(&decoded(directory)?)?;
        let user = user.filter(|user| !user.is_empty());
        // Without a user nobody logs in, so the domain is not needed.
        let domain = if user.is_some() { domain } else { String::new() };
        Ok(SmbAddress { domain, user, host, port, share, directory })
    }

    /// Returns `host:port`, with an IPv6 address in brackets.
    pub fn server(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

fn host_and_port(place: &str) -> Result<(String, u16), AddressError> {
    let (host, port) = match place.strip_prefix('[') {
        Some(bracketed) => {
            let (host, behind) = bracketed.split_once(']').ok_or(AddressError::Brackets)?;
            match behind.strip_prefix(':') {
                None if !behind.is_empty() => return Err(AddressError::Port),
                port => (host, port),
            }
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(AddressError::Port)?,
        None => DEFAULT_PORT,
    };
    match decoded(host)? {
        host if host.is_empty() => Err(AddressError::NoHost),
        host => Ok((host, port)),
    }
}

fn decoded(text: &str) -> Result<String, AddressError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        bytes.push(match byte {
            b'%' => match (digit(), digit()) {
                (Some(high), Some(low)) => (high * 16 + low) as u8,
                _ => return Err(AddressError::Percent),
            },
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| AddressError::Percent)
}

/// Percent-encodes the characters of `text` that the parser or a shell would take for something
/// else. Those in `plain` stay as they are.
fn encoded(text: &str, plain: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for c in text.chars() {
        let is_word = c.is_alphanumeric() || "-._~+,=".contains(c) || plain.contains(c);
        let is_separator = c.is_ascii() || c.is_control() || c.is_whitespace();
        if !is_word && is_separator {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                written += &format!("%{byte:02X}");
            }
        } else {
            written.push(c);
        }
    }
    written
}

/// The address as a person writes it in a shell, with the port only if it is not 445.
impl fmt::Display for SmbAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("smb://")?;
        if !self.domain.is_empty() {
            write!(f, "{};", encoded(&self.domain, ""))?;
        }
        if let Some(user) = &self.user {
            write!(f, "{}@", encoded(user, ""))?;
        }
        match self.host.contains(':') {
            true => write!(f, "[{}]", encoded(&self.host, ":"))?,
            false => f.write_str(&encoded(&self.host, ""))?,
        }
        if self.port != DEFAULT_PORT {
            write!(f, ":{}", self.port)?;
        }
        write!(f, "/{}", encoded(&self.share, ""))?;
        match self.directory.is_root() {
            true => Ok(()),
            false => write!(f, "/{}", encoded(self.directory.as_str(), "/")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(rest: &str) -> Result<SmbAddress, AddressError> {
        SmbAddress::parse(rest)
    }

    #[test]
    fn an_address_has_user_server_share_and_directory() {
        let address = parse("ACME;ann@nas:4455/data/team/a%20b").unwrap();
        assert_eq!(address.domain, "ACME");
        assert_eq!(address.user.as_deref(), Some("ann"));
        assert_eq!((address.host.as_str(), address.port), ("nas", 4455));
        assert_eq!(address.share, "data");
        assert_eq!(address.directory.as_str(), "team/a b");
        assert_eq!(address.to_string(), "smb://ACME;ann@nas:4455/data/team/a%20b");
    }

    #[test]
    fn a_shown_address_parses_as_the_same_address() {
        for rest in [
            "u%40x@nas/d%25/%40",
            "A%3BB;a%3Bb%2Fc@n%2Fas%40:4455/data",
            "u@[fe80::1%25eth0]:4455/data",
            "a%0Ab@nas/data",
            "ACME;@nas/data",
            "Älice B@nas/a $b/c d&'e",
            "a\\b@nas/data",
        ] {
            let address = parse(rest).unwrap();
            let shown = address.to_string();
            assert_eq!(parse(&shown["smb://".len()..]), Ok(address), "{shown}");
            assert!(!shown.contains(char::is_control));
            assert!(!shown.contains([' ', '\\', '$', '&', '\'']), "a shell breaks {shown}");
        }
        assert_eq!(parse("u%40x@nas/d%25").unwrap().to_string(), "smb://u%40x@nas/d%25");
    }

    #[test]
    fn port_user_and_directory_may_be_left_out() {
        let address = parse("nas/data/").unwrap();
        assert_eq!((address.user, address.port), (None, 445));
        assert!(address.directory.is_root());
        assert_eq!(parse("nas/data").unwrap().to_string(), "smb://nas/data");
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets() {
        let address = parse("u@[::1]:4455/data").unwrap();
        assert_eq!((address.host.as_str(), address.port), ("::1", 4455));
        assert_eq!(address.server(), "[::1]:4455");
        assert_eq!(parse("[fe80::1]/d").unwrap().to_string(), "smb://[fe80::1]/d");
        assert_eq!(parse("[::1/d"), Err(AddressError::Brackets));
        assert_eq!(parse("[::1]4455/d"), Err(AddressError::Port));
    }

    #[test]
    fn percent_encoding_carries_what_the_syntax_would_take() {
        let address = parse("a%40b%3Bc@nas/d%C3%A4ta/x%2Fy").unwrap();
        assert_eq!(address.user.as_deref(), Some("a@b;c"));
        assert_eq!(address.share, "däta");
        assert_eq!(address.directory.as_str(), "x/y");
        for bad in ["n%2/d", "n%zz/d", "nas/%ff", "nas/d/%C3"] {
            assert_eq!(parse(bad), Err(AddressError::Percent), "{bad}");
        }
    }

    #[test]
    fn a_password_is_refused_and_never_quoted() {
        for bad in [
            "ann:hunter2@nas/data",
            "D;ann:hunter2@nas/data",
            "ann:hunter2/x@nas/data",
            "ann:12/hunter2@nas/data",
            "ann:hunter2@nas",
            "ann%3Ahunter2@nas/data",
            "ann%3ahunter2@nas/data",
            "D%3Ahunter2;ann@nas/data",
            "nas/data?password=hunter2",
            "nas/data%3Fpassword=hunter2",
            "nas/data?password=hunter2/x",
            "nas?password=hunter2",
            "nas?password=hunter2/data",
            "nas%3Fpassword=hunter2/data",
            "nas/data/dir?password=hunter2",
        ] {
            let error = parse(bad).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{bad}: {error}");
        }
        assert!(
            parse("ann:hunter2@nas/data").unwrap_err().to_string().contains("SMBENCH_PASSWORD")
        );
    }

    #[test]
    fn missing_and_wrong_parts_of_an_address_are_named() {
        assert_eq!(parse(""), Err(AddressError::NoHost));
        assert_eq!(parse("u@/data"), Err(AddressError::NoHost));
        assert_eq!(parse("nas"), Err(AddressError::NoShare { host: "nas".into() }));
        assert_eq!(parse("nas:0/d"), Err(AddressError::Port));
        assert_eq!(parse("nas:66000/d"), Err(AddressError::Port));
        assert!(matches!(parse("nas/a%5Cb"), Err(AddressError::ShareName(_))));
        assert!(matches!(parse("nas/d/../x"), Err(AddressError::Directory(_))));
    }
}
