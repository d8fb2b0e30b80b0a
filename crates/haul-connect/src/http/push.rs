//! A request whose body is sent piece by piece, as it comes: nothing of it is held but what is on its way.

use bytes::Bytes;
use haul_core::lane::{LaneId, Permit, Sign, Verdict};
use haul_core::store::Content;
use haul_core::{Cx, Fault};
use tokio::time::Instant;

use super::client::{Client, unanswered};
use super::conn::{Conn, Ended, Exchange};
use super::frame::ReplyReader;
use super::pull::FOREVER;
use super::reply::Reply;
use super::request::{Call, write_head};
use super::status::{StatusRules, sign};
use super::witness::kept_back;

/// A request that is being sent.
struct Pushed<'a> {
    client: &'a Client,
    call: &'a Call<'a>,
    conn: Conn,
    reader: ReplyReader,
    began: Instant,
}

impl Client {
    /// Sends a request with a body of `len` bytes, once; the reply, whatever its status. When the content
    /// fails, or has another length, the service is left with half a request, which it forgets.
    ///
    /// # Errors
    /// As [`Client::send`], and whatever the content says.
    pub(crate) async fn push(
        &self,
        call: &Call<'_>,
        (len, content): (u64, &mut dyn Content),
        lane: LaneId,
        rules: &StatusRules,
        cx: &Cx<'_>,
    ) -> Result<Reply, Fault> {
        if let Some(witness) = &self.options.witness {
            witness.kept_back(call);
            return Err(kept_back(call));
        }
        // What has nothing to send needs no permit.
        let first = content.next(cx).await?;
        let permit = cx.lanes.enter(lane).await;
        let began = Instant::now();
        let conn = match self.pool.take(lane, began) {
            Some(conn) => conn,
            None => match self.open(call.url, &self.patience(call.timeout, began), began).await {
                Ok(conn) => conn,
                Err(unopened) => {
                    permit.end(unopened.verdict());
                    return Err(unopened.fault);
                }
            },
        };
        let before = conn.traffic();
        let mut pushed = Pushed {
            client: self,
            call,
            conn,
            reader: ReplyReader::new(call.body_use),
            began: Instant::now(),
        };
        write_head(call, (call.url, false, pushed.conn.via.as_deref()), Some(len), &mut pushed.conn.out);
        let ended = match pushed.all(first, (len, content), cx).await {
            Ok(ended) => ended,
            Err((fault, sign)) => {
                if let Some(sign) = sign {
                    let traffic = pushed.conn.traffic().since(before);
                    let mut verdict = Verdict::new(sign, pushed.began.elapsed());
                    (verdict.wire_in, verdict.wire_out) = (traffic.wire_in, traffic.wire_out);
                    permit.end(verdict);
                }
                return Err(fault);
            }
        };
        let Pushed { mut conn, reader, began, .. } = pushed;
        let Some((head, body)) = reader.into_parts() else {
            return Err(Fault::transient("body", format!("{}: no reply", call.url)));
        };
        head.tell_limits(lane, cx);
        let traffic = conn.traffic().since(before);
        conn.rest();
        if ended.reusable {
            self.put_aside(lane, conn, ended.at);
        }
        let reply = Reply::new(head, body, None);
        end(permit, (&reply, rules), ended.at.duration_since(began), (traffic.wire_in, traffic.wire_out));
        Ok(reply)
    }
}

fn end(
    permit: Permit,
    (reply, rules): (&Reply, &StatusRules),
    elapsed: std::time::Duration,
    (wire_in, wire_out): (u64, u64),
) {
    let mut verdict = Verdict::new(sign(reply.status, rules.names(reply.status)), elapsed);
    (verdict.status, verdict.retry_after) = (Some(reply.status), reply.wait());
    (verdict.wire_in, verdict.wire_out, verdict.decoded_in) = (wire_in, wire_out, reply.body.len() as u64);
    permit.end(verdict);
}

impl Pushed<'_> {
    /// Sends all of it and reads the reply. What goes wrong comes with what the lane is told, if it is to
    /// blame.
    async fn all(
        &mut self,
        first: Option<Bytes>,
        (len, content): (u64, &mut dyn Content),
        cx: &Cx<'_>,
    ) -> Result<Ended, (Fault, Option<Sign>)> {
        let (mut piece, mut sent) = (first, 0);
        while let Some(bytes) = piece {
            sent += bytes.len() as u64;
            if sent > len {
                return Err((other_length(self.call, len), None));
            }
            let ended = self.exchange(&bytes, true, cx).await?;
            self.conn.out.clear();
            if self.reader.is_done() {
                // It does not want the rest.
                return Ok(Ended { reusable: false, ..ended });
            }
            piece = content.next(cx).await.map_err(|fault| (fault, None))?;
        }
        if sent != len {
            return Err((other_length(self.call, len), None));
        }
        // What the lane learns is how long the service takes, not the source.
        self.began = Instant::now();
        self.exchange(&[], false, cx).await
    }

    async fn exchange(
        &mut self,
        bytes: &[u8],
        write: bool,
        cx: &Cx<'_>,
    ) -> Result<Ended, (Fault, Option<Sign>)> {
        let started = Instant::now();
        let mut patience = self.client.patience(self.call.timeout, started);
        if write {
            patience.deadline = started + FOREVER;
        }
        let exchange = Exchange::new(&mut self.conn, bytes, &mut self.reader, patience, cx.budget);
        let ended = if write { exchange.write_only() } else { exchange }.await;
        ended.map_err(|broken| {
            let traffic = self.conn.traffic();
            let failed = unanswered(self.call.url, &broken, &self.reader, started, traffic);
            (failed.fault, Some(failed.sign))
        })
    }
}

fn other_length(call: &Call<'_>, len: u64) -> Fault {
    Fault::transient("truncated", format!("{}: the content has not the {len} bytes it should have", call.url))
}
