//! `aot_bridge.h`, and the safe functions on top of it. The only module with `unsafe` code.

use crate::tensor::{Bf16, F16};
use crate::{DType, DeviceReport, Dim, Error, InferenceResult, LoadOptions, Tensor, TensorInfo};
use std::ffi::{c_char, c_void, CStr, CString, OsStr};
use std::mem::{align_of, size_of};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::slice;

// ---- declarations ---------------------------------------------------------------------------------------------------

const OK: i32 = 0;
const DEVICE_CPU: i32 = 1;
const NOT_MUTATED: i32 = 1;
const MUTATED: i32 = 2;

/// Types that C knows by name only.
macro_rules! opaque {
    ($($name:ident),*) => {$(
        #[repr(C)]
        struct $name {
            _private: [u8; 0],
        }
    )*};
}
opaque!(RawModel, RawSession, RawTensor);

#[repr(C)]
#[derive(Clone, Copy)]
struct RawDevice {
    kind: i32,
    index: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct RawDType {
    code: u8,
    bits: u8,
    lanes: u16,
}

#[repr(C)]
struct RawView {
    data: *mut c_void,
    device: RawDevice,
    ndim: i32,
    dtype: RawDType,
    shape: *mut i64,
    strides: *mut i64,
    byte_offset: u64,
}

#[repr(C)]
struct RawLoadOptions {
    struct_size: u32,
    num_runners: u32,
    device: *const c_char,
    num_threads: u32,
    reserved: u32,
    variant: *const c_char,
}

#[repr(C)]
struct RawDim {
    min: i64,
    max: i64,
    symbol: *const c_char,
}

#[repr(C)]
struct RawTensorInfo {
    struct_size: u32,
    ndim: i32,
    name: *const c_char,
    dtype: RawDType,
    reserved: u32,
    dims: *const RawDim,
    mutation: i32,
    reserved_2: u32,
}

#[repr(C)]
struct RawRunStats {
    struct_size: u32,
    reserved: u32,
    latency_ms: f64,
    device_used_bytes: u64,
    device_total_bytes: u64,
    peak_rss_bytes: u64,
}

#[repr(C)]
struct RawDeviceReport {
    struct_size: u32,
    num_devices: u32,
    used_bytes: u64,
    total_bytes: u64,
    name: [c_char; 128],
    architecture: [c_char; 64],
    self_test_ms: f64,
}

#[repr(C)]
struct DlInfo {
    file_name: *const c_char,
    file_base: *mut c_void,
    symbol_name: *const c_char,
    symbol_address: *mut c_void,
}

extern "C" {
    fn aot_last_error() -> *const c_char;
    fn aot_build_info() -> *const c_char;
    fn aot_device_check(device: *const c_char, report: *mut RawDeviceReport) -> i32;

    fn aot_model_load(path: *const c_char, options: *const RawLoadOptions, out: *mut *mut RawModel) -> i32;
    fn aot_model_free(model: *mut RawModel);
    fn aot_model_num_inputs(model: *const RawModel) -> usize;
    fn aot_model_num_outputs(model: *const RawModel) -> usize;
    fn aot_model_input_info(model: *const RawModel, index: usize, info: *mut RawTensorInfo) -> i32;
    fn aot_model_output_info(model: *const RawModel, index: usize, info: *mut RawTensorInfo) -> i32;
    fn aot_model_metadata(model: *const RawModel) -> *const c_char;
    fn aot_model_asset(model: *const RawModel, name: *const c_char, data: *mut *const c_void, size: *mut usize) -> i32;
    fn aot_model_variant(model: *const RawModel) -> *const c_char;
    fn aot_model_run(
        model: *mut RawModel,
        inputs: *const RawView,
        num_inputs: usize,
        outputs: *mut *mut RawTensor,
        num_outputs: usize,
        stats: *mut RawRunStats,
    ) -> i32;
    fn aot_model_run_const(
        model: *mut RawModel,
        inputs: *const RawView,
        num_inputs: usize,
        outputs: *mut *mut RawTensor,
        num_outputs: usize,
        stats: *mut RawRunStats,
    ) -> i32;

    fn aot_session_create(model: *mut RawModel, out: *mut *mut RawSession) -> i32;
    fn aot_session_copy(session: *const RawSession, out: *mut *mut RawSession) -> i32;
    fn aot_session_reset(session: *mut RawSession) -> i32;
    fn aot_session_saved_size(session: *const RawSession) -> usize;
    fn aot_session_save(session: *const RawSession, destination: *mut c_void, bytes: usize) -> i32;
    fn aot_session_restore(session: *mut RawSession, source: *const c_void, bytes: usize) -> i32;
    fn aot_session_free(session: *mut RawSession);
    fn aot_session_run(
        session: *mut RawSession,
        inputs: *const RawView,
        num_inputs: usize,
        outputs: *mut *mut RawTensor,
        num_outputs: usize,
        stats: *mut RawRunStats,
    ) -> i32;
    fn aot_session_run_const(
        session: *mut RawSession,
        inputs: *const RawView,
        num_inputs: usize,
        outputs: *mut *mut RawTensor,
        num_outputs: usize,
        stats: *mut RawRunStats,
    ) -> i32;

    fn aot_tensor_view(tensor: *const RawTensor) -> *const RawView;
    fn aot_tensor_copy(tensor: *const RawTensor, destination: *mut c_void, bytes: usize) -> i32;
    fn aot_tensor_free(tensor: *mut RawTensor);

    fn dladdr(address: *const c_void, info: *mut DlInfo) -> i32;
}

#[allow(clippy::cast_possible_truncation)] // structs of a few hundred bytes
const fn struct_size<T>() -> u32 {
    size_of::<T>() as u32
}

/// # Safety
/// `text` is NULL or a C string that lives for `'a`.
unsafe fn text<'a>(text: *const c_char) -> &'a str {
    if text.is_null() {
        return "";
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("")
}

/// A status as a result, with this thread's message.
fn check(status: i32) -> Result<(), Error> {
    if status == OK {
        return Ok(());
    }
    // SAFETY: never NULL, valid until this thread's next call; copied here.
    let message = unsafe { text(aot_last_error()) };
    Err(Error::from_status(status, message.to_owned()))
}

fn c_string(bytes: &[u8]) -> Result<CString, Error> {
    CString::new(bytes).map_err(|_| {
        Error::usage(
            &format!("{:?} holds a NUL character", String::from_utf8_lossy(bytes)),
            "no path and no device has one",
            "leave it out",
        )
    })
}

// ---- elements -------------------------------------------------------------------------------------------------------

/// A Rust type that is the element of a tensor.
///
/// # Safety
/// The type has the size and the layout of `DTYPE`'s elements, no padding, and every bit pattern is a value of it,
/// `bool` excepted, which [`from_bytes`] checks.
pub unsafe trait Element: Copy + Send + Sync + 'static {
    /// The type of element it is.
    const DTYPE: DType;
}

macro_rules! elements {
    ($($rust:ty => $dtype:ident),*) => {$(
        // SAFETY: numbers of the size that the name says, or arrays of them.
        unsafe impl Element for $rust {
            const DTYPE: DType = DType::$dtype;
        }
    )*};
}
elements!(
    bool => Bool, u8 => UInt8, u16 => UInt16, u32 => UInt32, u64 => UInt64, i8 => Int8, i16 => Int16, i32 => Int32,
    i64 => Int64, F16 => Float16, Bf16 => BFloat16, f32 => Float32, f64 => Float64, [f32; 2] => Complex64,
    [f64; 2] => Complex128
);

/// The memory of elements.
pub(crate) fn as_bytes<T: Element>(elements: &[T]) -> &[u8] {
    // SAFETY: elements have no padding, and bytes have no alignment.
    unsafe { slice::from_raw_parts(elements.as_ptr().cast(), size_of_val(elements)) }
}

/// The memory of elements, to be filled with elements.
pub(crate) fn as_bytes_mut<T: Element>(elements: &mut [T]) -> &mut [u8] {
    // SAFETY: as above; what is written there are elements again, which `run_mut` sees to for `bool`.
    unsafe { slice::from_raw_parts_mut(elements.as_mut_ptr().cast(), size_of_val(elements)) }
}

/// Elements of that memory, or `None` when it is not aligned for them, not a whole number of them, or holds a byte that
/// is not a `bool`.
pub(crate) fn from_bytes<T: Element>(bytes: &[u8]) -> Option<&[T]> {
    if T::DTYPE == DType::Bool && bytes.iter().any(|&byte| byte > 1) {
        return None;
    }
    // SAFETY: every bit pattern is a value (Element), bools were checked above.
    let (before, elements, after) = unsafe { bytes.align_to::<T>() };
    (before.is_empty() && after.is_empty()).then_some(elements)
}

/// Bytes at an address that suits every element.
#[derive(Debug)]
pub(crate) struct AlignedBytes {
    words: Vec<u64>,
    len: usize,
}

const _: () = assert!(align_of::<u64>() >= align_of::<[f64; 2]>());

impl AlignedBytes {
    pub(crate) fn zeros(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(size_of::<u64>())], len }
    }

    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        let mut copy = Self::zeros(bytes.len());
        copy.bytes_mut().copy_from_slice(bytes);
        copy
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &as_bytes(&self.words)[..self.len]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: `words` holds at least `len` bytes, and every byte is valid.
        unsafe { slice::from_raw_parts_mut(self.words.as_mut_ptr().cast(), self.len) }
    }
}

