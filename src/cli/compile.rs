//! `smbench compile`

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::args::{BoundArgs, HELP, StreamArgs};

/// Write the operations of a script or document to a document
#[derive(Clone, Debug, Args)]
#[command(
    disable_help_flag = true,
    override_usage = "smbench compile [OPTIONS] --output <FILE> <SCRIPT|DOCUMENT>"
)]
pub struct CompileArgs {
    #[command(flatten)]
    pub stream: StreamArgs,

    /// Document to write (.jsonl, .json, or -)
    ///
    /// .jsonl is version 2, .json is version 1, and - is version 2 on standard output.
    #[arg(short, long, value_name = "FILE", required_unless_present_any = HELP)]
    pub output: Option<CompileTo>,

    /// Overwrite an existing document
    #[arg(long)]
    pub force: bool,

    #[command(flatten)]
    pub bounds: BoundArgs,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompileTo {
    /// Version 2, on standard output.
    Stdout,
    /// Version 2, JSON Lines.
    JsonLines(PathBuf),
    /// Version 1.
    Json(PathBuf),
}

impl FromStr for CompileTo {
    type Err = String;

    fn from_str(text: &str) -> Result<CompileTo, String> {
        let path = PathBuf::from(text);
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match extension.as_str() {
            _ if text == "-" => Ok(CompileTo::Stdout),
            "jsonl" => Ok(CompileTo::JsonLines(path)),
            "json" => Ok(CompileTo::Json(path)),
            _ => Err("expected a name that ends in .jsonl or .json, or -".into()),
        }
    }
}

impl CompileArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        let input = self.stream.input.as_ref().map(|input| input.path());
        match &self.output {
            Some(CompileTo::JsonLines(path) | CompileTo::Json(path))
                if Some(path.as_path()) == input =>
            {
                Err(format!("--output {} is the input itself", path.display()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::{Cli, Command};
    use super::*;

    #[test]
    fn the_name_of_the_output_tells_its_version() {
        let output = |name: &str| {
            let line = ["smbench", "compile", "a.lua", "--operations", "5", "-o", name];
            match Cli::parse_from_args(line).unwrap().command {
                Command::Compile(args) => (args.output, args.bounds.operations),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(output("-"), (Some(CompileTo::Stdout), Some(5)));
        assert_eq!(output("x.jsonl").0, Some(CompileTo::JsonLines("x.jsonl".into())));
        assert_eq!(output("x.json").0, Some(CompileTo::Json("x.json".into())));
    }
}
