"""polars, streaming."""
import json
import sys

import polars as pl

path, n = sys.argv[1], int(sys.argv[2])
counts = pl.scan_csv(path, has_header=False, schema={"id": pl.Int64}).group_by("id").len()
best = counts.sort(["len", "id"], descending=[True, False]).head(n).collect(engine="streaming")
print(json.dumps(best.rows()))
