"""Real records as streams: what a topic is sent, and what a consumer has to give back.

Partition 0 holds package records (JSON, keyed), 1 an access log (keyed by client), 2 large status documents (no key).
Past the excerpt the records repeat with a running number, so that no two are the same. A few edge records ride along:
null and empty keys and values, headers without a value, the same header name twice.
"""

import json
import os
import pathlib
import struct
import sys

from . import tools

sys.path.insert(0, str(tools.HERE / "clients/python"))
from stream import encode  # noqa: E402  the clients' own encoder: one definition of the stream

DATA = tools.HERE / "data"
PARTITIONS = 3
_FIRST_TIMESTAMP_MS = 1_760_000_000_000
_I32 = struct.Struct(">i")


def data_dir() -> pathlib.Path:
    """The excerpt of the repository, unless STRATALOG_DATA names a directory with the whole sets unpacked."""
    return pathlib.Path(os.environ.get("STRATALOG_DATA") or DATA)


def _lines(name):
    with open(data_dir() / name, "rb") as file:
        return [line.rstrip(b"\n") for line in file if line.strip()]


def _packages():
    return [(json.loads(line)["package"].encode(), line) for line in _lines("debian_packages.jsonl")]


def _accesses():
    return [(line.split(b" ", 1)[0], line) for line in _lines("apache_access.log")]


def _documents():
    return [(None, line) for line in _lines("nginx_plus_access.jsonl")]


_EDGES = [
    (b"tombstone", None, []),
    (None, b"", []),
    (b"", b"empty key", []),
    (b"headers", b"of every kind", [("a", b"1"), ("a", b"2"), ("empty", b""), ("null", None), ("k\u00e9y", b"\0\xff")]),
]


def _numbered(value: bytes, number: int) -> bytes:
    if value.startswith(b"{"):
        return b'{"n":%d,' % number + value[1:]
    return b"%d %s" % (number, value)


def records_of(partition: int, bytes_min: int, null_headers: bool = True):
    """Yields (timestamp, key, value, headers), the whole set at least once and on until `bytes_min` of values."""
    source = (_packages, _accesses, _documents)[partition]()
    number = size = 0
    for key, value, headers in _EDGES:
        kept = [header for header in headers if null_headers or header[1] is not None]
        yield _FIRST_TIMESTAMP_MS - 1, key, value, kept
    while number < len(source) or size < bytes_min:
        key, value = source[number % len(source)]
        if number >= len(source):
            value = _numbered(value, number)
        headers = [("set", b"%d" % (number // len(source))), ("line", b"%d" % number)] if number % 7 == 0 else []
        # Timestamps step back now and then, as real ones do.
        timestamp = _FIRST_TIMESTAMP_MS + number * 10 - (5_000 if number % 97 == 0 else 0)
        yield timestamp, key, value, headers
        number += 1
        size += len(value)


class DataSet:
    """`input` for a producer, `expected/<partition>` to hold against what any consumer wrote."""

    def __init__(self, directory: pathlib.Path, bytes_per_partition: int, null_headers: bool = True):
        self.directory = directory
        self.input = directory / "input"
        self.counts = []
        self.bytes = 0
        (directory / "expected").mkdir(parents=True, exist_ok=True)
        streams = [records_of(partition, bytes_per_partition, null_headers) for partition in range(PARTITIONS)]
        expected = [open(self.expected(partition), "wb", buffering=1 << 20) for partition in range(PARTITIONS)]
        offsets = [0] * PARTITIONS
        live = list(range(PARTITIONS))
        with open(self.input, "wb", buffering=1 << 20) as sink:
            while live:
                for partition in list(live):
                    record = next(streams[partition], None)
                    if record is None:
                        live.remove(partition)
                        continue
                    body = encode(offsets[partition], *record)
                    expected[partition].write(body)
                    sink.write(_I32.pack(partition) + body[8:])
                    offsets[partition] += 1
                    self.bytes += len(body)
        for file in expected:
            file.close()
        self.counts = offsets

    def expected(self, partition: int) -> pathlib.Path:
        return self.directory / "expected" / str(partition)

    def difference(self, output: pathlib.Path) -> str | None:
        """What distinguishes a consumer's output from what was sent: None, or a sentence on the first record."""
        for partition in range(PARTITIONS):
            found = first_difference(self.expected(partition), output / str(partition))
            if found:
                return f"partition {partition}: {found}"
        return None


def first_difference(expected: pathlib.Path, got: pathlib.Path) -> str | None:
    with open(expected, "rb") as left, open(got, "rb") as right:
        while True:
            a, b = left.read(1 << 20), right.read(1 << 20)
            if a != b:
                break
            if not a:
                return None
    for wanted, received in _pairs(expected, got):
        if wanted != received:
            return f"expected {_shown(wanted)}, got {_shown(received)}"
    return "streams differ in length"


def _pairs(expected, got):
    with open(expected, "rb") as left, open(got, "rb") as right:
        while True:
            pair = _next_record(left), _next_record(right)
            yield pair
            if None in pair:
                return


def _next_record(source):
    head = source.read(16)
    if len(head) < 16:
        return None
    key, value = _field(source), _field(source)
    headers = [(_field(source), _field(source)) for _ in range(_I32.unpack(source.read(4))[0])]
    return (*struct.unpack(">qq", head), key, value, headers)


def _field(source):
    (length,) = _I32.unpack(source.read(4))
    return None if length < 0 else source.read(length)


def _shown(record) -> str:
    if record is None:
        return "the end"
    offset, timestamp, key, value, headers = record
    text = None if value is None else f"{len(value)} bytes {value[:60]!r}"
    return f"offset {offset} timestamp {timestamp} key {key!r} value {text} headers {headers}"
