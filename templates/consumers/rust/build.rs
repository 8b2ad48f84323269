//! Links to the bundle: the folder `bundle` of this project, or a link there.

use std::path::Path;
use std::{env, fs, process};

/// The first version of the C API that has all that `src/ffi.rs` declares.
const API_VERSION: u32 = 5;

fn main() {
    let project = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let library = Path::new(&project).join("bundle/lib/libaot_bridge.so");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={}", library.display());
    if !library.exists() {
        eprintln!(
            "error: {} is missing\n\
             this project is linked to the bundle that lies in its folder `bundle`\n\
             make one with `aotpack build` and link it: ln -s /path/to/the/bundle bundle",
            library.display()
        );
        process::exit(1);
    }

    let header = fs::read_to_string(Path::new(&project).join("bundle/include/aot_bridge.h")).unwrap_or_default();
    let version = header
        .lines()
        .find_map(|line| line.strip_prefix("#define AOT_API_VERSION ")?.trim().parse::<u32>().ok())
        .unwrap_or(0);
    if version < API_VERSION {
        eprintln!(
            "error: the bundle's aot_bridge.h has version {version}; this project needs {API_VERSION}\n\
             the bundle was built by an older aotpack\n\
             build it again with `aotpack build`"
        );
        process::exit(1);
    }

    println!("cargo:rustc-link-search=native={project}/bundle/lib");
    println!("cargo:rustc-link-lib=dylib=aot_bridge");
    println!("cargo:rustc-link-arg=-Wl,--enable-new-dtags");
    // Deployed, the bundle lies beside the program; seen from target/<profile>/ and target/<profile>/deps/ (the test
    // programs) it lies in the project's folder.
    for origin in ["$ORIGIN", "$ORIGIN/../..", "$ORIGIN/../../.."] {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{origin}/bundle/lib");
    }
}
