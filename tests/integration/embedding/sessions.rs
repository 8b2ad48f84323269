//! What sessions and variants promise. Built as an example of the project that `aotpack new --lang rust` writes.
//! Arguments: a model that adds its input to a total that it keeps, and one with the variants baseline, avx2 and others.

#![forbid(unsafe_code)]

use aot_app::{AotModel, Device, Error, LoadOptions, ModelRunner, Session, Tensor};

/// The total after one more of `x`.
fn total(runner: &dyn ModelRunner, x: f32) -> Result<f32, Error> {
    let result = runner.infer(&[Tensor::from_slice(&[x; 4], &[4])?])?;
    Ok(result.outputs[0].as_slice::<f32>()?[0])
}

fn sessions(path: &str) -> Result<(), Error> {
    let model = AotModel::load(path, Device::cpu())?;
    let (one, other) = (model.session()?, model.session()?);
    println!("two sessions: {} {} {}", total(&one, 1.0)?, total(&one, 1.0)?, total(&other, 1.0)?);
    drop(model);
    let state = one.save()?;
    let copy = one.copy()?;
    println!("a copy: {} {}", total(&one, 1.0)?, total(&copy, 1.0)?);
    other.restore(&state)?;
    one.reset()?;
    println!("restored: {} after a reset: {}", total(&other, 0.0)?, total(&one, 1.0)?);
    println!("at once: {}", at_once(&one)?);
    let mut x = [1.0_f32; 4];
    let result = other.infer_mut(&mut [Tensor::from_mut_slice(&mut x, &[4])?])?;
    println!("in place: {}", result.outputs[0].as_slice::<f32>()?[0]);
    println!("no state: {}", one.restore(&state[1..]).unwrap_err().exit_code());
    Ok(())
}

/// The totals of four sessions that count to 100, each on a thread of its own.
fn at_once(session: &Session) -> Result<String, Error> {
    session.reset()?;
    let totals: Vec<_> = std::thread::scope(|scope| {
        let counting = || -> Result<f32, Error> {
            let own = session.copy()?;
            (1..100).try_for_each(|_| total(&own, 1.0).map(drop))?;
            total(&own, 1.0)
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(counting)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let totals: Result<Vec<_>, _> = totals.into_iter().map(|total| total.map(|total| total.to_string())).collect();
    Ok(totals?.join(" "))
}

fn variant(path: &str, name: &str) -> Result<String, Error> {
    let options = LoadOptions { variant: Some(String::from(name)), ..LoadOptions::default() };
    Ok(AotModel::load_with(path, &options)?.variant().to_owned())
}

fn main() -> Result<(), Error> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    sessions(&paths[0])?;
    let only = AotModel::load(&paths[0], Device::cpu())?;
    println!("variants: {:?} {:?} {:?}", only.variant(), variant(&paths[1], "baseline")?, variant(&paths[1], "avx2")?);
    println!("no such variant: {}", variant(&paths[1], "sse9").unwrap_err().exit_code());
    Ok(())
}
