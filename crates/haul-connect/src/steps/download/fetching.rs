//! The connections over which a file comes: one, and more for a large one where that brings more.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use haul_core::limits::{FILE_CONNECTIONS, SPREAD_LEAST};
use haul_core::{Cx, Fault, FaultClass};

use super::ask::Asked;
use super::depot::lock;
use super::flows::{Counted, Flow};
use super::inlet::Inlet;
use super::part::{LATE, Part};
use super::ranges::{Range, UNKNOWN};
use super::{Download, Got, Target};
use crate::http::reply::bounded;

/// How often it is looked at how much comes.
const LOOK: Duration = Duration::from_millis(250);

/// How a connection ended.
type Ended = Result<Asked, Fault>;

/// A connection of several.
struct One<'f> {
    id: u32,
    /// What it is to bring.
    range: Range,
    coming: Pin<Box<dyn Future<Output = Ended> + Send + 'f>>,
    _counted: Counted,
}

impl Download {
    /// Fetches what is missing of a part; `Some`: a status says otherwise.
    pub(super) async fn fetch(
        &self,
        part: &Mutex<Part<'_>>,
        target: &Target<'_>,
        cx: &Cx<'_>,
    ) -> Result<Option<Got>, Fault> {
        let mut again = false;
        loop {
            let (range, before) = {
                let part = lock(part);
                let Some(gap) = part.ranges.gap() else { return Ok(None) };
                (gap, (part.ranges.len(), part.generation))
            };
            let mut first = pin!(self.connection(0, range, part, (target, cx)));
            // Most files need no more than this.
            let ended = poll_fn(|context| match first.as_mut().poll(context) {
                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                Poll::Pending if lock(part).flow.is_some() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            let ended = match ended.await {
                Some(ended) => ended,
                None => self.spread(Box::pin(first), range, part, (target, cx)).await,
            };
            let mut part = lock(part);
            match ended? {
                Asked::Whole => part.ended(),
                Asked::Otherwise(got) => return Ok(Some(got)),
                // The file is another one, and shorter.
                Asked::Beyond if !again => {
                    again = true;
                    part.restart(None)?;
                    continue;
                }
                Asked::Beyond => break,
            }
            if before == (part.ranges.len(), part.generation) && part.ranges.gap().is_some() {
                break;
            }
        }
        let url = target.url;
        Err(Fault::transient("range", bounded(format!("{url}: it refuses the part it is asked for"))))
    }

    /// One request for what is missing, or for all of it while nothing is there.
    async fn connection(
        &self,
        id: u32,
        range: Range,
        part: &Mutex<Part<'_>>,
        (target, cx): (&Target<'_>, &Cx<'_>),
    ) -> Ended {
        let validator = lock(part).validator.clone();
        let some = validator.as_deref().filter(|_| range != (0, UNKNOWN)).map(|v| (range, v));
        let mut inlet = Inlet::new(part, &self.flows, id, some.map(|_| range));
        self.ask(target.url, some, &mut inlet, cx).await
    }

    /// Goes on with a connection that brings a large file, and adds others while that brings more.
    async fn spread<'f>(
        &'f self,
        first: Pin<Box<dyn Future<Output = Ended> + Send + 'f>>,
        range: Range,
        part: &'f Mutex<Part<'_>>,
        (target, cx): (&'f Target<'_>, &'f Cx<'_>),
    ) -> Ended {
        let Some(flow) = lock(part).flow.take() else { return first.await };
        let mut all = vec![One { id: 0, range, coming: first, _counted: flow.ask() }];
        let (mut wanted, mut due, mut last, mut broken) = (1, cx.clock.now(), 0, None);
        loop {
            while flow.asked() < wanted
                && all.len() < FILE_CONNECTIONS as usize
                && let Some(range) = next(part, &all, broken.is_none())
            {
                last += 1;
                let coming = Box::pin(self.connection(last, range, part, (target, cx)));
                all.push(One { id: last, range, coming, _counted: flow.ask() });
            }
            tokio::select! {
                (one, ended) = first_of(&mut all) => {
                    if judge(&flow, one, ended, &mut broken, cx)? {
                        wanted = 0;
                    }
                    let part = lock(part);
                    let is_whole = part.ranges.is_whole();
                    // Without one that brings something, those that wait for their turn do not matter.
                    if is_whole || !part.ranges.has_any() && all.iter().all(|one| one.id > 0) {
                        return broken.filter(|_| !is_whole).map_or(Ok(Asked::Whole), Err);
                    }
                }
                () = cx.clock.sleep_until(due) => {
                    due = cx.clock.now() + LOOK;
                    wanted = flow.look(cx.clock.now());
                }
            }
        }
    }
}

/// What another connection could bring: what nobody does, else half of what one has before it. What a
/// connection left that broke is for another attempt.
fn next(part: &Mutex<Part<'_>>, all: &[One<'_>], gaps: bool) -> Option<Range> {
    let mut ranges = lock(part).ranges.clone();
    for one in all.iter().filter(|one| lock(part).ranges.next(one.id).is_none()) {
        // It waits for its turn.
        ranges.claim(one.id, one.range);
    }
    ranges.gap().filter(|_| gaps).or_else(|| ranges.half(SPREAD_LEAST))
}

/// Waits for the first that ends, and takes it out.
async fn first_of<'f>(all: &mut Vec<One<'f>>) -> (u32, Ended) {
    poll_fn(|context| {
        let ended =
            all.iter_mut().enumerate().find_map(|(at, one)| match one.coming.as_mut().poll(context) {
                Poll::Ready(ended) => Some((at, ended)),
                Poll::Pending => None,
            });
        match ended {
            Some((at, ended)) => Poll::Ready((all.swap_remove(at).id, ended)),
            None => Poll::Pending,
        }
    })
    .await
}

/// What the end of a connection means for the file; an error ends it at once. True when nothing more is to be
/// asked for now.
fn judge(
    flow: &Arc<Flow>,
    id: u32,
    ended: Ended,
    broken: &mut Option<Fault>,
    cx: &Cx<'_>,
) -> Result<bool, Fault> {
    match ended {
        Ok(Asked::Whole) => Ok(false),
        Err(fault) if fault.class() == FaultClass::Fatal => Err(fault),
        Err(fault) if fault.code() == LATE => Ok(false),
        ended => {
            if id > 0 {
                // Parts are not sent, or not so many at once.
                flow.refused(cx.clock.now());
            }
            // The others go on; another attempt begins with what they have brought.
            let is_refusal = |fault: &Fault| id > 0 && matches!(fault.code(), "range" | "status");
            *broken = broken.take().or(ended.err().filter(|fault| !is_refusal(fault)));
            Ok(true)
        }
    }
}
