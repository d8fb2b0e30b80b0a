//! A URL as a stream that a thread reads, for verbs that have no engine.

use std::io::{self, Read};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use haul_connect::http::{Client, ClientOptions, HttpLocation, Proxies, Url};
use haul_connect::rows::{ByteStream, OpenBytes};
use haul_core::cx::{NoMemo, RunKey};
use haul_core::job::LimitsSpec;
use haul_core::lane::LaneEnd;
use haul_core::{Budget, Clock, Cx, Fault, LaneId, Lanes, Moment, Origin, Permit, Verdict};
use haul_engine::TokioClock;
use haul_reduce::{Input, OpenError};
use tokio::runtime::{Builder, Runtime};

/// Opens a URL. The input is compressed or not, as for files.
pub(super) fn open(url: &str) -> Result<Input, OpenError> {
    // A URL may carry a signature: messages name it without its query.
    let name = url.split(['?', '#']).next().unwrap_or(url).to_owned();
    let opened = Download::start(url).map_err(|reason| OpenError::new(name.clone(), reason))?;
    Input::open(haul_reduce::Origin::Stream(name, Box::new(opened)))
}

/// The body of a reply; received while it is being read.
struct Download {
    runtime: Runtime,
    stream: Box<dyn ByteStream>,
    rest: Bytes,
    ended: bool,
}

impl Download {
    fn start(url: &str) -> Result<Self, String> {
        let url = Url::parse(url).map_err(|e| e.to_string())?;
        let limits = LimitsSpec::default();
        let proxies = Proxies::from_environment().map_err(|e| e.to_string())?;
        let options = ClientOptions { proxies, ..ClientOptions::default() };
        let client = Arc::new(Client::new(options));
        let location = HttpLocation::new(client, url, limits.timeout).map_err(|e| e.to_string())?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        let stream = runtime.block_on(async {
            let clock = TokioClock::new();
            let budget = Budget::new(limits.memory);
            let run = RunKey([0; 16]);
            location
                .open(&Cx { lanes: &Unpaced, clock: &clock, budget: &budget, run: &run, memo: &NoMemo })
                .await
        });
        let stream = stream.map_err(|fault: Fault| fault.message().to_owned())?;
        Ok(Download { runtime, stream, rest: Bytes::new(), ended: false })
    }
}

impl Read for Download {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() && !self.ended {
            match self.runtime.block_on(self.stream.next()) {
                Ok(Some(bytes)) => self.rest = bytes,
                Ok(None) => self.ended = true,
                Err(fault) => return Err(io::Error::new(io::ErrorKind::ConnectionAborted, fault.message())),
            }
        }
        let n = self.rest.len().min(out.len());
        if let (Some(place), bytes) = (out.get_mut(..n), self.rest.split_to(n)) {
            place.copy_from_slice(&bytes);
        }
        Ok(n)
    }
}

/// One request needs no pacing: permits are given at once.
struct Unpaced;

#[async_trait]
impl Lanes for Unpaced {
    fn lane(&self, _: &Origin) -> LaneId {
        LaneId(0)
    }

    async fn enter(&self, lane: LaneId) -> Permit {
        Permit::new(lane, TokioClock::new().now(), Arc::new(Unpaced))
    }
}

impl LaneEnd for Unpaced {
    fn end(&self, _: LaneId, _: Moment, _: Option<Verdict>) {}
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    /// Serves one reply on a free port; its URL.
    fn serve(reply: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).unwrap();
            socket.write_all(reply).unwrap();
        });
        format!("http://{address}/scores.txt?signature=secret")
    }

    fn top(url: &str) -> Result<String, String> {
        let spec = haul_reduce::TopSpec {
            limit: 2,
            lowest: false,
            records: false,
            skip: false,
            id: ".id".parse().unwrap(),
            by: None,
        };
        let input = open(url).map_err(|e| e.to_string())?;
        let mut ranking =
            haul_reduce::top(vec![input], &spec, &Default::default()).map_err(|e| e.to_string())?;
        let mut out = Vec::new();
        ranking.write_json(&mut out).unwrap();
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_url_is_an_input() {
        let url = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n1:{\"id\":\"a\"}\n22:{\"id\":\"b\"}");
        let want = "[\n{\"score\": 22, \"id\": \"b\"},\n{\"score\": 1, \"id\": \"a\"}\n]\n";
        assert_eq!(top(&url), Ok(want.to_owned()));
    }

    #[test]
    fn what_goes_wrong_is_told_without_the_query() {
        let missing = top(&serve(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")).unwrap_err();
        assert!(missing.contains("404") && !missing.contains("secret"), "{missing}");
        let cut =
            top(&serve(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n1:{\"id\":\"a\"}\n")).unwrap_err();
        assert!(cut.contains("cannot be read") && !cut.contains("secret"), "{cut}");
        assert!(top("http://user:secret@127.0.0.1/").unwrap_err().contains("127.0.0.1"));
        let refused = top("http://127.0.0.1:1/x").unwrap_err();
        assert!(refused.starts_with("http://127.0.0.1:1/x: "), "{refused}");
    }
}
