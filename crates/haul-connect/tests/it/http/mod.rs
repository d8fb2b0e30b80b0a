//! The HTTP client against a scripted server, byte by byte.

mod connections;
mod faults;
mod fetched;
mod mux;
mod proxies;
mod redirects;
mod replies;
mod streams;
mod tls;

use std::time::Duration;

use bytes::Bytes;
use haul_connect::http::{
    BodyUse, Call, Client, ClientOptions, HeaderLines, Method, Reply, RequestHeaders, Roots, StatusRules, Url,
};
use haul_core::Fault;

use crate::serve::World;

static NONE: HeaderLines = HeaderLines::new();

/// A client with a world around it.
struct Rig {
    client: Client,
    world: World,
    configured: HeaderLines,
    secret: HeaderLines,
    timeout: Duration,
    body_use: BodyUse,
    rules: StatusRules,
}

impl Rig {
    fn new() -> Rig {
        Rig::with(ClientOptions { read_timeout: Duration::from_secs(5), ..ClientOptions::default() })
    }

    fn with(options: ClientOptions) -> Rig {
        Rig {
            client: Client::new(options),
            world: World::new(),
            configured: HeaderLines::new(),
            secret: HeaderLines::new(),
            timeout: Duration::from_secs(10),
            body_use: BodyUse::Keep,
            rules: StatusRules::default(),
        }
    }

    fn trusting(roots: Roots) -> Rig {
        Rig::with(ClientOptions { roots, ..ClientOptions::default() })
    }

    /// Reads a stream that says `abc` and then breaks.
    async fn stream_until_fault(&self, url: &Url) -> Fault {
        let client = Client::new(ClientOptions {
            read_timeout: Duration::from_millis(100),
            ..ClientOptions::default()
        });
        let headers = RequestHeaders { own: &NONE, idempotency: None, configured: &NONE, secret: &NONE };
        let timeout = self.timeout;
        let call = Call { method: Method::Get, url, headers, body: None, body_use: BodyUse::Keep, timeout };
        let mut stream = client.stream(&call, self.world.lane(url), &self.world.cx()).await.unwrap();
        assert_eq!((stream.length(), stream.validator()), (Some(99), Some("\"v1\"")));
        assert_eq!(stream.chunk().await.unwrap().unwrap(), "abc");
        stream.chunk().await.unwrap_err()
    }

    async fn send(&self, method: Method, url: &Url, body: Option<Bytes>) -> Result<Reply, Fault> {
        let call = Call {
            method,
            url,
            headers: RequestHeaders {
                own: &NONE,
                idempotency: body.as_ref().map(|_| "key-1"),
                configured: &self.configured,
                secret: &self.secret,
            },
            body: body.as_ref(),
            body_use: self.body_use,
            timeout: self.timeout,
        };
        self.client.send(&call, self.world.lane(url), &self.rules, &self.world.cx()).await
    }

    async fn get(&self, url: &Url) -> Result<Reply, Fault> {
        self.send(Method::Get, url, None).await
    }

    async fn post(&self, url: &Url, body: impl Into<Bytes>) -> Result<Reply, Fault> {
        self.send(Method::Post, url, Some(body.into())).await
    }
}
