//! Prints the N highest scores of a file: `rank FILE N`.

use std::io::Write;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(file), Some(limit)) = (args.next(), args.next()) else {
        return Err("usage: rank FILE N".into());
    };
    let origin =
        if file == "-" { haul_reduce::Origin::Stdin } else { haul_reduce::Origin::Path(file.into()) };
    let spec = haul_reduce::TopSpec {
        limit: limit.parse()?,
        lowest: false,
        records: false,
        skip: false,
        id: haul_reduce::Path::member("id"),
        by: None,
    };
    let inputs = vec![haul_reduce::Input::open(origin)?];
    let mut ranking = haul_reduce::top(inputs, &spec, &haul_reduce::Progress::default())?;
    let mut out = std::io::stdout().lock();
    ranking.write_json(&mut out)?;
    out.flush()?;
    Ok(())
}
