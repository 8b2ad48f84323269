//! A loaded model, and the trait that stands for one.

use crate::{ffi, DType, Device, Error, Tensor};
use std::path::Path;

/// Something that runs: a model, or what a test puts in its place.
pub trait ModelRunner {
    /// The inputs in call order.
    fn inputs(&self) -> &[TensorInfo];

    /// The outputs in the order of [`InferenceResult::outputs`].
    fn outputs(&self) -> &[TensorInfo];

    /// Runs on inputs in the order of [`ModelRunner::inputs`]. They stay as they are: a model that writes into one in
    /// place gets a copy of it.
    ///
    /// # Errors
    /// [`Error::Usage`] when the inputs do not fit the signature, [`Error::Failed`] when the model raises an error.
    fn infer(&self, inputs: &[Tensor<'_>]) -> Result<InferenceResult, Error>;

    /// [`ModelRunner::infer`] in place: what the model writes into an input ([`TensorInfo::mutated`]) is there
    /// afterwards. A tensor of [`Tensor::from_mut_slice`] is written through; what cannot be, because it is borrowed to
    /// read or is an output, is copied into the tensor first. A runner that writes into no input need not define it.
    ///
    /// # Errors
    /// As for [`ModelRunner::infer`]. After [`Error::Failed`] the inputs that the model writes into hold anything.
    fn infer_mut(&self, inputs: &mut [Tensor<'_>]) -> Result<InferenceResult, Error> {
        self.infer(inputs)
    }
}

/// What a run gave and what it took.
#[derive(Debug)]
pub struct InferenceResult {
    /// In the order of [`ModelRunner::outputs`], in host memory.
    pub outputs: Vec<Tensor<'static>>,
    /// Wall time of the model's run, device synchronised before and after.
    pub latency_ms: f64,
    /// GPU: device memory in use after the run. CPU: peak resident memory of this process so far.
    pub memory_bytes: u64,
}

/// The range of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dim {
    /// The least size, or `None` when it is known only after the run.
    pub min: Option<i64>,
    /// The greatest size, or `None` when there is no bound. Equal to `min` when the size is fixed.
    pub max: Option<i64>,
    /// The name of a dynamic size; dims of one name agree among all inputs of a call.
    pub symbol: Option<String>,
}

/// What the model says about one input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// The name in the exported function; `output0`, ... where it has none.
    pub name: String,
    /// `None` when unknown.
    pub dtype: Option<DType>,
    /// `None` when the package says nothing about it: it was made by plain `PyTorch`.
    pub dims: Option<Vec<Dim>>,
    /// Whether the model writes into the input in place; `None` when the package does not say, and for outputs.
    pub mutated: Option<bool>,
}

impl TensorInfo {
    /// Zeros that fit: of the smallest size, but of 2 where there is a choice.
    ///
    /// # Errors
    /// [`Error::Usage`] when the package does not say what the tensor is.
    pub fn zeros(&self) -> Result<Tensor<'static>, Error> {
        let (Some(dtype), Some(dims)) = (self.dtype, self.dims.as_ref()) else {
            return Err(Error::usage(
                &format!("the package does not say what the tensor {} is", self.name),
                "zeros of the right size cannot be made",
                "give the inputs yourself",
            ));
        };
        let size = |dim: &Dim| 2.max(dim.min.unwrap_or(0)).min(dim.max.unwrap_or(i64::MAX));
        Tensor::zeros(dtype, &dims.iter().map(size).collect::<Vec<_>>())
    }
}

/// How a model is loaded.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// `None` for the model's own.
    pub device: Option<Device>,
    /// Callers that run at the same time; others wait. 0 means 1.
    pub num_runners: u32,
    /// Size of the CPU thread pool, process-wide. 0 leaves the runtime's choice.
    pub num_threads: u32,
    /// The variant to run, such as `avx2`; `None` for what `AOT_VARIANT` names, or the best that this machine can run.
    pub variant: Option<String>,
}

/// A model of a bundle. It may be shared: callers beyond `num_runners` wait for their turn.
#[derive(Debug)]
pub struct AotModel {
    handle: ffi::Model,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
}

impl AotModel {
    /// Loads a bundle's model folder (see [`crate::find_model`]) or a `.pt2` archive. Weights are mapped, not read.
    ///
    /// The model is native code and is trusted like a linked library, and so is what its package says of it.
    ///
    /// # Errors
    /// Every class but [`Error::Failed`] has its reasons to refuse a model; see there.
    pub fn load(path: impl AsRef<Path>, device: Device) -> Result<Self, Error> {
        Self::load_with(path, &LoadOptions { device: Some(device), ..LoadOptions::default() })
    }