// ---- outputs --------------------------------------------------------------------------------------------------------

/// An output in host memory, in C order, where the model left it.
#[derive(Debug)]
pub(crate) struct OwnedTensor {
    handle: NonNull<RawTensor>,
    data: *const u8,
    len: usize,
}

// SAFETY: the library lets a tensor go from thread to thread, and a shared one is only read through `data`, without a
// call of the library.
unsafe impl Send for OwnedTensor {}
// SAFETY: as above.
unsafe impl Sync for OwnedTensor {}

impl OwnedTensor {
    pub(crate) fn bytes(&self) -> &[u8] {
        if self.len == 0 {
            return &[]; // `data` may be NULL
        }
        // SAFETY: the view's memory, which lives as long as the handle.
        unsafe { slice::from_raw_parts(self.data, self.len) }
    }
}

impl Drop for OwnedTensor {
    fn drop(&mut self) {
        // SAFETY: owned, and dropped once.
        unsafe { aot_tensor_free(self.handle.as_ptr()) }
    }
}

fn is_contiguous(shape: &[i64], strides: &[i64]) -> bool {
    let mut expected = 1;
    for (&size, &stride) in shape.iter().zip(strides).rev() {
        if size != 1 && stride != expected {
            return false;
        }
        expected *= size;
    }
    true
}

