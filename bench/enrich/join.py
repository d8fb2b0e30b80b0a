"""The enrich workload in Python: aiohttp on uvloop, as one would write it with care.

Same semantics as `haul enrich`: both lookups at once, the half that worked is kept, fields are
selected, retries are bounded with exponential backoff and full jitter, N items are in flight, and a post
that is sent again carries the same Idempotency-Key. Prints one JSON line about itself.
"""

import argparse
import asyncio
import csv
import json
import random
import sys
import time

import aiohttp
import uvloop

ATTEMPTS = 8
BACKOFF_S = 0.1
BACKOFF_MAX_S = 10.0
RETRIED = (aiohttp.ClientError, asyncio.TimeoutError, ValueError)


class Refused(Exception):
    """A status that trying again does not change."""


async def request(session, method, url, expect, **options):
    async with session.request(method, url, **options) as reply:
        if reply.status != expect:
            if reply.status in (408, 429) or reply.status >= 500:
                raise aiohttp.ClientError(f"status {reply.status}")
            raise Refused(f"{method} {url}: status {reply.status}")
        return await reply.json()


async def with_retries(call):
    for attempt in range(ATTEMPTS):
        try:
            return await call()
        except RETRIED:
            if attempt == ATTEMPTS - 1:
                raise
            await asyncio.sleep(random.uniform(0, min(BACKOFF_MAX_S, BACKOFF_S * 2**attempt)))


async def enrich(session, args, user_id, video_id):
    user, video = await asyncio.gather(
        with_retries(lambda: request(session, "GET", f"{args.users}/users/{user_id}", 200)),
        with_retries(lambda: request(session, "GET", f"{args.videos}/videos/{video_id}", 200)),
    )
    user = user["data"]
    body = {
        "user": {"id": user["id"], "fullName": user["fullName"], "country": user["country"]},
        "video": video["data"],
    }
    headers = {"Idempotency-Key": f"{user_id}-{video_id}"}
    await with_retries(lambda: request(session, "POST", f"{args.index}/index", 201, json=body, headers=headers))


async def worker(session, args, rows, counts):
    for row in rows:
        try:
            user_id, video_id = map(int, row)
        except ValueError:
            counts["rejected"] += 1
            continue
        try:
            await enrich(session, args, user_id, video_id)
            counts["done"] += 1
        except (*RETRIED, Refused, KeyError) as fault:
            counts["failed"] += 1
            print(f"join.py: {user_id},{video_id}: {fault!r}", file=sys.stderr)


async def main(args):
    counts = {"done": 0, "failed": 0, "rejected": 0}
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=30)
    with open(args.input, newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            await asyncio.gather(*(worker(session, args, rows, counts) for _ in range(args.in_flight)))
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("input")
    parser.add_argument("--users", required=True)
    parser.add_argument("--videos", required=True)
    parser.add_argument("--index", required=True)
    parser.add_argument("--in-flight", type=int, default=32)
    arguments = parser.parse_args()
    start = time.monotonic()
    result = uvloop.run(main(arguments))
    print(json.dumps(result | {"seconds": time.monotonic() - start}))
