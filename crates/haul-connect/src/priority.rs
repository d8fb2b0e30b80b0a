//! `priority`: how urgent records are.

use haul_core::Record;
use haul_core::rank::{Rank, Ranks};

use crate::expr::Expr;

/// Ranks by the value of an expression: a number is the rank, `true` the highest; anything else, and what
/// the expression fails on, is usual.
pub struct Priority(Expr);

impl Priority {
    /// Ranks by an expression over the record as it was read.
    pub fn new(expr: Expr) -> Self {
        Priority(expr)
    }
}

impl Ranks for Priority {
    fn rank(&self, record: &Record) -> Rank {
        let Ok(value) = self.0.eval_record(record) else { return Rank::default() };
        let text = std::str::from_utf8(&value).unwrap_or_default().trim();
        if text == "true" {
            return Rank::new(u8::MAX);
        }
        // Columns are text unless they have a type.
        let number = text.trim_matches('"').parse::<f64>().unwrap_or(0.0);
        Rank::new(number.clamp(0.0, 3.0) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ranks_and_anything_else_is_usual() {
        for (expr, record, wanted) in [
            (".p", "{\"p\": 2}", 2),
            (".p", "{\"p\": \"1\"}", 1),
            (".p", "{\"p\": 99}", 3),
            (".p", "{\"p\": -1}", 0),
            (".p", "{}", 0),
            (".p", "{\"p\": [1]}", 0),
            (".kind == \"new\"", "{\"kind\": \"new\"}", 3),
            (".kind == \"new\"", "{\"kind\": \"old\"}", 0),
            ("error", "{}", 0),
        ] {
            let priority = Priority::new(Expr::compile(expr).unwrap());
            assert_eq!(priority.rank(&Record::new(record)).index(), wanted, "{expr} of {record}");
        }
    }
}
