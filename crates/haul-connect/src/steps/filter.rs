//! `filter`: skips items.

use std::sync::Arc;

use async_trait::async_trait;
use haul_core::step::{Applied, Effect, Step};
use haul_core::{Cx, Fault, Item};

use super::map::failed;
use crate::expr::Expr;

/// Skips items for which an expression is false or null.
pub struct Filter {
    name: Arc<str>,
    expr: Expr,
    why: Arc<str>,
}

impl Filter {
    /// A step that lets pass what `expr` is true for.
    pub fn new(name: impl Into<Arc<str>>, expr: Expr) -> Self {
        let name = name.into();
        let why = format!("{name}: not {}", expr.source()).into();
        Filter { name, expr, why }
    }
}

#[async_trait]
impl Step for Filter {
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
        match self.expr.test_record(&item.record) {
            Ok(true) => Ok(Applied::next()),
            Ok(false) => Ok(Applied::skip(Arc::clone(&self.why))),
            Err(e) => Err(failed(&self.expr, &e)),
        }
    }
}
