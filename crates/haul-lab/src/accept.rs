//! Doors and server threads: who listens, and which thread serves a connection.

use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;

use crate::connection::serve;
use crate::world::{Ack, Gate, World};

/// How long to wait when a connection cannot be accepted (no file descriptor left) or a port not be had.
const PAUSE: Duration = Duration::from_millis(20);

/// What a server thread is told.
pub(crate) enum Order {
    /// Serve this connection of the n-th service.
    Serve(usize, TcpStream),
    /// The same, accepted by another thread.
    Adopt(usize, StdStream),
    /// Close all connections of the n-th service.
    Close(usize, Option<Ack>),
    /// End.
    Stop,
}

/// A server thread's work: runs until [`Order::Stop`].
pub(crate) async fn work(world: Arc<World>, mut orders: UnboundedReceiver<Order>) {
    let mut open: Vec<JoinSet<()>> = world.lives.iter().map(|_| JoinSet::new()).collect();
    while let Some(order) = orders.recv().await {
        match order {
            Order::Serve(index, stream) => begin(&world, &mut open, index, stream),
            Order::Adopt(index, stream) => {
                if let Ok(stream) = TcpStream::from_std(stream) {
                    begin(&world, &mut open, index, stream);
                }
            }
            Order::Close(index, ack) => {
                if let Some(connections) = open.get_mut(index) {
                    connections.shutdown().await;
                }
                drop(ack);
            }
            Order::Stop => return,
        }
    }
}

fn begin(world: &Arc<World>, open: &mut [JoinSet<()>], index: usize, stream: TcpStream) {
    let Some(connections) = open.get_mut(index) else { return };
    while connections.try_join_next().is_some() {}
    // A reply must not wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    connections.spawn(serve(world.clone(), index, stream));
}

/// The door of one service: accepts while it is open and spreads connections over the threads.
pub(crate) struct Door {
    pub(crate) index: usize,
    pub(crate) address: SocketAddr,
    pub(crate) gates: UnboundedReceiver<Gate>,
    /// The first one's thread is this one's.
    pub(crate) threads: Vec<UnboundedSender<Order>>,
}

impl Door {
    /// Runs for as long as its thread does.
    pub(crate) async fn run(mut self, listener: StdListener) {
        let mut listener = TcpListener::from_std(listener).ok();
        let mut count = 0;
        loop {
            let Some(open) = &listener else {
                match self.gates.recv().await {
                    Some(gate) if gate.open => {
                        listener = Some(self.reopen().await);
                        drop(gate.ack);
                    }
                    Some(gate) => drop(gate.ack),
                    None => return,
                }
                continue;
            };
            tokio::select! {
                gate = self.gates.recv() => match gate {
                    Some(gate) if !gate.open => {
                        listener = None;
                        for thread in &self.threads {
                            let _ = thread.send(Order::Close(self.index, gate.ack.clone()));
                        }
                    }
                    Some(gate) => drop(gate.ack),
                    None => return,
                },
                accepted = open.accept() => match accepted {
                    Ok((stream, _)) => {
                        self.hand_over(count, stream);
                        count += 1;
                    }
                    Err(_) => tokio::time::sleep(PAUSE).await,
                },
            }
        }
    }

    fn hand_over(&self, count: usize, stream: TcpStream) {
        let to = count % self.threads.len().max(1);
        let order = if to == 0 {
            Order::Serve(self.index, stream)
        } else {
            match stream.into_std() {
                Ok(stream) => Order::Adopt(self.index, stream),
                Err(_) => return,
            }
        };
        if let Some(thread) = self.threads.get(to) {
            let _ = thread.send(order);
        }
    }

    /// Listens at the same address again; waits while somebody else has it.
    async fn reopen(&self) -> TcpListener {
        loop {
            if let Ok(listener) = listen(self.address).and_then(TcpListener::from_std) {
                return listener;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Listens, ready for tokio.
pub(crate) fn listen(address: SocketAddr) -> std::io::Result<StdListener> {
    let listener = StdListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
