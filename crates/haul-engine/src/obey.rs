//! What the driver does when a person gives an order. Each change is on its way to the ledger before
//! it is answered.

use haul_core::job::units::format_size;
use haul_core::ledger::Change;
use haul_core::limits;

use crate::driver::Driver;
use crate::inbox::Note;
use crate::lanes::Changed;
use crate::view::{Asked, Order, Stop, Tune};

impl Driver {
    /// Obeys, records, answers.
    pub(crate) fn obey(&mut self, asked: Asked) {
        let Asked { order, who, answer } = asked;
        let at = self.shop.clock.wall();
        let gate = &self.shop.lanes.gate;
        let one = |done: bool, what: &str, old: &str, new: &str| -> Vec<Changed> {
            if done { vec![(what.into(), old.into(), new.into())] } else { Vec::new() }
        };
        let changed = match order {
            Order::Pause => Ok(one(gate.shut(at), "pause", "going on", "paused")),
            Order::Resume => Ok(one(gate.open(at), "resume", "paused", "going on")),
            Order::Stop(Stop::Now) => Ok(one(true, "stop", "going on", "stopped at once")),
            Order::Stop(_) => Ok(one(true, "stop", "going on", "stopped")),
            Order::Tune(tune) => self.tune(&tune),
        };
        let changes = changed.map(|changed| {
            let change = |(what, old, new)| Change { at, who: who.clone(), what, old, new };
            changed.into_iter().map(change).collect::<Vec<_>>()
        });
        for change in changes.iter().flatten() {
            self.shop.inbox.push(Note::Change(change.clone()));
        }
        self.publish();
        // Who asked may have gone away meanwhile.
        let _ = answer.send(changes);
    }

    fn tune(&mut self, tune: &Tune) -> Result<Vec<Changed>, String> {
        let memory = tune.memory.filter(|m| *m < limits::MEMORY_LEAST);
        if memory.is_some() {
            return Err(format!("memory must be at least {}", format_size(limits::MEMORY_LEAST)));
        }
        let mut changed = self.shop.lanes.tune(tune)?;
        if let Some(concurrency) = tune.concurrency {
            self.staff.follow(concurrency);
        }
        if let Some(memory) = tune.memory {
            let budget = &self.shop.budget;
            changed.push(("memory".into(), format_size(budget.limit()), format_size(memory)));
            budget.set_limit(memory);
        }
        Ok(changed)
    }
}
