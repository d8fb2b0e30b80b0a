"""ClickHouse-local in a library; isValidJSON asks for full validation."""
import sys

import chdb

path, n, validate = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "validate"
where = "where throwIf(not isValidJSON(record), 'invalid record') = 0" if validate else ""
query = f"""
    select toInt64(substring(line, 1, position(line, ':') - 1)) as score,
           substring(line, position(line, ':') + 1) as record, JSONExtractString(record, 'id') as id
    from file('{path}', LineAsString, 'line String') {where}
    order by score desc limit {n} settings max_threads = 2
"""
rows = chdb.query(f"select score, id from ({query}) order by score desc", "JSON").data()
import json

print(json.dumps([{"score": int(r["score"]), "id": r["id"]} for r in json.loads(rows)["data"]]))
