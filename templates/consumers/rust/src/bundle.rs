//! Where the bundle is.

use crate::{ffi, Error};
use std::path::PathBuf;
use std::{env, fs};

/// The bundle: the folder that `AOT_BUNDLE` names, else the one that `libaot_bridge.so` was loaded from.
#[must_use]
pub fn bundle_path() -> PathBuf {
    match env::var_os("AOT_BUNDLE") {
        Some(named) if !named.is_empty() => PathBuf::from(named),
        _ => ffi::library_path().ancestors().nth(2).map(PathBuf::from).unwrap_or_default(),
    }
}

/// The folder of a model of the bundle; without a name that of its only model.
///
/// # Errors
/// [`Error::Usage`] when there is no such model.
pub fn find_model(name: Option<&str>) -> Result<PathBuf, Error> {
    let models = bundle_path().join("models");
    let mut names: Vec<String> = fs::read_dir(&models)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    let chosen = match (name, names.as_slice()) {
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
        (Some(name), _) => names.iter().find(|known| *known == name).cloned(),
    };
    chosen.map(|name| models.join(name)).ok_or_else(|| {
        let asked = name.map_or_else(|| String::from("no model was named"), |name| format!("no model is named {name}"));
        let known = if names.is_empty() { String::from("none") } else { names.join(", ") };
        Error::usage(
            &format!("{asked}; {} holds {known}", models.display()),
            "a bundle has a folder per model",
            "name one of them, or set AOT_BUNDLE to a bundle",
        )
    })
}
