"""The record streams that every client program reads and writes (big-endian, as harness/records.py makes them).

    produce input   = (i32 partition, record)*
    consume output  = (i64 offset, record)*, one file per partition
    record          = i64 timestamp_ms, bytes key, bytes value, i32 n, (bytes name, bytes value) * n
    bytes           = i32 length (-1 is null), that many bytes
"""

import json
import struct
import sys
import time

_I32 = struct.Struct(">i")
_I64 = struct.Struct(">q")


def _bytes(source):
    (length,) = _I32.unpack(source.read(4))
    return None if length < 0 else source.read(length)


def read_records(path):
    """Yields (partition, timestamp, key, value, headers)."""
    with open(path, "rb", buffering=1 << 20) as source:
        while head := source.read(4):
            partition = _I32.unpack(head)[0]
            timestamp = _I64.unpack(source.read(8))[0]
            key, value = _bytes(source), _bytes(source)
            count = _I32.unpack(source.read(4))[0]
            headers = [(_bytes(source).decode(), _bytes(source)) for _ in range(count)]
            yield partition, timestamp, key, value, headers


def _put(data):
    return b"\xff\xff\xff\xff" if data is None else _I32.pack(len(data)) + data


def encode(offset, timestamp, key, value, headers) -> bytes:
    parts = [_I64.pack(offset), _I64.pack(timestamp), _put(key), _put(value), _I32.pack(len(headers or ()))]
    for name, content in headers or ():
        parts += (_put(name.encode() if isinstance(name, str) else name), _put(content))
    return b"".join(parts)


class Outputs:
    """One output file per partition."""

    def __init__(self, directory, partitions):
        self._files = [open(f"{directory}/{number}", "wb", buffering=1 << 20) for number in range(partitions)]
        self.records = 0

    def write(self, partition, *record):
        self._files[partition].write(encode(*record))
        self.records += 1

    def close(self):
        for file in self._files:
            file.close()


def main(operations):
    """Runs the jobs of the file named on the command line; prints a line of JSON for each."""
    with open(sys.argv[1]) as file:
        plan = json.load(file)
    failed = 0
    for job in plan["jobs"]:
        began = time.monotonic()
        result = {"op": job["op"], "topic": job["topic"]}
        try:
            result |= operations[job["op"]](plan["bootstrap"], job) or {}
        except Exception as error:  # the driver reports it, whatever it is
            result["error"] = f"{type(error).__name__}: {error}"
            failed = 1
        print(json.dumps(result | {"seconds": round(time.monotonic() - began, 3)}), flush=True)
    return failed
