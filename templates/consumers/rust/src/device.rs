//! Where a model runs, and what this machine and this build are.

use crate::{ffi, Error};
use std::fmt;
use std::str::FromStr;

/// A place to run a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Device {
    kind: Kind,
    index: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Cpu,
    Cuda,
    Rocm,
}

impl Device {
    /// The processor.
    #[must_use]
    pub const fn cpu() -> Self {
        Self { kind: Kind::Cpu, index: 0 }
    }

    /// An NVIDIA GPU, counted from 0.
    #[must_use]
    pub const fn cuda(index: u32) -> Self {
        Self { kind: Kind::Cuda, index }
    }

    /// An AMD GPU, counted from 0.
    #[must_use]
    pub const fn rocm(index: u32) -> Self {
        Self { kind: Kind::Rocm, index }
    }
}

/// `cpu`, `cuda:0`, `rocm:1`.
impl fmt::Display for Device {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Cpu => formatter.write_str("cpu"),
            Kind::Cuda => write!(formatter, "cuda:{}", self.index),
            Kind::Rocm => write!(formatter, "rocm:{}", self.index),
        }
    }
}

/// The form of `Display`; without an index the first device.
impl FromStr for Device {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown = || {
            Error::usage(
                &format!("{text} is not a device"),
                "a device is a kind and, for a GPU, its number",
                "use cpu, cuda, cuda:1, rocm or rocm:1",
            )
        };
        let (kind, index) = match text.split_once(':') {
            Some((kind, index)) => (kind, index.parse().map_err(|_| unknown())?),
            None => (text, 0),
        };
        match kind {
            "cpu" if index == 0 => Ok(Self::cpu()),
            "cuda" => Ok(Self::cuda(index)),
            "rocm" => Ok(Self::rocm(index)),
            _ => Err(unknown()),
        }
    }
}

/// What the self-test of a device found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DeviceReport {
    /// As the driver or the processor calls it.
    pub name: String,
    /// `sm_90`, `gfx90a`, or the CPU features that models may ask for.
    pub architecture: String,
    /// How many devices of this kind there are.
    pub num_devices: u32,
    /// Memory of the tested device in use; 0 for the CPU.
    pub used_bytes: u64,
    /// Memory of the tested device.
    pub total_bytes: u64,
    /// How long moving memory there and back took.
    pub self_test_ms: f64,
}

/// Moves memory to the device and back and compares.
///
/// # Errors
/// [`Error::MachineMismatch`] when the device is not usable.
pub fn check_device(device: Device) -> Result<DeviceReport, Error> {
    ffi::check_device(&device.to_string())
}

/// What the library is, as JSON text: version, compiler, backends, the runtime found beside it.
#[must_use]
pub fn build_info() -> &'static str {
    ffi::build_info()
}

#[cfg(test)]
mod tests {
    use super::Device;

    #[test]
    fn devices_are_read_as_they_are_written() {
        for device in [Device::cpu(), Device::cuda(0), Device::cuda(3), Device::rocm(1)] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        assert_eq!("cuda".parse(), Ok(Device::cuda(0)));
    }

    #[test]
    fn other_text_is_a_usage_error() {
        for text in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "cpu:1"] {
            assert_eq!(text.parse::<Device>().unwrap_err().exit_code(), 2, "{text}");
        }
    }
}
