"""The original: json and heapq."""
import heapq
import json
import sys

path, n = sys.argv[1], int(sys.argv[2])


def entries():
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file):
            if line.strip():
                score, record = line.split(":", 1)
                record = json.loads(record)
                yield int(score), -number, record["id"]


print(json.dumps([{"score": s, "id": i} for s, _, i in heapq.nlargest(n, entries())]))
