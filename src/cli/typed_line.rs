//! The command line that clap refused: its words, and the command that they name.

use std::ffi::OsString;

use clap::Arg;

use super::command::definitions;
use super::input_path::InputPath;
use super::log::FORMAT_FLAG;
use crate::backend::smb2::SmbAddress;
use crate::observability::text::printable;
use crate::script::ScriptLocation;

const MAX_CHARS: usize = 80;

/// A command line without the program's name.
pub(super) struct TypedLine<'a> {
    pub words: Vec<&'a str>,
    /// The names of the command and of its subcommand, as far as they are known.
    pub path: Vec<&'a str>,
    pub command: clap::Command,
}

impl<'a> TypedLine<'a> {
    /// Reads a command line that begins with the program's name.
    pub fn new(args: &'a [OsString]) -> TypedLine<'a> {
        let words: Vec<&str> = args.iter().skip(1).filter_map(|arg| arg.to_str()).collect();
        // This flag of the program itself takes a value, so the next word names no command.
        let follows_log_format = |at: usize| at > 0 && words[at - 1] == FORMAT_FLAG;
        let (mut command, mut path) = (definitions(), Vec::new());
        for (at, word) in words.iter().copied().enumerate() {
            if word.starts_with('-') || follows_log_format(at) {
                continue;
            }
            let Some(named) = command.find_subcommand(word).cloned() else { break };
            command = named;
            path.push(word);
        }
        TypedLine { words, path, command }
    }

    /// Returns the index of the word in which clap found the flag. Of `-users`, clap names only the
    /// first letter.
    pub fn position(&self, flag: &str) -> Option<usize> {
        let is_short = flag.chars().count() == 2 && !flag.starts_with("--");
        let name = |word: &str| word.split('=').next().unwrap_or_default().to_string();
        let exact = self.words.iter().position(|word| name(word) == flag);
        exact.or_else(|| self.words.iter().position(|word| is_short && word.starts_with(flag)))
    }

    /// Returns the value of the flag at `at`: what follows a "=", or the next word if it is neither
    /// a flag nor the script.
    pub fn value(&self, at: usize) -> Option<&'a str> {
        if let Some((_, value)) = self.words[at].split_once('=') {
            return Some(value);
        }
        let next = self.words.get(at + 1).copied();
        next.filter(|next| !next.starts_with('-') && self.input() != Some(next))
    }

    /// Returns the script or document that the line names.
    pub fn input(&self) -> Option<&'a str> {
        self.words.iter().copied().find(|word| InputPath::existing(word).is_some())
    }

    pub fn script(&self) -> Option<ScriptLocation> {
        match InputPath::existing(self.input()?)? {
            InputPath::Script(location) => Some(location),
            InputPath::Document(_) => None,
        }
    }

    pub fn document(&self) -> Option<&'a str> {
        let is_document =
            |word: &&str| matches!(InputPath::existing(word), Some(InputPath::Document(_)));
        self.input().filter(is_document)
    }

    /// Returns the flag of the command with this long name.
    pub fn flag(&self, long: &str) -> Option<&Arg> {
        self.command.get_arguments().find(|arg| arg.get_long() == Some(long))
    }

    /// Returns the flag of the command that a word is, written short or long.
    pub fn flag_typed(&self, word: &str) -> Option<&Arg> {
        let long = word.strip_prefix("--");
        let short = word.strip_prefix('-').filter(|name| name.chars().count() == 1);
        self.command.get_arguments().find(|arg| {
            long.is_some_and(|long| arg.get_long() == Some(long))
                || short.is_some_and(|short| arg.get_short() == short.chars().next())
        })
    }

    /// Returns the line with the path of another command in place of the word at `at` and of the
    /// commands before it.
    pub fn with_command(&self, path: &[&str], at: usize) -> String {
        let before = self.words[..at].iter().filter(|word| !self.path.contains(word));
        let behind = self.words.get(at + 1..).unwrap_or_default().iter();
        let words = ["smbench"].iter().chain(before).chain(path).chain(behind);
        words.map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }

    /// Returns the name of the command, as it is typed.
    pub fn command_name(&self) -> String {
        let words = ["smbench"].iter().chain(&self.path);
        words.copied().collect::<Vec<_>>().join(" ")
    }
}

/// Returns a word of the line as errors quote it.
pub(super) fn quoted(word: &str) -> String {
    printable(&without_password(word), MAX_CHARS)
}

/// Replaces the part of a URL that may hold a password.
pub(super) fn without_password(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word.into() };
    let is_smb = scheme.to_lowercase().ends_with("smb");
    let is_address = is_smb && SmbAddress::parse(rest).is_ok();
    match is_address || !(is_smb || rest.contains('@') || rest.contains('?')) {
        true => word.into(),
        false => format!("{scheme}://…"),
    }
}
