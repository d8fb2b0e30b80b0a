//! `haul copy` with S3 servers that nobody of this project wrote: what our own service and our own client
//! both got wrong would never be seen between the two.

mod moto;
mod s3s;
#[cfg(feature = "stores")]
mod webdav;

use haul_lab::{ACCESS_KEY, Lab, LabSpec, SECRET_KEY, Service};

use crate::program::{Place, Said, said};

/// Our lab as `lab:`, and another server as `other:`.
struct Scene {
    lab: Lab,
    place: Place,
}

impl Scene {
    /// Both know the key of the lab.
    fn with(other: &str) -> Self {
        let lab = Lab::start(&LabSpec::new(&[Service::S3]).seed(7)).unwrap();
        let place = Place::new();
        std::fs::create_dir_all(place.file("config/haul")).unwrap();
        let store =
            |name: &str, endpoint: &str| format!("[{name}]\ntype = \"s3\"\nendpoint = \"{endpoint}\"\n");
        let stores = store("lab", &lab.url(Service::S3)) + &store("other", other);
        place.write("config/haul/stores.toml", stores);
        Scene { lab, place }
    }

    fn haul(&self, args: &[&str]) -> Said {
        let mut command = self.place.command(args);
        command.env("XDG_CONFIG_HOME", self.place.file("config"));
        command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        said(command.output().unwrap())
    }

    /// The lab has the same bytes under these keys of both buckets.
    #[track_caller]
    fn equal<'a>(&self, keys: impl Iterator<Item = &'a str>, (one, two): (&str, &str)) {
        for key in keys {
            let here = self.lab.object(one, key).unwrap_or_else(|| panic!("{key:?} is missing in {one}"));
            let there = self.lab.object(two, key).unwrap_or_else(|| panic!("{key:?} is missing in {two}"));
            assert!(here.bytes == there.bytes, "{key:?} has other bytes");
            assert_eq!(kept(&here.headers), kept(&there.headers), "{key:?}");
        }
    }
}

/// What is kept with an object, in one order.
fn kept(headers: &[(String, String)]) -> Vec<(String, String)> {
    let mut headers = headers.to_vec();
    headers.sort();
    headers
}

fn image(id: u64) -> String {
    format!("img/{id:08}.png")
}
