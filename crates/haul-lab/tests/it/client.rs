//! A client that sends exactly what it is told and reports exactly what comes back.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Decoded, as text.
    pub(crate) fn text(&self) -> String {
        if self.header("content-encoding") != Some("gzip") {
            return String::from_utf8(self.body.clone()).unwrap();
        }
        let mut plain = vec![0; 1 << 16];
        let n = libdeflater::Decompressor::new().gzip_decompress(&self.body, &mut plain).unwrap();
        String::from_utf8(plain[..n].to_vec()).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text()).unwrap()
    }
}

/// How it can go wrong.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Broken {
    Refused,
    /// Closed or reset without a reply.
    Closed,
    /// Head seen, body shorter than announced.
    Short,
    Timeout,
}

pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(url: &str) -> Result<Client, Broken> {
        let stream = TcpStream::connect(url.trim_start_matches("http://")).map_err(|_| Broken::Refused)?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.set_nodelay(true).unwrap();
        Ok(Client { stream, buffer: vec![] })
    }

    pub(crate) fn patience(self, ms: u64) -> Self {
        self.stream.set_read_timeout(Some(Duration::from_millis(ms))).unwrap();
        self
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.stream.write_all(bytes).map_err(|_| Broken::Closed)
    }

    pub(crate) fn receive(&mut self) -> Result<Reply, Broken> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = String::from_utf8(self.buffer[..end].to_vec()).unwrap();
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                let mut reply = Reply { status, head, body: vec![] };
                let len: usize = reply.header("content-length").map_or(0, |v| v.parse().unwrap());
                while self.buffer.len() < end + 4 + len {
                    self.read().map_err(|e| if e == Broken::Closed { Broken::Short } else { e })?;
                }
                reply.body = self.buffer[end + 4..end + 4 + len].to_vec();
                self.buffer.drain(..end + 4 + len);
                return Ok(reply);
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> Result<(), Broken> {
        let mut part = [0; 65_536];
        match self.stream.read(&mut part) {
            Ok(0) => Err(Broken::Closed),
            Ok(n) => {
                self.buffer.extend_from_slice(&part[..n]);
                Ok(())
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Err(Broken::Timeout),
            Err(_) => Err(Broken::Closed),
        }
    }

    pub(crate) fn get(&mut self, path: &str) -> Result<Reply, Broken> {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: lab\r\n\r\n").as_bytes())?;
        self.receive()
    }

    pub(crate) fn post(&mut self, path: &str, headers: &str, body: &[u8]) -> Result<Reply, Broken> {
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: lab\r\n{headers}content-length: {}\r\n\r\n", body.len());
        self.send(&[head.as_bytes(), body].concat())?;
        self.receive()
    }
}

/// One request on a connection of its own.
pub(crate) fn get(url: &str, path: &str) -> Result<Reply, Broken> {
    Client::connect(url)?.get(path)
}

/// One post on a connection of its own.
pub(crate) fn post(url: &str, path: &str, headers: &str, body: &[u8]) -> Result<Reply, Broken> {
    Client::connect(url)?.post(path, headers, body)
}
