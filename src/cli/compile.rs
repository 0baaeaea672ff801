//! `smbench compile`

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::args::{BoundArgs, HELP, StreamArgs};
use crate::ir::document::Format;

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

/// The document to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileTo {
    pub format: Format,
    /// The file; None for standard output.
    pub path: Option<PathBuf>,
}

impl FromStr for CompileTo {
    type Err = String;

    fn from_str(text: &str) -> Result<CompileTo, String> {
        let path = Some(text).filter(|text| *text != "-").map(PathBuf::from);
        let extension = path.as_ref().map(|path| path.extension().unwrap_or_default());
        let format = match extension.map(|it| it.to_string_lossy().to_lowercase()).as_deref() {
            None | Some("jsonl") => Format::V2,
            Some("json") => Format::V1,
            _ => return Err("expected a name that ends in .jsonl or .json, or -".into()),
        };
        Ok(CompileTo { format, path })
    }
}

impl CompileArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        let input = self.stream.input.as_ref().and_then(|input| input.file());
        match self.output.as_ref().and_then(|output| output.path.as_deref()) {
            Some(path) if Some(path) == input => {
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
        let to =
            |format, path: Option<&str>| Some(CompileTo { format, path: path.map(Into::into) });
        assert_eq!(output("-"), (to(Format::V2, None), Some(5)));
        assert_eq!(output("x.jsonl").0, to(Format::V2, Some("x.jsonl")));
        assert_eq!(output("x.json").0, to(Format::V1, Some("x.json")));
    }
}
