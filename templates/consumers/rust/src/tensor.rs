//! Arrays in host memory, in C order.

use crate::{ffi, Error};
use std::fmt;

/// The type of a tensor's elements, by torch's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // the names say it
pub enum DType {
    Bool,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Int8,
    Int16,
    Int32,
    Int64,
    Float16,
    BFloat16,
    Float32,
    Float64,
    Complex64,
    Complex128,
}

/// `DLPack`'s type codes.
mod code {
    pub const INT: u8 = 0;
    pub const UINT: u8 = 1;
    pub const FLOAT: u8 = 2;
    pub const BFLOAT: u8 = 4;
    pub const COMPLEX: u8 = 5;
    pub const BOOL: u8 = 6;
}

/// One row per type: its name and its `DLPack` code and bits.
const DTYPES: [(DType, &str, u8, u8); 15] = [
    (DType::Bool, "bool", code::BOOL, 8),
    (DType::UInt8, "uint8", code::UINT, 8),
    (DType::UInt16, "uint16", code::UINT, 16),
    (DType::UInt32, "uint32", code::UINT, 32),
    (DType::UInt64, "uint64", code::UINT, 64),
    (DType::Int8, "int8", code::INT, 8),
    (DType::Int16, "int16", code::INT, 16),
    (DType::Int32, "int32", code::INT, 32),
    (DType::Int64, "int64", code::INT, 64),
    (DType::Float16, "float16", code::FLOAT, 16),
    (DType::BFloat16, "bfloat16", code::BFLOAT, 16),
    (DType::Float32, "float32", code::FLOAT, 32),
    (DType::Float64, "float64", code::FLOAT, 64),
    (DType::Complex64, "complex64", code::COMPLEX, 64),
    (DType::Complex128, "complex128", code::COMPLEX, 128),
];

impl DType {
    fn row(self) -> &'static (DType, &'static str, u8, u8) {
        &DTYPES[self as usize]
    }

    /// Bytes of one element.
    #[must_use]
    pub fn size(self) -> usize {
        usize::from(self.row().3) / 8
    }

    /// torch's name, such as `float32`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The type of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        DTYPES.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// `DLPack`'s code and bits.
    pub(crate) fn to_dlpack(self) -> (u8, u8) {
        (self.row().2, self.row().3)
    }

    /// The type of `DLPack`'s code and bits.
    pub(crate) fn from_dlpack(code: u8, bits: u8) -> Option<Self> {
        DTYPES.iter().find(|row| (row.2, row.3) == (code, bits)).map(|row| row.0)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Half precision, as its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct F16(pub u16);

/// The upper half of an `f32`, as its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct Bf16(pub u16);

impl From<Bf16> for f32 {
    fn from(value: Bf16) -> Self {
        f32::from_bits(u32::from(value.0) << 16)
    }
}

impl From<F16> for f32 {
    fn from(value: F16) -> Self {
        const MANTISSA_SHIFT: u32 = 23 - 10;
        const BIAS: u32 = 127 - 15;
        let sign = u32::from(value.0 & 0x8000) << 16;
        let exponent = u32::from(value.0 >> 10) & 0x1f;
        let mantissa = u32::from(value.0) & 0x3ff;
        let magnitude = match exponent {
            // Zero and subnormal numbers count in steps of 2^-24.
            #[allow(clippy::cast_precision_loss)] // ten bits
            0 => (mantissa as f32 * (-24.0_f32).exp2()).to_bits(),
            0x1f => 0x7f80_0000 | mantissa << MANTISSA_SHIFT,
            _ => (exponent + BIAS) << 23 | mantissa << MANTISSA_SHIFT,
        };
        f32::from_bits(sign | magnitude)
    }
}

pub use ffi::Element;

/// An array in host memory, in C order: borrowed from the caller, to read or to write, owned, or an output of a model.
#[derive(Debug)]
pub struct Tensor<'a> {
    dtype: DType,
    shape: Vec<i64>,
    storage: Storage<'a>,
}