/// Takes over an output: as it is when host code can read it in C order, else as a copy.
fn take_output(handle: NonNull<RawTensor>) -> Result<Tensor<'static>, Error> {
    // SAFETY: a view is valid as long as its tensor, which is `output`'s from here on.
    let view = unsafe { &*aot_tensor_view(handle.as_ptr()) };
    let mut output = OwnedTensor { handle, data: ptr::null(), len: 0 };
    let rank = usize::try_from(view.ndim).unwrap_or(0);
    let shape = if rank == 0 {
        Vec::new()
    } else {
        // SAFETY: `ndim` sizes.
        unsafe { slice::from_raw_parts(view.shape, rank) }.to_vec()
    };
    let dtype = DType::from_dlpack(view.dtype.code, view.dtype.bits).ok_or_else(|| {
        Error::Failed(format!(
            "an output has elements of code {} and {} bits\nthis program was written before that type\nadd it to DType",
            view.dtype.code, view.dtype.bits
        ))
    })?;
    let elements: usize = shape.iter().map(|&size| usize::try_from(size).unwrap_or(0)).product();
    let len = elements * dtype.size();

    // SAFETY: `ndim` strides unless NULL.
    let in_order = view.strides.is_null()
        || elements == 0
        || rank == 0
        || is_contiguous(&shape, unsafe { slice::from_raw_parts(view.strides, rank) });
    if view.device.kind == DEVICE_CPU && in_order {
        // The library gives views of memory it owns, so the offset stays inside; the address is not read when len is 0.
        output.data = view.data.cast::<u8>().wrapping_add(usize::try_from(view.byte_offset).unwrap_or(0));
        output.len = len;
        return Ok(Tensor::from_output(dtype, shape, output));
    }
    let mut copy = AlignedBytes::zeros(len);
    // SAFETY: `len` bytes to write to.
    check(unsafe { aot_tensor_copy(handle.as_ptr(), copy.bytes_mut().as_mut_ptr().cast(), len) })?;
    Ok(Tensor::from_owned(dtype, shape, copy))
}

