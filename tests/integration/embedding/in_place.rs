//! What `infer` and `infer_mut` promise, on a model that adds its second input to its first one in place. Built as an
//! example of the project that `aotpack new --lang rust` writes. Argument: the model.

#![forbid(unsafe_code)]

use aot_app::{AotModel, Device, Error, ModelRunner, Tensor};

static STATE: [f32; 4] = [1.0; 4];

fn floats<'a>(tensor: &'a Tensor<'_>) -> Result<&'a [f32], Error> {
    tensor.as_slice::<f32>()
}

fn main() -> Result<(), Error> {
    let model = AotModel::load(std::env::args().nth(1).expect("a model"), Device::cpu())?;
    println!("mutated: {:?}", model.inputs().iter().map(|info| info.mutated).collect::<Vec<_>>());
    let x = [1.0_f32; 4];

    // Memory that Rust calls immutable, a static among it, stays as it is.
    let result = model.infer(&[Tensor::from_slice(&STATE, &[4])?, Tensor::from_slice(&x, &[4])?])?;
    println!("infer: {:?} {STATE:?} {x:?}", floats(&result.outputs[0])?);
    let owned = Tensor::from_bytes(aot_app::DType::Float32, &[4], &[0; 16])?;
    let result = model.infer(&[owned, Tensor::from_slice(&x, &[4])?])?;
    println!("of zeros: {:?}", floats(&result.outputs[0])?);

    // A borrowed slice is written through.
    let mut state = [1.0_f32; 4];
    let mut inputs = [Tensor::from_mut_slice(&mut state, &[4])?, Tensor::from_slice(&x, &[4])?];
    for _ in 0..2 {
        model.infer_mut(&mut inputs)?;
    }
    drop(inputs);
    println!("infer_mut: {state:?} {x:?}");

    // What cannot be written to is copied into the tensor; an output shares its memory with nothing then.
    let mut inputs = [Tensor::from_slice(&STATE, &[4])?, Tensor::from_slice(&x, &[4])?];
    let mut outputs = model.infer_mut(&mut inputs)?.outputs;
    println!("of a static: {:?} {STATE:?}", floats(&inputs[0])?);
    inputs[0] = outputs.swap_remove(0);
    let result = model.infer_mut(&mut inputs)?;
    println!("of an output: {:?} {:?}", floats(&inputs[0])?, floats(&result.outputs[0])?);
    let constant = floats(&result.outputs[2])?.to_vec();
    inputs[0] = model.infer(&inputs)?.outputs.swap_remove(2);
    model.infer_mut(&mut inputs)?;
    println!("a constant: {constant:?} {:?}", floats(&result.outputs[2])?);

    // Errors leave the inputs as they were.
    let mut wrong = [1.0_f32; 5];
    let mut inputs = [Tensor::from_mut_slice(&mut wrong, &[5])?, Tensor::from_slice(&x, &[4])?];
    println!("wrong: {}", model.infer_mut(&mut inputs).unwrap_err().exit_code());
    println!("too few: {}", model.infer_mut(&mut inputs[..1]).unwrap_err().exit_code());
    Ok(())
}