#[derive(Debug)]
enum Storage<'a> {
    Borrowed(&'a [u8]),
    BorrowedMut(&'a mut [u8]),
    Owned(ffi::AlignedBytes),
    Output(ffi::OwnedTensor),
}

/// How many elements a shape holds, or `None` for a negative or an overflowing size.
fn count(shape: &[i64]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(usize::try_from(size).ok()?))
}

impl<'a> Tensor<'a> {
    /// Borrows `data` without copying it.
    ///
    /// # Errors
    /// [`Error::Usage`] when `shape` does not hold as many elements as `data`.
    pub fn from_slice<T: Element>(data: &'a [T], shape: &[i64]) -> Result<Self, Error> {
        Self::new(T::DTYPE, shape, Storage::Borrowed(ffi::as_bytes(data)))
    }

    /// Borrows `data` for [`crate::ModelRunner::infer_mut`], where the model may write to it.
    ///
    /// # Errors
    /// [`Error::Usage`] when `shape` does not hold as many elements as `data`.
    pub fn from_mut_slice<T: Element>(data: &'a mut [T], shape: &[i64]) -> Result<Self, Error> {
        Self::new(T::DTYPE, shape, Storage::BorrowedMut(ffi::as_bytes_mut(data)))
    }

    /// Copies `bytes`, the elements in native byte order.
    ///
    /// # Errors
    /// [`Error::Usage`] when `shape` does not hold as many elements as `bytes`.
    pub fn from_bytes(dtype: DType, shape: &[i64], bytes: &[u8]) -> Result<Tensor<'static>, Error> {
        Tensor::new(dtype, shape, Storage::Owned(ffi::AlignedBytes::copy_of(bytes)))
    }

    /// Zeros.
    ///
    /// # Errors
    /// [`Error::Usage`] when a size is negative or the tensor would not fit into the address space.
    pub fn zeros(dtype: DType, shape: &[i64]) -> Result<Tensor<'static>, Error> {
        let bytes = count(shape).and_then(|elements| elements.checked_mul(dtype.size())).unwrap_or(usize::MAX);
        if isize::try_from(bytes).is_err() {
            return Err(Error::usage(
                &format!("a tensor cannot have the shape {shape:?}"),
                "sizes are not negative, and their product fits into memory",
                "give other sizes",
            ));
        }
        Tensor::new(dtype, shape, Storage::Owned(ffi::AlignedBytes::zeros(bytes)))
    }

    /// An output of the C API.
    pub(crate) fn from_output(dtype: DType, shape: Vec<i64>, output: ffi::OwnedTensor) -> Tensor<'static> {
        Tensor { dtype, shape, storage: Storage::Output(output) }
    }

    /// Memory that belongs to the shape.
    pub(crate) fn from_owned(dtype: DType, shape: Vec<i64>, buffer: ffi::AlignedBytes) -> Tensor<'static> {
        Tensor { dtype, shape, storage: Storage::Owned(buffer) }
    }

    fn new(dtype: DType, shape: &[i64], storage: Storage<'a>) -> Result<Self, Error> {
        let tensor = Self { dtype, shape: shape.to_vec(), storage };
        let bytes = tensor.bytes().len();
        if count(shape).and_then(|elements| elements.checked_mul(dtype.size())) != Some(bytes) {
            return Err(Error::usage(
                &format!("a tensor of shape {shape:?} and type {dtype} was given {bytes} bytes"),
                "its memory and its shape do not belong together",
                "make the product of the shape the number of elements",
            ));
        }
        Ok(tensor)
    }

    /// The type of the elements.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The sizes; empty for a single number.
    #[must_use]
    pub fn shape(&self) -> &[i64] {
        &self.shape
    }

    /// The elements' memory.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.storage {
            Storage::Borrowed(bytes) => bytes,
            Storage::BorrowedMut(bytes) => bytes,
            Storage::Owned(buffer) => buffer.bytes(),
            Storage::Output(output) => output.bytes(),
        }
    }

    /// The elements' memory, for a model to write to: copied first when it is borrowed to read, or an output, whose
    /// memory other outputs may share.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        if matches!(self.storage, Storage::Borrowed(_) | Storage::Output(_)) {
            self.storage = Storage::Owned(ffi::AlignedBytes::copy_of(self.bytes()));
        }
        match &mut self.storage {
            Storage::BorrowedMut(bytes) => bytes,
            Storage::Owned(buffer) => buffer.bytes_mut(),
            Storage::Borrowed(_) | Storage::Output(_) => &mut [], // became `Owned` above
        }
    }

    /// The elements, where they are.
    ///
    /// # Errors
    /// [`Error::Usage`] when they are not of type `T`.
    pub fn as_slice<T: Element>(&self) -> Result<&[T], Error> {
        if self.dtype != T::DTYPE {
            return Err(Error::usage(
                &format!("the elements are {}, asked for as {}", self.dtype, T::DTYPE),
                "they would be misread",
                &format!("ask for {}", self.dtype),
            ));
        }
        ffi::from_bytes(self.bytes()).ok_or_else(|| {
            Error::usage(
                &format!("the elements are not aligned for {}", self.dtype),
                "the processor cannot read them in place",
                "read bytes() instead",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Bf16, DType, Tensor, DTYPES, F16};

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (index, row) in DTYPES.iter().enumerate() {
            assert_eq!(row.0 as usize, index);
            assert_eq!(DType::from_name(row.0.name()), Some(row.0));
            let (code, bits) = row.0.to_dlpack();
            assert_eq!(DType::from_dlpack(code, bits), Some(row.0));
        }
    }

    #[test]
    fn a_shape_must_hold_the_data() {
        let data = [1.0_f32; 6];
        assert_eq!(Tensor::from_slice(&data, &[2, 3]).unwrap().shape(), [2, 3]);
        for shape in [&[2, 4][..], &[], &[-2, -3], &[i64::MAX, i64::MAX]] {
            assert_eq!(Tensor::from_slice(&data, shape).unwrap_err().exit_code(), 2, "{shape:?}");
        }
        assert!(Tensor::zeros(DType::Float64, &[i64::MAX]).is_err());
    }

    #[test]
    fn elements_are_read_in_place_as_their_own_type() {
        let data = [1_i64, 2, 3];
        let tensor = Tensor::from_slice(&data, &[3]).unwrap();
        assert_eq!(tensor.as_slice::<i64>().unwrap().as_ptr(), data.as_ptr());
        assert_eq!(tensor.as_slice::<f64>().unwrap_err().exit_code(), 2);
    }

    #[test]
    fn memory_borrowed_to_read_is_copied_before_it_is_written_to() {
        let data = [1_i64, 2];
        let mut tensor = Tensor::from_slice(&data, &[2]).unwrap();
        tensor.bytes_mut().fill(0);
        assert_eq!(tensor.as_slice::<i64>().unwrap(), [0, 0]);
        assert_eq!(data, [1, 2]);

        let mut data = [1_i64, 2];
        Tensor::from_mut_slice(&mut data, &[2]).unwrap().bytes_mut().fill(0);
        assert_eq!(data, [0, 0]);
    }

    #[test]
    fn empty_and_zero_dim_tensors() {
        let none: [f32; 0] = [];
        assert!(Tensor::from_slice(&none, &[0, 4]).unwrap().as_slice::<f32>().unwrap().is_empty());
        assert_eq!(Tensor::from_slice(&[7_u8], &[]).unwrap().as_slice::<u8>().unwrap(), [7]);
    }

    #[test]
    fn a_byte_that_is_no_bool_is_refused() {
        let tensor = Tensor::from_bytes(DType::Bool, &[2], &[1, 0]).unwrap();
        assert_eq!(tensor.as_slice::<bool>().unwrap(), [true, false]);
        assert!(Tensor::from_bytes(DType::Bool, &[1], &[2]).unwrap().as_slice::<bool>().is_err());
    }

    #[test]
    fn half_precision_is_read_exactly() {
        for (bits, value) in
            [(0x3c00, 1.0), (0xc000, -2.0), (0x0001, 5.960_464_5e-8), (0x7bff, 65504.0), (0x7c00, f32::INFINITY)]
        {
            assert_eq!(f32::from(F16(bits)).to_bits(), f32::to_bits(value));
        }
        assert!(f32::from(F16(0x7e00)).is_nan());
        assert_eq!(f32::from(Bf16(0xbfc0)).to_bits(), (-1.5_f32).to_bits());
    }
}
