//! Prints the 10 most common values of a file: `common FILE [PATH]`.

use std::io::Write;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let Some(file) = args.next() else { return Err("usage: common FILE [PATH]".into()) };
    let origin =
        if file == "-" { haul_reduce::Origin::Stdin } else { haul_reduce::Origin::Path(file.into()) };
    let spec = haul_reduce::CountSpec {
        by: args.next().map(|p| p.parse()).transpose()?.into_iter().collect(),
        limit: 10,
        format: None,
        columns: haul_reduce::Columns::default(),
        skip: false,
        memory: 12 << 20,
        dir: std::env::temp_dir(),
    };
    let inputs = vec![haul_reduce::Input::open(origin)?];
    let counted = haul_reduce::count(inputs, &spec, &haul_reduce::Progress::default())?;
    let mut out = std::io::stdout().lock();
    counted.write_json(&mut out)?;
    out.flush()?;
    Ok(())
}
