//! Runs a `PyTorch` model, compiled ahead of time, from an aotpack bundle: no `PyTorch`, no Python.
//!
//! ```no_run
//! use aot_app::{find_model, AotModel, Device, ModelRunner, Tensor};
//!
//! fn main() -> Result<(), aot_app::Error> {
//!     let model = AotModel::load(find_model(None)?, Device::cpu())?;
//!     let data = vec![0.0_f32; 8 * 64];
//!     let result = model.infer(&[Tensor::from_slice(&data, &[8, 64])?])?;
//!     println!("{:?} in {} ms", result.outputs[0].as_slice::<f32>()?, result.latency_ms);
//!     Ok(())
//! }
//! ```
//!
//! Code that uses a model should take a [`ModelRunner`], so that its tests can pass one that needs no model.
//! All `unsafe` code is in the private module `ffi`.

#![deny(unsafe_code)]

mod bundle;
mod device;
mod error;
#[allow(unsafe_code)]
mod ffi;
pub mod json;
mod model;
pub mod npy;
mod tensor;

pub use bundle::{bundle_path, find_model};
pub use device::{build_info, check_device, Device, DeviceReport};
pub use error::Error;
pub use model::{AotModel, Dim, InferenceResult, LoadOptions, ModelRunner, Session, TensorInfo};
pub use tensor::{Bf16, DType, Element, Tensor, F16};