    /// [`AotModel::load`] with all options.
    ///
    /// # Errors
    /// As for [`AotModel::load`].
    pub fn load_with(path: impl AsRef<Path>, options: &LoadOptions) -> Result<Self, Error> {
        let handle = ffi::Model::load(path.as_ref(), options)?;
        let inputs = (0..handle.num_inputs()).map(|index| handle.input_info(index)).collect::<Result<_, _>>()?;
        let outputs = (0..handle.num_outputs()).map(|index| handle.output_info(index)).collect::<Result<_, _>>()?;
        Ok(Self { handle, inputs, outputs })
    }

    /// The model's metadata (`model.json` of the bundle) as JSON text.
    #[must_use]
    pub fn metadata(&self) -> &str {
        self.handle.metadata()
    }

    /// The name of the variant that runs, such as `avx2`; empty when the model has one form only.
    #[must_use]
    pub fn variant(&self) -> &str {
        self.handle.variant()
    }

    /// This model with a state of its own: the buffers that it changes from call to call, at first as they were
    /// exported. Without one, all callers of a model share the state that was loaded with it.
    ///
    /// # Errors
    /// [`Error::ModelMismatch`] when the package does not say which buffers it changes, as one of plain `PyTorch`.
    pub fn session(&self) -> Result<Session, Error> {
        let handle = self.handle.session()?;
        Ok(Session { handle, inputs: self.inputs.clone(), outputs: self.outputs.clone() })
    }

    /// A file that travels with the models of the bundle, such as `labels.txt`: mapped, not read.
    ///
    /// # Errors
    /// [`Error::Usage`] when there is none of that name, as of a model outside of a bundle.
    pub fn asset(&self, name: &str) -> Result<&[u8], Error> {
        self.handle.asset(name)
    }
}

impl ModelRunner for AotModel {
    fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    fn infer(&self, inputs: &[Tensor<'_>]) -> Result<InferenceResult, Error> {
        self.handle.run(inputs, self.outputs.len())
    }

    fn infer_mut(&self, inputs: &mut [Tensor<'_>]) -> Result<InferenceResult, Error> {
        self.handle.run_mut(inputs, &self.inputs, self.outputs.len())
    }
}

/// A model with a state of its own. It shares code and weights with its model, which it may outlive. Calls of one
/// session follow one another, whichever threads they come from; those of several run at the same time.
#[derive(Debug)]
pub struct Session {
    handle: ffi::Session,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
}

impl Session {
    /// Makes the state what it was when the model was exported.
    ///
    /// # Errors
    /// [`Error::Failed`] when the device fails.
    pub fn reset(&self) -> Result<(), Error> {
        self.handle.reset()
    }

    /// Another session of the model with the same state.
    ///
    /// # Errors
    /// [`Error::Failed`] when there is no memory for it.
    pub fn copy(&self) -> Result<Self, Error> {
        Ok(Self { handle: self.handle.copy()?, inputs: self.inputs.clone(), outputs: self.outputs.clone() })
    }

    /// The state; sessions of the same package take it, in other processes and on other machines as well.
    ///
    /// # Errors
    /// [`Error::Failed`] when the device fails.
    pub fn save(&self) -> Result<Vec<u8>, Error> {
        self.handle.save()
    }

    /// Makes the state one that was saved.
    ///
    /// # Errors
    /// [`Error::Usage`] when the bytes are no state of this model; it is then as it was.
    pub fn restore(&self, state: &[u8]) -> Result<(), Error> {
        self.handle.restore(state)
    }
}

impl ModelRunner for Session {
    fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    fn infer(&self, inputs: &[Tensor<'_>]) -> Result<InferenceResult, Error> {
        self.handle.run(inputs, self.outputs.len())
    }

    fn infer_mut(&self, inputs: &mut [Tensor<'_>]) -> Result<InferenceResult, Error> {
        self.handle.run_mut(inputs, &self.inputs, self.outputs.len())
    }
}

#[cfg(test)]
mod tests {
    use super::{AotModel, Dim, Session, TensorInfo};
    use crate::DType;

    #[test]
    fn a_model_is_shared_among_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<AotModel>();
        shared::<Session>();
    }

    #[test]
    fn zeros_are_of_a_size_the_model_takes() {
        let fixed = Dim { min: Some(64), max: Some(64), symbol: None };
        let batch = Dim { min: Some(0), max: None, symbol: Some(String::from("batch")) };
        let dims = Some(vec![batch, fixed]);
        let info = TensorInfo { name: String::from("x"), dtype: Some(DType::Float32), dims, mutated: None };
        assert_eq!(info.zeros().unwrap().shape(), [2, 64]);
        assert!(TensorInfo { dims: None, ..info }.zeros().is_err());
    }
}
