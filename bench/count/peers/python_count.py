"""collections.Counter: everything in memory."""
import collections
import json
import sys

with open(sys.argv[1], "rb") as file:
    counts = collections.Counter(map(int, file))
best = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[: int(sys.argv[2])]
print(json.dumps(best))
