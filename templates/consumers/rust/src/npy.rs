//! `NumPy`'s `.npy` files: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>

use crate::{DType, Error, Tensor};
use std::fs;
use std::path::Path;

const MAGIC: &[u8] = b"\x93NUMPY";

/// `NumPy`'s descriptions of the types it has; the machine is little-endian.
const DESCRS: [(&str, DType); 14] = [
    ("|b1", DType::Bool),
    ("|u1", DType::UInt8),
    ("<u2", DType::UInt16),
    ("<u4", DType::UInt32),
    ("<u8", DType::UInt64),
    ("|i1", DType::Int8),
    ("<i2", DType::Int16),
    ("<i4", DType::Int32),
    ("<i8", DType::Int64),
    ("<f2", DType::Float16),
    ("<f4", DType::Float32),
    ("<f8", DType::Float64),
    ("<c8", DType::Complex64),
    ("<c16", DType::Complex128),
];

/// Reads a file.
///
/// # Errors
/// [`Error::Usage`] when it cannot be opened or is not a little-endian array in C order.
pub fn read(path: &Path) -> Result<Tensor<'static>, Error> {
    let content = fs::read(path).map_err(|error| {
        Error::usage(&format!("{}: {error}", path.display()), "an input cannot be read", "check the path")
    })?;
    decode(&content).map_err(|what| unusable(path, &what))
}

/// Writes a file.
///
/// # Errors
/// [`Error::Usage`] for bfloat16, which `NumPy` does not have, [`Error::Failed`] when the file cannot be written.
pub fn write(path: &Path, tensor: &Tensor<'_>) -> Result<(), Error> {
    let content = encode(tensor).map_err(|what| unusable(path, &what))?;
    fs::write(path, content).map_err(|error| {
        Error::Failed(format!("{}: {error}\nthe output was not written\nchoose another place", path.display()))
    })
}

fn unusable(path: &Path, what: &str) -> Error {
    Error::usage(
        &format!("{}: {what}", path.display()),
        "an array is a .npy file in C order, little-endian",
        "save it with numpy.save(path, numpy.ascontiguousarray(x))",
    )
}

fn decode(content: &[u8]) -> Result<Tensor<'static>, String> {
    if !content.starts_with(MAGIC) || content.len() < 12 {
        return Err(String::from("this is not a .npy file"));
    }
    // Version 1 has a header length of two bytes, later ones of four.
    let (length, start) = if content[6] == 1 {
        (usize::from(u16::from_le_bytes([content[8], content[9]])), 10)
    } else {
        (u32::from_le_bytes([content[8], content[9], content[10], content[11]]) as usize, 12)
    };
    let header = content.get(start..start + length).ok_or("the file is truncated")?;
    let header = std::str::from_utf8(header).map_err(|_| "the header is not text")?;

    // The header is a Python dict: {'descr': '<f4', 'fortran_order': False, 'shape': (8, 64), }
    let after = |key: &str| header.split_once(key).map(|(_, rest)| rest).ok_or("the header is incomplete");
    let descr = after("'descr': '")?.split('\'').next().unwrap_or("");
    let dtype = DESCRS.iter().find(|row| row.0 == descr).ok_or_else(|| format!("elements of type {descr}"))?.1;
    if !after("'fortran_order': ")?.starts_with("False") {
        return Err(String::from("the array is in Fortran order"));
    }
    let shape = after("'shape': (")?.split(')').next().unwrap_or("");
    let shape = shape
        .split(',')
        .map(str::trim)
        .filter(|size| !size.is_empty())
        .map(|size| size.parse().map_err(|_| format!("a size of {size}")))
        .collect::<Result<Vec<i64>, _>>()?;
    Tensor::from_bytes(dtype, &shape, &content[start + length..])
        .map_err(|_| String::from("the file does not hold as many elements as its header says"))
}

fn encode(tensor: &Tensor<'_>) -> Result<Vec<u8>, String> {
    const ALIGNMENT: usize = 64; // of the first element in the file
    const PREFIX: usize = 10;
    let descr = DESCRS
        .iter()
        .find(|row| row.1 == tensor.dtype())
        .ok_or_else(|| format!("NumPy has no type for {}", tensor.dtype()))?
        .0;
    let sizes: Vec<String> = tensor.shape().iter().map(|size| format!("{size},")).collect();
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}", sizes.join(" "));
    let end = (PREFIX + header.len() + 1).next_multiple_of(ALIGNMENT);
    header.push_str(&" ".repeat(end - PREFIX - header.len() - 1));
    header.push('\n');

    let length = u16::try_from(header.len()).map_err(|_| String::from("the array has too many dimensions"))?;
    let mut content = Vec::with_capacity(end + tensor.bytes().len());
    content.extend_from_slice(MAGIC);
    content.extend_from_slice(&[1, 0]);
    content.extend_from_slice(&length.to_le_bytes());
    content.extend_from_slice(header.as_bytes());
    content.extend_from_slice(tensor.bytes());
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::{decode, encode, DESCRS};
    use crate::{DType, Tensor};

    #[test]
    fn arrays_are_read_as_they_are_written() {
        for (_, dtype) in DESCRS {
            for shape in [&[][..], &[0], &[3], &[2, 3]] {
                let tensor = Tensor::zeros(dtype, shape).unwrap();
                let read = decode(&encode(&tensor).unwrap()).unwrap();
                assert_eq!((read.dtype(), read.shape(), read.bytes()), (dtype, shape, tensor.bytes()));
            }
        }
    }

    #[test]
    fn elements_start_at_a_multiple_of_64() {
        let content = encode(&Tensor::from_slice(&[1.0_f32, 2.0], &[2]).unwrap()).unwrap();
        assert_eq!((content.len() - 8) % 64, 0);
    }

    #[test]
    fn damaged_files_are_refused() {
        let content = encode(&Tensor::zeros(DType::Float32, &[4]).unwrap()).unwrap();
        for end in 0..content.len() {
            assert!(decode(&content[..end]).is_err(), "{end}");
        }
        let fortran = String::from_utf8_lossy(&content[10..]).replace("False", "True ");
        assert!(decode(&[&content[..10], fortran.as_bytes()].concat()).is_err());
    }

    #[test]
    fn numpy_has_no_bfloat16() {
        assert!(encode(&Tensor::zeros(DType::BFloat16, &[1]).unwrap()).is_err());
    }
}
