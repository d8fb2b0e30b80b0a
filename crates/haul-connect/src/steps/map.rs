//! `map`: attaches the value of an expression.

use std::sync::Arc;

use async_trait::async_trait;
use haul_core::step::{Applied, Effect, Step};
use haul_core::{Cx, Fault, Item};

use crate::expr::Expr;

/// Attaches the value of an expression over the record.
pub struct Map {
    name: Arc<str>,
    expr: Expr,
}

impl Map {
    /// A step that attaches the value of `expr` under its name.
    pub fn new(name: impl Into<Arc<str>>, expr: Expr) -> Self {
        Map { name: name.into(), expr }
    }
}

#[async_trait]
impl Step for Map {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn effect(&self) -> Effect {
        Effect::Pure
    }

    fn reads(&self) -> Option<&[Arc<str>]> {
        self.expr.names()
    }

    async fn apply(&self, item: &Item, _: &Cx<'_>) -> Result<Applied, Fault> {
        let value = self.expr.eval_record(&item.record);
        value.map(Applied::attach).map_err(|e| failed(&self.expr, &e))
    }
}

/// An expression that does not fit a record: no second try changes that.
pub(super) fn failed(expr: &Expr, why: &impl std::fmt::Display) -> Fault {
    Fault::permanent("expr", format!("{}: {why}", expr.source()))
}
