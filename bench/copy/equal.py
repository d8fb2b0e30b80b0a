"""Compares two buckets by their listings and one object's headers: equal.py URL BUCKET URL BUCKET."""

import json
import sys

import botocore.config
import botocore.session


def client(url):
    config = botocore.config.Config(s3={"addressing_style": "path"})
    return botocore.session.get_session().create_client("s3", endpoint_url=url, config=config)


def listed(store, bucket):
    pages = store.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {o["Key"]: (o["Size"], o["ETag"]) for page in pages for o in page.get("Contents", [])}


def carried(store, bucket, key):
    head = store.head_object(Bucket=bucket, Key=key)
    return head.get("ContentType"), head.get("CacheControl"), head.get("Metadata", {}).get("made-by")


(one, here), (two, there) = ((client(url), bucket) for url, bucket in (sys.argv[1:3], sys.argv[3:5]))
a, b = listed(one, here), listed(two, there)
same = [key for key in a if b.get(key) == a[key]]
kept = bool(same) and carried(one, here, same[0]) == carried(two, there, same[0])
print(json.dumps({"equal": len(same), "kept": kept}))
