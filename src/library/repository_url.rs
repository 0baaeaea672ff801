//! The URLs of repositories: which are allowed, and how messages show them.

use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::observability::text::printable;

/// Maximum length of a URL in bytes.
const MAX_URL_BYTES: usize = 2_000;
/// Maximum number of characters of a URL that a message shows.
const MAX_SHOWN: usize = 200;
/// Maximum number of URLs of which it is remembered that they were warned of.
const MAX_WARNED: usize = 1_000;
/// Maximum length of a user's name in a URL over HTTP. A longer one is a token.
const MAX_USER_BYTES: usize = 39;
/// Beginnings of the tokens of known services.
const TOKENS: [&str; 7] = ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-"];

const ALLOWED: &str = "the URL of a repository begins with https://, ssh://, or file:/// and an absolute path, or has the form user@host:path";
const SECRET: &str = "the URL has a password or a token, which would end in files that others read; remove it, and give it to git's credential helper (git help credentials)";

/// The URLs over plain HTTP that were warned of.
static WARNED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Checks the URL of a repository. It warns of plain HTTP, once for each URL.
///
/// # Errors
/// A message that says what is wrong. It never has a password or a token.
pub fn check_url(repo: &str) -> Result<(), String> {
    if repo.len() > MAX_URL_BYTES {
        return Err(format!("the URL has more than {MAX_URL_BYTES} bytes"));
    }
    if repo.starts_with('-') {
        return Err("the URL begins with -, as an option of git does".into());
    }
    if repo.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err("the URL has white space or control characters".into());
    }
    let Some((scheme, rest)) = repo.split_once("://") else {
        return check_scp_form(repo);
    };
    match scheme {
        "file" if rest.starts_with('/') && rest.len() > 1 => return Ok(()),
        "https" | "http" | "ssh" => {}
        // It may be the name of a remote helper, which runs a command.
        _ => return Err(wrong(repo)),
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    if user.is_some_and(has_secret) || scheme != "ssh" && user.is_some_and(is_token) {
        return Err(SECRET.into());
    }
    if !is_host(host) {
        // The part before an @ that comes later may be a password with a slash in it.
        return Err(if path.contains('@') { SECRET.into() } else { wrong(repo) });
    }
    if user.is_some_and(|user| user.is_empty() || user.starts_with('-')) || path.is_empty() {
        return Err(wrong(repo));
    }
    if scheme != "ssh" && path.contains(['?', '#']) {
        return Err("the URL has a query or a fragment (? or #); remove it".into());
    }
    if scheme == "http" {
        warn_once(repo);
    }
    Ok(())
}

/// Checks the form `user@host:path`.
fn check_scp_form(repo: &str) -> Result<(), String> {
    let (head, path) = repo.split_once(':').unwrap_or((repo, ""));
    let Some((user, host)) = head.split_once('@') else {
        // In user:secret@host:path the first colon is that of the secret.
        return Err(if path.contains('@') { SECRET.into() } else { wrong(repo) });
    };
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('-') && !part.contains('/');
    // A second colon would be that of a remote helper.
    match is_part(user) && is_host(host) && !path.is_empty() && !path.starts_with(['-', ':']) {
        true => Ok(()),
        false => Err(wrong(repo)),
    }
}

fn wrong(repo: &str) -> String {
    // What is in a form that is not known may have a password anywhere before an @.
    match repo.contains('@') {
        true => ALLOWED.into(),
        false => format!("{ALLOWED}; this one is {}", shown_url(repo)),
    }
}

fn has_secret(user: &str) -> bool {
    user.contains(':') || user.to_ascii_lowercase().contains("%3a")
}

fn is_token(user: &str) -> bool {
    user.len() > MAX_USER_BYTES || TOKENS.iter().any(|prefix| user.starts_with(prefix))
}

/// Returns whether this is a host, with or without a port.
fn is_host(text: &str) -> bool {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((address, port)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let is_address = address.bytes().all(|it| it.is_ascii_hexdigit() || b":.".contains(&it));
        return is_address && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (host, port) = text.split_once(':').unwrap_or((text, ""));
    !host.is_empty()
        && !host.starts_with('-')
        && !host.contains(['/', '@', '?', '#', '\\', '[', ']'])
        && is_port(port)
}

fn warn_once(repo: &str) {
    let mut warned = WARNED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if warned.len() < MAX_WARNED && warned.insert(repo.into()) {
        tracing::warn!(
            "{}: plain HTTP is not encrypted, so that others can read and change what is fetched; use https",
            shown_url(repo)
        );
    }
}

/// Returns a URL as messages show it: escaped, shortened, and without what may be a secret.
pub fn shown_url(repo: &str) -> String {
    printable(&without_secrets(repo), MAX_SHOWN)
}

/// Returns a text without the names and passwords of the URLs in it. The user of an SSH URL stays
/// if it has no password.
pub(super) fn without_secrets(text: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '<' | '>');
    text.split_inclusive(is_end)
        .map(|part| {
            let end = part
                .rfind(|c: char| !is_end(c))
                .map_or(0, |at| at + part[at..].chars().next().map_or(0, char::len_utf8));
            let (word, separator) = part.split_at(end);
            format!("{}{separator}", word_without_secrets(word))
        })
        .collect()
}

