"""The original with orjson."""
import heapq
import json
import sys

import orjson

path, n = sys.argv[1], int(sys.argv[2])


def entries():
    with open(path, "rb") as file:
        for number, line in enumerate(file):
            if line.strip():
                score, record = line.split(b":", 1)
                record = orjson.loads(record)
                yield int(score), -number, record["id"]


print(json.dumps([{"score": s, "id": i} for s, _, i in heapq.nlargest(n, entries())]))
