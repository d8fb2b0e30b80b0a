"""ClickHouse-local in a library, spilling to the disk above 512 MB."""
import json
import sys

import chdb

path, n = sys.argv[1], int(sys.argv[2])
query = f"""
    select id, count() as n from file('{path}', TSV, 'id Int64') group by id order by n desc, id limit {n}
    settings max_threads = 2, max_bytes_before_external_group_by = 512000000, max_bytes_before_external_sort = 512000000
"""
rows = json.loads(str(chdb.query(query, "JSONCompact")))["data"]
print(json.dumps([[int(i), int(c)] for i, c in rows]))
