//! The bundle's model, through the public API, and a mock in its place.

use aot_app::{
    find_model, AotModel, DType, Device, Error, InferenceResult, LoadOptions, ModelRunner, Tensor, TensorInfo,
};
use std::process::Command;

/// Zeros that fit the model, or `None` when its package does not say what it takes.
fn zeros(model: &AotModel) -> Option<Vec<Tensor<'static>>> {
    model.inputs().iter().map(|info| info.zeros().ok()).collect()
}

/// The bundle's only model, or the one that `AOT_MODEL` names.
fn load() -> AotModel {
    let name = std::env::var("AOT_MODEL").ok();
    AotModel::load(find_model(name.as_deref()).unwrap_or_else(|error| panic!("{error}")), Device::cpu()).unwrap()
}

#[test]
fn the_model_runs() {
    let model = load();
    let Some(inputs) = zeros(&model) else { return };
    let result = model.infer(&inputs).unwrap();
    assert_eq!(result.outputs.len(), model.outputs().len());
    assert!(result.latency_ms > 0.0);
    assert!(result.memory_bytes > 0);
}

#[test]
fn threads_share_it_and_outputs_outlive_it() {
    let model = load();
    let Some(inputs) = zeros(&model) else { return };
    let outputs: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| model.infer(&inputs).unwrap().outputs)).collect();
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    drop(model);
    for output in &outputs {
        let same = outputs.iter().find(|other| other.shape() == output.shape()).unwrap();
        assert_eq!(output.bytes(), same.bytes());
    }
}

#[test]
fn a_session_goes_on_from_its_own_state() {
    let model = load();
    let Some(inputs) = zeros(&model) else { return };
    let session = match model.session() {
        Ok(session) => session,
        Err(Error::ModelMismatch(_)) => return, // a package of plain PyTorch
        Err(error) => panic!("{error}"),
    };
    drop(model);
    let same = |one: &[Tensor<'_>], other: &[Tensor<'_>]| one.iter().zip(other).all(|(a, b)| a.bytes() == b.bytes());
    let first = session.infer(&inputs).unwrap().outputs;
    let state = session.save().unwrap();
    let second = session.infer(&inputs).unwrap().outputs;
    session.restore(&state).unwrap();
    let copy = session.copy().unwrap();
    assert!(same(&copy.infer(&inputs).unwrap().outputs, &second));
    assert!(same(&session.infer(&inputs).unwrap().outputs, &second));
    session.reset().unwrap();
    assert!(same(&session.infer(&inputs).unwrap().outputs, &first));
    let longer = [&state[..], &[0]].concat();
    assert!(matches!(session.restore(&longer), Err(Error::Usage(_))));
}

#[test]
fn the_variant_that_runs_is_one_that_can_be_asked_for() {
    let path = find_model(std::env::var("AOT_MODEL").ok().as_deref()).unwrap();
    let running = load().variant().to_owned();
    if !running.is_empty() {
        let options = LoadOptions { variant: Some(running.clone()), ..LoadOptions::default() };
        assert_eq!(AotModel::load_with(&path, &options).unwrap().variant(), running);
    }
    let options = LoadOptions { variant: Some(String::from("no such variant")), ..LoadOptions::default() };
    assert_eq!(AotModel::load_with(&path, &options).unwrap_err().message().lines().count(), 3);
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let model = load();
    let Some(mut inputs) = zeros(&model) else { return };
    inputs.push(Tensor::zeros(DType::Float32, &[1]).unwrap());
    let error = model.infer(&inputs).unwrap_err();
    assert!(matches!(error, Error::Usage(_)), "{error}");
    assert_eq!(error.message().lines().count(), 3);
}

#[test]
fn what_is_not_there_is_an_error() {
    assert!(AotModel::load("/nonexistent", Device::cpu()).is_err());
    assert!(AotModel::load("a\0b", Device::cpu()).is_err());
    assert_eq!(find_model(Some("no such model")).unwrap_err().exit_code(), 2);
    assert!(aot_app::check_device(Device::cpu()).is_ok());
}

#[test]
fn assets_are_those_of_the_bundle() {
    let model = load();
    for name in ["", "../bundle.json", "/etc/passwd", "a//b", ".hidden", "not/there", "a\0b"] {
        assert!(matches!(model.asset(name), Err(Error::Usage(_))), "{name}");
    }
    // A bundle need not have any.
    let Ok(bundle) = find_model(None).map(|path| path.join("../../assets")) else { return };
    for entry in std::fs::read_dir(bundle).into_iter().flatten().flatten() {
        if entry.path().is_file() {
            let name = entry.file_name().into_string().unwrap();
            assert_eq!(model.asset(&name).unwrap(), std::fs::read(entry.path()).unwrap());
        }
    }
}

/// The command line, as a user calls it.
fn aot_app(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_aot-app")).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn check_reports_in_both_formats() {
    let (code, text) = aot_app(&["--check"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("device") && text.ends_with("ok: true\n"), "{text}");

    let (code, text) = aot_app(&["--check", "--format", "json"]);
    let report = aot_app::json::Value::parse(&text).unwrap();
    assert_eq!(code, Some(0));
    assert_eq!(report.get("ok"), Some(&aot_app::json::Value::Bool(true)));
}

#[test]
fn exit_codes_are_those_of_the_error() {
    assert_eq!(aot_app(&["infer", "--input", "/nonexistent.npy"]).0, Some(2));
    assert_eq!(aot_app(&["infer", "--model", "no-such-model"]).0, Some(2));
    assert_eq!(aot_app(&[]).0, Some(2));
    assert_eq!(aot_app(&["--help"]).0, Some(0));
}

/// What takes a [`ModelRunner`] is tested without a model.
struct Doubler;

impl ModelRunner for Doubler {
    fn inputs(&self) -> &[TensorInfo] {
        &[]
    }

    fn outputs(&self) -> &[TensorInfo] {
        &[]
    }

    fn infer(&self, inputs: &[Tensor<'_>]) -> Result<InferenceResult, Error> {
        let doubled: Vec<f32> = inputs[0].as_slice::<f32>()?.iter().map(|x| 2.0 * x).collect();
        let bytes: Vec<u8> = doubled.iter().flat_map(|x| x.to_ne_bytes()).collect();
        let outputs = vec![Tensor::from_bytes(DType::Float32, inputs[0].shape(), &bytes)?];
        Ok(InferenceResult { outputs, latency_ms: 0.0, memory_bytes: 0 })
    }
}

/// Stands for the user's own code.
fn mean(model: &dyn ModelRunner, data: &[f32]) -> Result<f32, Error> {
    let shape = [i64::try_from(data.len()).unwrap()];
    let result = model.infer(&[Tensor::from_slice(data, &shape)?])?;
    let outputs = result.outputs[0].as_slice::<f32>()?;
    Ok(outputs.iter().sum::<f32>() / outputs.iter().map(|_| 1.0_f32).sum::<f32>())
}

#[test]
fn code_that_takes_a_runner_is_tested_with_a_mock() {
    let mean = mean(&Doubler, &[1.0, 2.0, 3.0]).unwrap();
    assert!((mean - 4.0).abs() < 1e-6);
}
