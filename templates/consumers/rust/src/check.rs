//! `aot-app --check`: what this build is, and whether this machine can run it.

use crate::{infer, Format, Options};
use aot_app::json::Value;
use aot_app::{build_info, bundle_path, check_device, DType, Device, Error, ModelRunner, TensorInfo};

pub fn run(options: &Options) -> Result<(), Error> {
    let mut report = vec![
        (String::from("schema"), Value::number(1)),
        (String::from("program"), program()),
        (String::from("bundle"), Value::String(bundle_path().display().to_string())),
        (String::from("build"), Value::parse(build_info())?),
    ];
    let outcome = examine(options, &mut report);
    let ok = outcome.is_ok();
    if let Err(error) = &outcome {
        report.push((String::from("error"), Value::String(error.to_string())));
    }
    report.push((String::from("ok"), Value::Bool(ok)));
    let report = Value::Object(report);
    match options.format {
        Format::Pretty => print!("{}", pretty(&report, 0)),
        Format::Json => println!("{report}"),
    }
    outcome
}

/// Adds the checks that can fail, as far as they get.
fn examine(options: &Options, report: &mut Vec<(String, Value)>) -> Result<(), Error> {
    let device = options.device.unwrap_or(Device::cpu());
    report.push((String::from("device"), device_report(device)?));
    if options.model.is_none() && options.inputs.is_empty() && !options.zeros {
        return Ok(());
    }

    let (path, model) = options.load_model()?;
    report.push((
        String::from("model"),
        Value::object([
            ("path", Value::String(path.display().to_string())),
            ("inputs", Value::Array(model.inputs().iter().map(signature).collect())),
            ("outputs", Value::Array(model.outputs().iter().map(signature).collect())),
            ("metadata", Value::parse(model.metadata())?),
        ]),
    ));

    if !options.inputs.is_empty() || options.zeros {
        let inputs = if options.zeros {
            model.inputs().iter().map(TensorInfo::zeros).collect::<Result<_, _>>()?
        } else {
            options.load_inputs(&model)?
        };
        let result = model.infer(&inputs)?;
        report.push((String::from("inference"), infer::to_json(model.outputs(), &result)?));
    }
    Ok(())
}

fn program() -> Value {
    Value::object([
        ("name", Value::String(env!("CARGO_PKG_NAME").to_owned())),
        ("version", Value::String(env!("CARGO_PKG_VERSION").to_owned())),
        ("profile", Value::String(String::from(if cfg!(debug_assertions) { "debug" } else { "release" }))),
    ])
}

fn device_report(device: Device) -> Result<Value, Error> {
    let report = check_device(device)?;
    Ok(Value::object([
        ("device", Value::String(device.to_string())),
        ("name", Value::String(report.name)),
        ("architecture", Value::String(report.architecture)),
        ("num_devices", Value::number(report.num_devices)),
        ("used_bytes", Value::number(report.used_bytes)),
        ("total_bytes", Value::number(report.total_bytes)),
        ("self_test_ms", Value::number(report.self_test_ms)),
    ]))
}

/// `x: float32[batch in 1..64, 64]`
fn signature(info: &TensorInfo) -> Value {
    let bound = |size: Option<i64>| size.map_or_else(String::new, |size| size.to_string());
    let dims = info.dims.as_ref().map_or_else(
        || String::from("[unknown]"),
        |dims| {
            let texts: Vec<String> = dims
                .iter()
                .map(|dim| match &dim.symbol {
                    Some(symbol) => format!("{symbol} in {}..{}", bound(dim.min), bound(dim.max)),
                    None => dim.min.map_or_else(|| String::from("?"), |size| size.to_string()),
                })
                .collect();
            format!("[{}]", texts.join(", "))
        },
    );
    let note = if info.mutated == Some(true) { " (written in place)" } else { "" };
    Value::String(format!("{}: {}{dims}{note}", info.name, info.dtype.map_or("unknown", DType::name)))
}

/// Names on the left, values on the right, members indented.
fn pretty(value: &Value, indent: usize) -> String {
    let Value::Object(pairs) = value else { return String::new() };
    let pad = " ".repeat(indent);
    let line = |(key, value): &(String, Value)| match value {
        Value::Object(_) => format!("{pad}{key}\n{}", pretty(value, indent + 2)),
        Value::String(string) => format!("{pad}{key}: {}\n", string.replace('\n', "; ")),
        Value::Array(items) if items.iter().all(|item| matches!(item, Value::String(_))) => {
            let texts: Vec<&str> = items
                .iter()
                .filter_map(|item| if let Value::String(string) = item { Some(string.as_str()) } else { None })
                .collect();
            format!("{pad}{key}: {}\n", texts.join(", "))
        }
        other => format!("{pad}{key}: {other}\n"),
    };
    pairs.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::{pretty, signature};
    use aot_app::json::Value;
    use aot_app::{DType, Dim, TensorInfo};

    fn input() -> TensorInfo {
        let fixed = Dim { min: Some(64), max: Some(64), symbol: None };
        let batch = Dim { min: Some(1), max: None, symbol: Some(String::from("batch")) };
        let dims = Some(vec![batch, fixed]);
        TensorInfo { name: String::from("x"), dtype: Some(DType::Float32), dims, mutated: Some(false) }
    }

    #[test]
    fn a_signature_reads_like_python() {
        assert_eq!(signature(&input()), Value::String(String::from("x: float32[batch in 1.., 64]")));
        let state = TensorInfo { mutated: Some(true), ..input() };
        assert_eq!(signature(&state), Value::String(String::from("x: float32[batch in 1.., 64] (written in place)")));
    }

    #[test]
    fn reports_are_indented() {
        let report = Value::parse(r#"{"a": {"b": "c", "d": ["x", "y"]}, "ok": true}"#).unwrap();
        assert_eq!(pretty(&report, 0), "a\n  b: c\n  d: x, y\nok: true\n");
    }
}
