"""polars, streaming: each line as text, split at the colon."""
import json
import sys

import polars as pl

path, n = sys.argv[1], int(sys.argv[2])
lines = pl.scan_csv(path, has_header=False, schema={"line": pl.String}, separator="\x01", quote_char=None)
parts = pl.col("line").str.splitn(":", 2)
best = (
    lines.select(score=parts.struct.field("field_0").cast(pl.Int64), record=parts.struct.field("field_1"))
    .top_k(n, by="score")
    .sort("score", descending=True)
    .with_columns(id=pl.col("record").str.json_path_match("$.id"))
    .select("score", "id")
    .collect(engine="streaming")
)
print(json.dumps(best.to_dicts()))
