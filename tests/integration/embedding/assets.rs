//! What assets promise. Built as an example of the project that `aotpack new --lang rust` writes.

#![forbid(unsafe_code)]

use aot_app::{find_model, AotModel, Device, Error};

fn main() -> Result<(), Error> {
    let model = AotModel::load(find_model(None)?, Device::cpu())?;
    println!("{:?}", String::from_utf8_lossy(model.asset("texts/greeting.txt")?));
    println!("empty: {}", model.asset("empty")?.len());
    for name in ["none.txt", "texts", "../bundle.json", "/etc/passwd", "", "a\0b"] {
        println!("{name:?}: {}", model.asset(name).unwrap_err().exit_code());
    }
    Ok(())
}
