#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An independent reader of token streams, written from docs/stream.md alone: verifies a file and
prints its records as sft-view does. usage: read_stream.py FILE.sfts     (needs the command zstd)"""
import json
import struct
import subprocess
import sys

MASK = (1 << 64) - 1
P1, P2, P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P4, P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def rotl(x, n):
    return (x << n | x >> (64 - n)) & MASK


def mix(acc, lane):
    return rotl((acc + lane * P2) & MASK, 31) * P1 & MASK


def xxh64(data):
    """XXH64 with seed 0."""
    at, n = 0, len(data)
    if n >= 32:
        acc = [(P1 + P2) & MASK, P2, 0, -P1 & MASK]
        for at in range(0, n - 31, 32):
            acc = [mix(a, lane) for a, lane in zip(acc, struct.unpack_from("<4Q", data, at))]
        at += 32
        h = (rotl(acc[0], 1) + rotl(acc[1], 7) + rotl(acc[2], 12) + rotl(acc[3], 18)) & MASK
        for a in acc:
            h = ((h ^ mix(0, a)) * P1 + P4) & MASK
    else:
        h = P5
    h = (h + n) & MASK
    for at in range(at, n - 7, 8):
        h = (rotl(h ^ mix(0, struct.unpack_from("<Q", data, at)[0]), 27) * P1 + P4) & MASK
    at = n - n % 8
    if n % 8 >= 4:
        h = (rotl(h ^ struct.unpack_from("<I", data, at)[0] * P1 & MASK, 23) * P2 + P3) & MASK
        at += 4
    for byte in data[at:]:
        h = rotl(h ^ byte * P5 & MASK, 11) * P1 & MASK
    h = (h ^ h >> 33) * P2 & MASK
    h = (h ^ h >> 29) * P3 & MASK
    return h ^ h >> 32


def sealed(data, at, magic):
    """The payload of the skippable frame at `at` whose last 8 bytes are the hash of all before."""
    assert data[at : at + 4] == magic, "not a frame of ours at byte %d" % at
    end = at + 8 + struct.unpack_from("<I", data, at + 4)[0]
    assert end <= len(data), "cut short"
    assert struct.unpack_from("<Q", data, end - 8)[0] == xxh64(data[: end - 8]), "hash at %d" % at
    return data[at + 8 : end - 8], end


def varints(data):
    value = shift = 0
    for byte in data:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield value
            value = shift = 0
    assert shift == 0, "a varint is cut short"


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def fields(data):
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        size, at = varint(data, at)
        assert at + size <= len(data), "a field runs over its end"
        yield tag, data[at : at + size]
        at += size


def runs(data):
    at = 0
    while at < len(data):
        n, at = varint(data, at)
        weight, at = varint(data, at)
        if weight == 2:
            weight, at = struct.unpack_from("<f", data, at)[0], at + 4
        message, at = varint(data, at)
        offset, at = varint(data, at)
        yield n, weight, message - 1, offset


def sample(body):
    f = dict(fields(body))
    ids = list(varints(f[2]))
    weights = [w for n, w, _, _ in runs(f[3]) for _ in range(n)]
    assert len(ids) == len(weights) > 0, "runs do not cover the ids"
    return {"ids": ids, "weights": weights, "source": list(varints(f[1]))}


def turns(body):
    messages, out = [], {}
    for tag, payload in fields(body):
        if tag == 1:
            source = list(varints(payload))
        if tag == 2:
            out["tools"] = json.loads(payload)
        if tag == 4:
            out["chat_template_kwargs"] = json.loads(payload)
        if tag == 3:
            f = dict(fields(payload))
            m = {"role": f[1].decode()}
            if 2 in f:
                m["content"] = f[2].decode()
            messages.append({**m, **json.loads(f.get(4, b"{}"))})
    return {"messages": messages, **out, "source": [source]}


def samples(bodies):
    parts = [sample(b) for b in bodies]
    ids = [i for p in parts for i in p["ids"]]
    weights = [w for p in parts for w in p["weights"]]
    out = {"ids": ids, "labels": [i if w > 0 else -100 for i, w in zip(ids, weights)]}
    if any(w not in (0, 1) for w in weights):
        out["weights"] = weights
    out["source"] = [p["source"] for p in parts]
    starts = [sum(len(p["ids"]) for p in parts[:k]) for k in range(len(parts))]
    return out, starts


def read(path):
    """(header, trailer, records); raises AssertionError on a bad file."""
    data = open(path, "rb").read()
    payload, at = sealed(data, 0, b"S*M\x18")
    header = json.loads(payload)
    assert header["format"] == "sft-stream" and header["version"] == 1 and not header["requires"]
    last = len(data) - struct.unpack_from("<I", data, len(data) - 12)[0]
    payload, end = sealed(data, last, b"T*M\x18")
    assert end == len(data), "bytes after the trailer"
    trailer = json.loads(payload[:-4])
    assert at + sum(f[0] for f in trailer["index"]) == last, "index"
    content = subprocess.run(["zstd", "-dcq", path], check=True, stdout=subprocess.PIPE).stdout
    assert sum(f[1] for f in trailer["index"]) == len(content), "index"
    records, checksum, at = [], 0, 0
    while at < len(content):
        size, at = varint(content, at)
        body, at = content[at : at + size], at + size
        parts = [p for t, p in fields(body) if t == 2] if header["kind"] == "packed" else [body]
        checksum = (checksum + sum(map(xxh64, parts))) & MASK
        if header["kind"] == "turns":
            records.append(turns(body))
        else:
            record, starts = samples(parts)
            if header["kind"] == "packed":
                record.update(starts=starts, step=next(varints(dict(fields(body))[1])))
            records.append(record)
    assert len(records) == trailer["records"] == sum(f[2] for f in trailer["index"]), "records"
    assert "%016x" % checksum == trailer["checksum"], "checksum"
    return header, trailer, records


if __name__ == "__main__":
    for r in read(sys.argv[1])[2]:
        print(json.dumps(r, ensure_ascii=False, separators=(",", ":")))