// ---- models ---------------------------------------------------------------------------------------------------------

/// A loaded model.
#[derive(Debug)]
pub(crate) struct Model {
    handle: NonNull<RawModel>,
}

// SAFETY: "A model may be used from many threads at once" (aot_bridge.h).
unsafe impl Send for Model {}
// SAFETY: as above.
unsafe impl Sync for Model {}

type Run<Handle> =
    unsafe extern "C" fn(*mut Handle, *const RawView, usize, *mut *mut RawTensor, usize, *mut RawRunStats) -> i32;
type InfoOf = unsafe extern "C" fn(*const RawModel, usize, *mut RawTensorInfo) -> i32;

impl Model {
    pub(crate) fn load(path: &Path, options: &LoadOptions) -> Result<Self, Error> {
        let path = c_string(path.as_os_str().as_bytes())?;
        let device = options.device.map(|device| c_string(device.to_string().as_bytes())).transpose()?;
        let variant = options.variant.as_ref().map(|variant| c_string(variant.as_bytes())).transpose()?;
        let options = RawLoadOptions {
            struct_size: struct_size::<RawLoadOptions>(),
            num_runners: options.num_runners,
            device: device.as_ref().map_or(ptr::null(), |device| device.as_ptr()),
            num_threads: options.num_threads,
            reserved: 0,
            variant: variant.as_ref().map_or(ptr::null(), |variant| variant.as_ptr()),
        };
        let mut handle = ptr::null_mut();
        // SAFETY: three C strings and two structs that outlive the call.
        check(unsafe { aot_model_load(path.as_ptr(), &options, &mut handle) })?;
        Ok(Self { handle: NonNull::new(handle).expect("AOT_OK comes with a model") })
    }

    pub(crate) fn num_inputs(&self) -> usize {
        // SAFETY: the handle is alive.
        unsafe { aot_model_num_inputs(self.handle.as_ptr()) }
    }

    pub(crate) fn num_outputs(&self) -> usize {
        // SAFETY: the handle is alive.
        unsafe { aot_model_num_outputs(self.handle.as_ptr()) }
    }

    pub(crate) fn metadata(&self) -> &str {
        // SAFETY: a C string that lives as long as the model.
        unsafe { text(aot_model_metadata(self.handle.as_ptr())) }
    }

    pub(crate) fn variant(&self) -> &str {
        // SAFETY: a C string that lives as long as the model.
        unsafe { text(aot_model_variant(self.handle.as_ptr())) }
    }

    pub(crate) fn asset(&self, name: &str) -> Result<&[u8], Error> {
        let name = c_string(name.as_bytes())?;
        let (mut data, mut size) = (std::ptr::null(), 0);
        // SAFETY: the handle is alive, and the outputs are variables.
        check(unsafe { aot_model_asset(self.handle.as_ptr(), name.as_ptr(), &mut data, &mut size) })?;
        // SAFETY: so many bytes, mapped for as long as the model lives; never null.
        Ok(unsafe { std::slice::from_raw_parts(data.cast::<u8>(), size) })
    }

    pub(crate) fn input_info(&self, index: usize) -> Result<TensorInfo, Error> {
        self.info(aot_model_input_info, index)
    }

    pub(crate) fn output_info(&self, index: usize) -> Result<TensorInfo, Error> {
        self.info(aot_model_output_info, index)
    }