fn word_without_secrets(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else {
        // user:secret@host:path; the form without a secret stays as it is.
        return match word.rsplit_once('@') {
            Some((user, host)) if user.contains(':') => format!("…@{host}"),
            _ => word.into(),
        };
    };
    // What is before an @ may be a password of the form without a scheme.
    if let Some((_, after)) = scheme.rsplit_once('@') {
        return format!("…@{}", word_without_secrets(&format!("{after}://{rest}")));
    }
    let (authority, path) = rest
        .split_once('/')
        .map_or((rest, ""), |(authority, _)| (authority, &rest[authority.len()..]));
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    // A password with a slash in it ends the authority too early.
    let after = path.rsplit_once('@').filter(|_| !authority.is_empty() && !is_host(host));
    match (user, after) {
        (_, Some((_, after))) => format!("{scheme}://…@{after}"),
        (Some(user), None) if scheme.ends_with("ssh") && !has_secret(user) => {
            format!("{scheme}://{user}@{host}{path}")
        }
        (_, None) => format!("{scheme}://{host}{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_over_https_ssh_and_of_absolute_paths_are_allowed() {
        for url in [
            "https://git.example.com/acme/office.git",
            "https://git.example.com:8443/@acme/office",
            "https://acme@git.example.com/office",
            "http://[::1]:8080/office",
            "ssh://git@git.example.com:2222/acme/office",
            "ssh://git.example.com/~acme/office",
            "git@git.example.com:acme/office.git",
            "file:///srv/git/office.git",
        ] {
            assert_eq!(check_url(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn every_other_url_is_refused() {
        for url in [
            "",
            "-oProxyCommand=x",
            "--upload-pack=x",
            "ext::sh -c x",
            "ext::sh",
            "fd::3",
            "a@b::c",
            "https::https://git.example.com/x",
            "git://git.example.com/x",
            "ftp://git.example.com/x",
            "HTTPS://git.example.com/x",
            "ssh://-oProxyCommand=x/y",
            "ssh://-x@host/y",
            "git@-oProxyCommand=x:y",
            "git@host:-x",
            "git@host",
            "host:path",
            "../office",
            "/srv/git/office",
            "file://srv/git",
            "file:///",
            "https://",
            "https:///x",
            "https://host",
            "https://host/",
            "https://host:port/x",
            "https://host/x?token=hush",
            "https://host/x#hush",
            "https://host/a b",
            "https://host/a\nb",
            "https://host/a\x1b[2J",
            &format!("https://host/{}", "a".repeat(2_000)),
        ] {
            let problem = check_url(url).expect_err(url);
            assert!(!problem.contains(['\n', '\x1b']), "{problem}");
            assert!(!problem.contains("hush"), "{problem}");
        }
    }

    #[test]
    fn a_secret_in_a_url_is_refused_and_never_shown() {
        for url in [
            "https://me:hush@host/x",
            "https://:hush@host/x",
            "https://me:hu/hush@host/x",
            "https://me%3Ahush@host/x",
            "https://ghp_hush@host/x",
            &format!("https://{}hush@host/x", "a".repeat(40)),
            "ssh://me:hush@host/x",
            "me:hush@host:x",
        ] {
            let problem = check_url(url).expect_err(url);
            assert!(problem.contains("credential helper"), "{url}: {problem}");
            assert!(!problem.contains("hush"), "{url}: {problem}");
            assert!(!shown_url(url).contains("hush"), "{url}: {}", shown_url(url));
        }
    }

    #[test]
    fn a_text_loses_the_secrets_of_all_its_urls() {
        let text = "fatal: unable to access 'https://me:hush@host/x/': see <ssh://git@host/y> \"http://hush@h/z?a=hush\"";
        assert_eq!(
            without_secrets(text),
            "fatal: unable to access 'https://host/x/': see <ssh://git@host/y> \"http://h/z\""
        );
        assert_eq!(without_secrets("git@host:x größe€"), "git@host:x größe€");
        assert_eq!(shown_url("https://host/a\x1b[2J"), r"https://host/a\u{1b}[2J");
        assert_eq!(shown_url("https://host/@acme/x"), "https://host/@acme/x");
    }
}
