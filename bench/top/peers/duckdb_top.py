"""DuckDB: each line as text, split at the colon; json_valid asks for full validation."""
import json
import sys

import duckdb

path, n, validate = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "validate"
db = duckdb.connect()
db.execute("set threads = 2")
where = "where case when json_valid(record) then true else error('invalid record: ' || record) end" if validate else ""
rows = db.execute(
    f"""
    with lines as (
        select split_part(line, ':', 1)::bigint as score, substr(line, position(':' in line) + 1) as record
        from read_csv(?, columns = {{'line': 'varchar'}}, delim = '\\x01', quote = '', escape = '', header = false,
                      auto_detect = false, max_line_size = 20000000)
    ), best as (select * from lines {where} order by score desc limit {n})
    select score, json_extract_string(record, '$.id') from best order by score desc
    """,
    [path],
).fetchall()
print(json.dumps([{"score": s, "id": i} for s, i in rows]))
