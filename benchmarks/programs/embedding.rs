//! What the Rust crate adds to a call of the C API: both in one process, in turn, on one model file.
//! Arguments: model folder, rounds, calls a round. Prints the best microseconds a call, C then Rust.
//! Built as an example of the project that `aotpack new --lang rust` writes. `infer` always measures, so C does too.

use aot_app::{AotModel, Device, ModelRunner, Tensor};
use std::ffi::{c_char, c_void, CString};
use std::time::Instant;

const SHAPE: [i64; 2] = [8, 64];

#[repr(C)]
struct View {
    data: *const c_void,
    device: [i32; 2],
    ndim: i32,
    dtype: [u8; 4],
    shape: *const i64,
    strides: *const i64,
    byte_offset: u64,
}

/// `aot_run_stats`.
#[repr(C)]
struct Stats {
    struct_size: u32,
    reserved: u32,
    figures: [u64; 4],
}

extern "C" {
    fn aot_model_load(path: *const c_char, options: *const c_void, out: *mut *mut c_void) -> i32;
    fn aot_model_run(
        model: *mut c_void,
        inputs: *const View,
        num_inputs: usize,
        outputs: *mut *mut c_void,
        num_outputs: usize,
        stats: *mut Stats,
    ) -> i32;
    fn aot_tensor_free(tensor: *mut c_void);
}

fn call_c(model: *mut c_void, data: &[f32]) {
    let view = View {
        data: data.as_ptr().cast(),
        device: [1, 0],
        ndim: 2,
        dtype: [2, 32, 1, 0],
        shape: SHAPE.as_ptr(),
        strides: std::ptr::null(),
        byte_offset: 0,
    };
    let mut output = std::ptr::null_mut();
    let mut stats = Stats { struct_size: 40, reserved: 0, figures: [0; 4] };
    assert_eq!(unsafe { aot_model_run(model, &view, 1, &mut output, 1, &mut stats) }, 0);
    unsafe { aot_tensor_free(output) };
}

fn call_rust(model: &AotModel, data: &[f32]) {
    let result = model.infer(&[Tensor::from_slice(data, &SHAPE).unwrap()]).unwrap();
    assert!(!result.outputs[0].as_slice::<f32>().unwrap().is_empty());
}

fn microseconds(calls: u32, call: impl Fn()) -> f64 {
    let start = Instant::now();
    (0..calls).for_each(|_| call());
    start.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let (rounds, calls): (u32, u32) = (arguments[2].parse().unwrap(), arguments[3].parse().unwrap());
    let path = CString::new(arguments[1].as_str()).unwrap();
    let mut raw = std::ptr::null_mut();
    assert_eq!(unsafe { aot_model_load(path.as_ptr(), std::ptr::null(), &mut raw) }, 0);
    let model = AotModel::load(&arguments[1], Device::cpu()).unwrap();

    let data = vec![0.5_f32; 8 * 64];
    let (mut best_c, mut best_rust) = (f64::MAX, f64::MAX);
    for _ in 0..rounds {
        best_c = best_c.min(microseconds(calls, || call_c(raw, &data)));
        best_rust = best_rust.min(microseconds(calls, || call_rust(&model, &data)));
    }
    println!("{best_c} {best_rust}");
}