    fn info(&self, info_of: InfoOf, index: usize) -> Result<TensorInfo, Error> {
        let mut raw = RawTensorInfo {
            struct_size: struct_size::<RawTensorInfo>(),
            ndim: -1,
            name: ptr::null(),
            dtype: RawDType { code: 0, bits: 0, lanes: 1 },
            reserved: 0,
            dims: ptr::null(),
            mutation: 0,
            reserved_2: 0,
        };
        // SAFETY: the handle is alive and the struct is as large as it says.
        check(unsafe { info_of(self.handle.as_ptr(), index, &mut raw) })?;
        let dims = usize::try_from(raw.ndim).ok().map(|rank| {
            let dims = if rank == 0 {
                &[]
            } else {
                // SAFETY: `ndim` dims that live as long as the model.
                unsafe { slice::from_raw_parts(raw.dims, rank) }
            };
            dims.iter()
                .map(|dim| Dim {
                    min: (dim.min >= 0).then_some(dim.min),
                    max: (dim.max >= 0 && dim.max < i64::MAX).then_some(dim.max),
                    // SAFETY: NULL or a C string that lives as long as the model.
                    symbol: (!dim.symbol.is_null()).then(|| unsafe { text(dim.symbol) }.to_owned()),
                })
                .collect()
        });
        Ok(TensorInfo {
            // SAFETY: a C string that lives as long as the model.
            name: unsafe { text(raw.name) }.to_owned(),
            dtype: DType::from_dlpack(raw.dtype.code, raw.dtype.bits),
            dims,
            mutated: match raw.mutation {
                MUTATED => Some(true),
                NOT_MUTATED => Some(false),
                _ => None,
            },
        })
    }

