//! The command line: `aot-app infer` and `aot-app --check`.

#![forbid(unsafe_code)]

mod check;
mod infer;

use aot_app::{find_model, json, npy, AotModel, Device, Error, ModelRunner, Tensor};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: aot-app infer [--model NAME] [--device DEVICE] --input [NAME=]FILE... [--output FOLDER] [--format pretty|json]
       aot-app --check [--model NAME] [--device DEVICE] [--input [NAME=]FILE... | --zeros] [--format pretty|json]

infer    runs the model; --output writes every output to FOLDER/NAME.npy
--check  tests the device and says what this build is; with --model loads it; with --input or --zeros runs it

--model   a model of the bundle, or a path with a slash to a model folder or a .pt2; the bundle's only one if left out
--device  cpu, cuda, cuda:1, rocm, rocm:1; the model's own if left out
--input   a .npy file, or a .json file with {\"data\": [...], \"shape\": [...], \"dtype\": \"float32\"}

The bundle is the folder `bundle` beside the program; AOT_BUNDLE names another one.
Exit codes: 0 done, 1 failed, 2 usage, 5 model and machine do not match, 6 damaged, 7 this machine cannot run it.
";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(arguments: impl Iterator<Item = String>) -> Result<(), Error> {
    let options = Options::parse(arguments)?;
    match options.command {
        Command::Help => {
            print!("{USAGE}");
            Ok(())
        }
        Command::Infer => infer::run(&options),
        Command::Check => check::run(&options),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Infer,
    Check,
    Help,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Pretty,
    Json,
}

/// What was asked for.
#[derive(Debug)]
struct Options {
    command: Command,
    model: Option<String>,
    device: Option<Device>,
    /// A name, if given, and a file.
    inputs: Vec<(Option<String>, PathBuf)>,
    zeros: bool,
    output: Option<PathBuf>,
    format: Format,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Error> {
        let wrong = |what: &str| Error::usage(what, "the command line cannot be read", "see aot-app --help");
        let command = match arguments.next().as_deref() {
            Some("infer") => Command::Infer,
            Some("--check") => Command::Check,
            Some("--help" | "-h") => Command::Help,
            Some(other) => return Err(wrong(&format!("{other} is not a command"))),
            None => return Err(wrong("no command was given")),
        };
        let mut options = Self {
            command,
            model: None,
            device: None,
            inputs: Vec::new(),
            zeros: false,
            output: None,
            format: Format::Pretty,
        };
        while let Some(option) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| wrong(&format!("{option} needs a value")));
            match option.as_str() {
                "--help" | "-h" => options.command = Command::Help,
                "--model" => options.model = Some(value()?),
                "--device" => options.device = Some(value()?.parse()?),
                "--input" => {
                    let value = value()?;
                    options.inputs.push(match value.split_once('=') {
                        Some((name, file)) => (Some(name.to_owned()), PathBuf::from(file)),
                        None => (None, PathBuf::from(value)),
                    });
                }
                "--zeros" if command == Command::Check => options.zeros = true,
                "--output" if command == Command::Infer => options.output = Some(PathBuf::from(value()?)),
                "--format" => {
                    options.format = match value()?.as_str() {
                        "pretty" => Format::Pretty,
                        "json" => Format::Json,
                        other => return Err(wrong(&format!("{other} is not a format"))),
                    }
                }
                other => return Err(wrong(&format!("{other} is not an option of this command"))),
            }
        }
        Ok(options)
    }

    /// Loads the model asked for.
    fn load_model(&self) -> Result<(PathBuf, AotModel), Error> {
        let path = match self.model.as_deref() {
            Some(path) if path.contains('/') => PathBuf::from(path),
            name => find_model(name)?,
        };
        let options = aot_app::LoadOptions { device: self.device, ..Default::default() };
        let model = AotModel::load_with(&path, &options)?;
        Ok((path, model))
    }

    /// Reads the inputs and puts them into the model's order: by name where names are given, else as they come.
    fn load_inputs(&self, model: &impl ModelRunner) -> Result<Vec<Tensor<'static>>, Error> {
        let with_name = self.inputs.iter().filter(|(name, _)| name.is_some()).count();
        if with_name == 0 {
            return self.inputs.iter().map(|(_, file)| load_tensor(file)).collect();
        }
        let names: Vec<&str> = model.inputs().iter().map(|info| info.name.as_str()).collect();
        let fits = with_name == self.inputs.len()
            && with_name == names.len()
            && names.iter().all(|name| self.inputs.iter().any(|(given, _)| given.as_deref() == Some(name)));
        if !fits {
            return Err(Error::usage(
                "the inputs' names are not those of the model",
                &format!("its inputs are {}", names.join(", ")),
                "name each of them once, or give the files in that order without names",
            ));
        }
        names
            .iter()
            .flat_map(|name| self.inputs.iter().filter(move |(given, _)| given.as_deref() == Some(name)))
            .map(|(_, file)| load_tensor(file))
            .collect()
    }
}

fn load_tensor(path: &Path) -> Result<Tensor<'static>, Error> {
    if path.extension().is_some_and(|extension| extension == "json") {
        let text = fs::read_to_string(path).map_err(|error| {
            Error::usage(&format!("{}: {error}", path.display()), "an input cannot be read", "check the path")
        })?;
        return json::to_tensor(&json::Value::parse(&text)?);
    }
    npy::read(path)
}

#[cfg(test)]
mod tests {
    use super::{Command, Format, Options};

    fn parse(line: &str) -> Result<Options, aot_app::Error> {
        Options::parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn a_full_command_line() {
        let options = parse("infer --model m --device cuda:1 --input x=a.npy --input b.npy --format json").unwrap();
        assert_eq!((options.command, options.format), (Command::Infer, Format::Json));
        assert_eq!(options.device, Some(aot_app::Device::cuda(1)));
        assert_eq!(options.inputs[0], (Some(String::from("x")), "a.npy".into()));
        assert_eq!(options.inputs[1], (None, "b.npy".into()));
    }

    #[test]
    fn mistakes_are_usage_errors() {
        for line in ["", "run", "infer --model", "infer --zeros", "--check --output x", "infer --format xml", "infer x"]
        {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
