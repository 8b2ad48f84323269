//! `aot-app infer`.

use crate::{Format, Options};
use aot_app::json::{self, Value};
use aot_app::{npy, Error, InferenceResult, ModelRunner, TensorInfo};
use std::fmt::Write as _;
use std::fs;

/// How many elements of an output a person is shown.
const SHOWN: usize = 8;

pub fn run(options: &Options) -> Result<(), Error> {
    let (_, model) = options.load_model()?;
    let inputs = options.load_inputs(&model)?;
    let result = model.infer(&inputs)?;
    if let Some(folder) = &options.output {
        fs::create_dir_all(folder).map_err(|error| {
            Error::Failed(format!("{}: {error}\nthe outputs were not written\nchoose another folder", folder.display()))
        })?;
        for (info, tensor) in model.outputs().iter().zip(&result.outputs) {
            npy::write(&folder.join(&info.name).with_extension("npy"), tensor)?;
        }
    }
    match options.format {
        Format::Pretty => print!("{}", pretty(model.outputs(), &result)?),
        Format::Json => println!("{}", to_json(model.outputs(), &result)?),
    }
    Ok(())
}

/// One line an output, then what the run took.
pub fn pretty(infos: &[TensorInfo], result: &InferenceResult) -> Result<String, Error> {
    let mut text = String::new(); // writing to it cannot fail
    for (info, tensor) in infos.iter().zip(&result.outputs) {
        let document = json::from_tensor(tensor)?;
        let Some(Value::Array(data)) = document.get("data") else { continue };
        let shown: Vec<String> = data.iter().take(SHOWN).map(Value::to_string).collect();
        let more = if data.len() > SHOWN { ", ..." } else { "" };
        let _ = writeln!(text, "{}: {}{:?} = {}{more}", info.name, tensor.dtype(), tensor.shape(), shown.join(", "));
    }
    #[allow(clippy::cast_precision_loss)] // a figure for people
    let megabytes = result.memory_bytes as f64 / 1e6;
    let _ = writeln!(text, "{:.3} ms, {megabytes:.1} MB", result.latency_ms);
    Ok(text)
}

/// Outputs by name, in the form that inputs are read in.
pub fn to_json(infos: &[TensorInfo], result: &InferenceResult) -> Result<Value, Error> {
    let outputs = infos
        .iter()
        .zip(&result.outputs)
        .map(|(info, tensor)| Ok((info.name.clone(), json::from_tensor(tensor)?)))
        .collect::<Result<_, Error>>()?;
    Ok(Value::object([
        ("schema", Value::number(1)),
        ("outputs", Value::Object(outputs)),
        ("latency_ms", Value::number(result.latency_ms)),
        ("memory_bytes", Value::number(result.memory_bytes)),
    ]))
}

#[cfg(test)]
mod tests {
    use super::{pretty, to_json};
    use aot_app::{DType, InferenceResult, Tensor, TensorInfo};

    fn result() -> (Vec<TensorInfo>, InferenceResult) {
        let info = TensorInfo { name: String::from("y"), dtype: Some(DType::Float32), dims: None, mutated: None };
        let outputs = vec![Tensor::zeros(DType::Float32, &[3, 4]).unwrap()];
        (vec![info], InferenceResult { outputs, latency_ms: 0.25, memory_bytes: 2_000_000 })
    }

    #[test]
    fn a_person_sees_the_first_elements() {
        let (infos, result) = result();
        let expected = "y: float32[3, 4] = 0, 0, 0, 0, 0, 0, 0, 0, ...\n0.250 ms, 2.0 MB\n";
        assert_eq!(pretty(&infos, &result).unwrap(), expected);
    }

    #[test]
    fn a_program_sees_them_all() {
        let (infos, result) = result();
        let document = to_json(&infos, &result).unwrap();
        let output = document.get("outputs").and_then(|outputs| outputs.get("y")).unwrap();
        assert_eq!(aot_app::json::to_tensor(output).unwrap().shape(), [3, 4]);
    }
}
