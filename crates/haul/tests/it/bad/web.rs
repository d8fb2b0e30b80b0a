//! Servers of a few lines, for what the lab does not play.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a reply is made of: the path, and how many requests came before.
type Answer = dyn Fn(&str, usize) -> String + Send + Sync;

/// An HTTP server on threads of its own; it lives as long as the test.
pub(crate) struct Web {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

/// A stream that is read and written.
pub(crate) trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

impl Web {
    /// Answers every request with what `answer` says: a whole reply.
    pub(crate) fn start(answer: impl Fn(&str, usize) -> String + Send + Sync + 'static) -> Self {
        Web::over(Some, answer)
    }

    /// The same over what `wrap` makes of a connection; `None` drops it.
    pub(crate) fn over<W: Wire + 'static>(
        wrap: impl Fn(TcpStream) -> Option<W> + Send + Sync + 'static,
        answer: impl Fn(&str, usize) -> String + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let (count, answer, wrap): (_, Arc<Answer>, _) = (asked.clone(), Arc::new(answer), Arc::new(wrap));
        std::thread::spawn(move || {
            for tcp in listener.incoming().flatten() {
                let (count, answer, wrap) = (count.clone(), answer.clone(), wrap.clone());
                std::thread::spawn(move || {
                    if let Some(wire) = wrap(tcp) {
                        serve(wire, &count, &*answer);
                    }
                });
            }
        });
        Web { address, asked }
    }

    /// `http://HOST:PORT` and a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// `HOST:PORT`.
    pub(crate) fn at(&self) -> String {
        self.address.to_string()
    }

    /// Requests so far.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// One connection: requests until it ends, or until a reply says that it closes.
fn serve(wire: impl Wire, count: &AtomicUsize, answer: &Answer) {
    let mut wire = BufReader::new(wire);
    loop {
        let (mut first, mut length) = (String::new(), 0);
        if !matches!(wire.read_line(&mut first), Ok(1..)) {
            return;
        }
        loop {
            let mut line = String::new();
            if !matches!(wire.read_line(&mut line), Ok(3..)) {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        if wire.read_exact(&mut body).is_err() {
            return;
        }
        let path = first.split(' ').nth(1).unwrap_or_default();
        let reply = answer(path, count.fetch_add(1, Ordering::Relaxed));
        let out = wire.get_mut();
        if out.write_all(reply.as_bytes()).and_then(|()| out.flush()).is_err()
            || reply.contains("onnection: close")
        {
            return;
        }
    }
}

/// A whole reply.
pub(crate) fn reply(status: &str, kind: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A JSON reply.
pub(crate) fn json(body: &str) -> String {
    reply("200 OK", "application/json", body)
}
