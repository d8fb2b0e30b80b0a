"""DuckDB within 512 MB, spilling to the disk."""
import json
import sys

import duckdb

path, n, temp = sys.argv[1], int(sys.argv[2]), sys.argv[3]
db = duckdb.connect()
db.execute("set threads = 2")
db.execute("set memory_limit = '512MB'")
db.execute(f"set temp_directory = '{temp}/duckdb'")
db.execute("set preserve_insertion_order = false")
rows = db.execute(
    f"select id, count(*) as n from read_csv(?, columns = {{'id': 'bigint'}}, header = false, auto_detect = false) "
    f"group by id order by n desc, id limit {n}",
    [path],
).fetchall()
print(json.dumps(rows))