    pub(crate) fn run(&self, inputs: &[Tensor<'_>], num_outputs: usize) -> Result<InferenceResult, Error> {
        // SAFETY: the handle is alive.
        unsafe { run(aot_model_run_const, self.handle, inputs, num_outputs) }
    }

    pub(crate) fn run_mut(
        &self,
        inputs: &mut [Tensor<'_>],
        infos: &[TensorInfo],
        num_outputs: usize,
    ) -> Result<InferenceResult, Error> {
        // SAFETY: the handle is alive.
        unsafe { run_mut(aot_model_run, self.handle, inputs, infos, num_outputs) }
    }

    pub(crate) fn session(&self) -> Result<Session, Error> {
        let mut handle = ptr::null_mut();
        // SAFETY: the handle is alive, and the output is a variable.
        check(unsafe { aot_session_create(self.handle.as_ptr(), &mut handle) })?;
        Ok(Session { handle: NonNull::new(handle).expect("AOT_OK comes with a session") })
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: owned, and dropped once; outputs and sessions hold on to what they need.
        unsafe { aot_model_free(self.handle.as_ptr()) }
    }
}

/// Runs a model or a session, which writes to none of the inputs.
///
/// # Safety
/// `function` is one that writes to no input, and `handle` one of its kind that is alive.
unsafe fn run<Handle>(
    function: Run<Handle>,
    handle: NonNull<Handle>,
    inputs: &[Tensor<'_>],
    num_outputs: usize,
) -> Result<InferenceResult, Error> {
    let views: Vec<RawView> = inputs.iter().map(input_view).collect();
    // SAFETY: the memory behind the views outlives the call, which writes to none of it.
    unsafe { call(function, handle, &views, num_outputs) }
}

/// Runs in place. Where `infos` does not rule out that the model writes, the tensor's memory becomes its own.
///
/// # Safety
/// `handle` is alive, and of `function`'s kind.
unsafe fn run_mut<Handle>(
    function: Run<Handle>,
    handle: NonNull<Handle>,
    inputs: &mut [Tensor<'_>],
    infos: &[TensorInfo],
    num_outputs: usize,
) -> Result<InferenceResult, Error> {
    let is_written = |index: usize| infos.get(index).map_or(true, |info| info.mutated != Some(false));
    let views: Vec<RawView> = inputs
        .iter_mut()
        .enumerate()
        .map(|(index, tensor)| {
            let mut view = input_view(tensor);
            if is_written(index) {
                view.data = tensor.bytes_mut().as_mut_ptr().cast();
            }
            view
        })
        .collect();
    // SAFETY: the memory behind the views outlives the call, and what it may write to is borrowed mutably.
    let result = unsafe { call(function, handle, &views, num_outputs) };
    for (_, tensor) in inputs.iter_mut().enumerate().filter(|&(index, _)| is_written(index)) {
        if tensor.dtype() == DType::Bool {
            tensor.bytes_mut().iter_mut().for_each(|byte| *byte = u8::from(*byte != 0));
        }
    }
    result
}

/// # Safety
/// `handle` is alive, and of `function`'s kind. The views' memory lives until the call is over, and may be written to
/// if `function` does.
unsafe fn call<Handle>(
    function: Run<Handle>,
    handle: NonNull<Handle>,
    views: &[RawView],
    num_outputs: usize,
) -> Result<InferenceResult, Error> {
    let mut handles = vec![ptr::null_mut(); num_outputs];
    let mut stats = RawRunStats {
        struct_size: struct_size::<RawRunStats>(),
        reserved: 0,
        latency_ms: 0.0,
        device_used_bytes: 0,
        device_total_bytes: 0,
        peak_rss_bytes: 0,
    };
    // SAFETY: views, handles and stats outlive the call, and the caller promises the rest.
    check(unsafe {
        function(handle.as_ptr(), views.as_ptr(), views.len(), handles.as_mut_ptr(), handles.len(), &mut stats)
    })?;
    // Every output is taken over, so that none leaks when one of them is refused.
    let taken: Vec<_> = handles.into_iter().filter_map(NonNull::new).map(take_output).collect();
    Ok(InferenceResult {
        outputs: taken.into_iter().collect::<Result<_, _>>()?,
        latency_ms: stats.latency_ms,
        memory_bytes: if stats.device_total_bytes > 0 { stats.device_used_bytes } else { stats.peak_rss_bytes },
    })
}

// ---- sessions -------------------------------------------------------------------------------------------------------

/// A model with a state of its own. It holds on to what it needs of its model.
#[derive(Debug)]
pub(crate) struct Session {
    handle: NonNull<RawSession>,
}

// SAFETY: "Calls of one session follow one another, whichever threads they come from" (aot_bridge.h).
unsafe impl Send for Session {}
// SAFETY: as above.
unsafe impl Sync for Session {}

impl Session {
    pub(crate) fn copy(&self) -> Result<Self, Error> {
        let mut handle = ptr::null_mut();
        // SAFETY: the handle is alive, and the output is a variable.
        check(unsafe { aot_session_copy(self.handle.as_ptr(), &mut handle) })?;
        Ok(Self { handle: NonNull::new(handle).expect("AOT_OK comes with a session") })
    }

    pub(crate) fn reset(&self) -> Result<(), Error> {
        // SAFETY: the handle is alive.
        check(unsafe { aot_session_reset(self.handle.as_ptr()) })
    }

    pub(crate) fn save(&self) -> Result<Vec<u8>, Error> {
        // SAFETY: the handle is alive.
        let mut state = vec![0; unsafe { aot_session_saved_size(self.handle.as_ptr()) }];
        // SAFETY: the handle is alive, and the memory is as large as it says.
        check(unsafe { aot_session_save(self.handle.as_ptr(), state.as_mut_ptr().cast(), state.len()) })?;
        Ok(state)
    }

    pub(crate) fn restore(&self, state: &[u8]) -> Result<(), Error> {
        // SAFETY: the handle is alive, and so many bytes are there.
        check(unsafe { aot_session_restore(self.handle.as_ptr(), state.as_ptr().cast(), state.len()) })
    }

    pub(crate) fn run(&self, inputs: &[Tensor<'_>], num_outputs: usize) -> Result<InferenceResult, Error> {
        // SAFETY: the handle is alive.
        unsafe { run(aot_session_run_const, self.handle, inputs, num_outputs) }
    }

    pub(crate) fn run_mut(
        &self,
        inputs: &mut [Tensor<'_>],
        infos: &[TensorInfo],
        num_outputs: usize,
    ) -> Result<InferenceResult, Error> {
        // SAFETY: the handle is alive.
        unsafe { run_mut(aot_session_run, self.handle, inputs, infos, num_outputs) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: owned, and dropped once; outputs hold on to what they need.
        unsafe { aot_session_free(self.handle.as_ptr()) }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)] // a rank is far below 2^31
fn input_view(tensor: &Tensor<'_>) -> RawView {
    let (code, bits) = tensor.dtype().to_dlpack();
    RawView {
        data: tensor.bytes().as_ptr().cast_mut().cast(),
        device: RawDevice { kind: DEVICE_CPU, index: 0 },
        ndim: tensor.shape().len() as i32,
        dtype: RawDType { code, bits, lanes: 1 },
        shape: tensor.shape().as_ptr().cast_mut(),
        strides: ptr::null_mut(),
        byte_offset: 0,
    }
}

// ---- the machine ----------------------------------------------------------------------------------------------------

pub(crate) fn check_device(device: &str) -> Result<DeviceReport, Error> {
    let device = c_string(device.as_bytes())?;
    let mut raw = RawDeviceReport {
        struct_size: struct_size::<RawDeviceReport>(),
        num_devices: 0,
        used_bytes: 0,
        total_bytes: 0,
        name: [0; 128],
        architecture: [0; 64],
        self_test_ms: 0.0,
    };
    // SAFETY: a C string, and a struct as large as it says.
    check(unsafe { aot_device_check(device.as_ptr(), &mut raw) })?;
    Ok(DeviceReport {
        // SAFETY: the library ends its texts with a NUL.
        name: unsafe { text(raw.name.as_ptr()) }.to_owned(),
        // SAFETY: as above.
        architecture: unsafe { text(raw.architecture.as_ptr()) }.to_owned(),
        num_devices: raw.num_devices,
        used_bytes: raw.used_bytes,
        total_bytes: raw.total_bytes,
        self_test_ms: raw.self_test_ms,
    })
}

pub(crate) fn build_info() -> &'static str {
    // SAFETY: a C string for the life of the process.
    unsafe { text(aot_build_info()) }
}

/// The file that the library was loaded from; empty when the dynamic linker does not know.
pub(crate) fn library_path() -> PathBuf {
    let mut info = DlInfo {
        file_name: ptr::null(),
        file_base: ptr::null_mut(),
        symbol_name: ptr::null(),
        symbol_address: ptr::null_mut(),
    };
    // SAFETY: any address may be asked for.
    let found = unsafe { dladdr(aot_build_info as *const c_void, &mut info) } != 0;
    if !found || info.file_name.is_null() {
        return PathBuf::new();
    }
    // SAFETY: a C string that lives as long as the library is loaded.
    PathBuf::from(OsStr::from_bytes(unsafe { CStr::from_ptr(info.file_name) }.to_bytes()))
}

// The sizes that aot_bridge.h has on 64-bit machines.
const _: () = assert!(size_of::<RawView>() == 48);
const _: () = assert!(size_of::<RawLoadOptions>() == 32);
const _: () = assert!(size_of::<RawDim>() == 24);
const _: () = assert!(size_of::<RawTensorInfo>() == 40);
const _: () = assert!(size_of::<RawRunStats>() == 40);
const _: () = assert!(size_of::<RawDeviceReport>() == 224);

#[cfg(test)]
mod tests {
    use super::{is_contiguous, AlignedBytes};

    #[test]
    fn contiguity_ignores_axes_of_size_one() {
        assert!(is_contiguous(&[2, 3], &[3, 1]));
        assert!(is_contiguous(&[1, 3], &[99, 1]));
        assert!(!is_contiguous(&[2, 3], &[1, 2]));
        assert!(!is_contiguous(&[2, 3], &[6, 2]));
    }

    #[test]
    fn aligned_bytes_keep_their_length() {
        for len in 0..20 {
            let bytes: Vec<u8> = (0..len).collect();
            assert_eq!(AlignedBytes::copy_of(&bytes).bytes(), bytes);
        }
    }
}
