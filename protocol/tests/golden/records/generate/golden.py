"""Writes golden batches with kafka-python and librdkafka; see ../README.md. Usage: golden.py DIRECTORY"""

import pathlib
import socket
import struct
import sys
import threading

START = 1_760_000_000_000
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def dataset(repeat):
    for i in range(12):
        key = None if i % 4 == 0 else f"key-{i}".encode()
        value = None if i == 5 else b"" if i == 6 else (f"value {i} " * ((3 * i + 1) * repeat)).encode()
        headers = [("index", str(i).encode())] + ([("nul", None)] if i % 3 == 0 else [])
        yield START + 10 * i, key, value, headers


def cases():
    for codec in CODECS:
        yield codec, "small", 1
        if codec != "none":
            yield codec, "large", 300


def kafka_python(out):
    from kafka.record.default_records import DefaultRecordBatchBuilder as Builder

    for codec, size, repeat in cases():
        builder = Builder(2, CODECS.index(codec), False, 4711, 3, 42, 1 << 22)
        for offset, (timestamp, key, value, headers) in enumerate(dataset(repeat)):
            assert builder.append(offset, timestamp, key, value, headers)
        (out / f"python-{codec}-{size}.bin").write_bytes(bytes(builder.build()))


class Broker(threading.Thread):
    """Just enough of a broker for a producer: keeps the records of each Produce request."""

    VERSIONS = {0: (3, 7), 1: (4, 10), 2: (0, 1), 3: (0, 1), 10: (0, 0), 18: (0, 0)}

    def __init__(self):
        super().__init__(daemon=True)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.records = []

    def run(self):
        while True:
            connection, _ = self.server.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        stream = connection.makefile("rwb")
        while head := stream.read(4):
            frame = stream.read(struct.unpack(">i", head)[0])
            api, version, correlation, client = struct.unpack(">hhih", frame[:10])
            body = self.answer(api, version, frame[10 + max(client, 0):])
            stream.write(struct.pack(">ii", len(body) + 4, correlation) + body)
            stream.flush()

    def answer(self, api, version, body):
        if api == 18:
            versions = b"".join(struct.pack(">hhh", key, *span) for key, span in self.VERSIONS.items())
            return struct.pack(">hi", 35 if version > 0 else 0, len(self.VERSIONS)) + versions
        if api == 3:
            host = struct.pack(">i", 1) + text("127.0.0.1") + struct.pack(">ih", self.port, -1)
            partition = struct.pack(">hii", 0, 0, 1) + struct.pack(">ii", 1, 1) * 2
            topic = struct.pack(">h", 0) + text("t") + struct.pack(">bi", 0, 1) + partition
            return struct.pack(">i", 1) + host + struct.pack(">ii", 1, 1) + topic
        assert api == 0, api
        at = 2 + max(struct.unpack(">h", body[:2])[0], 0) + 6  # transactional id, acks, timeout
        at += 4 + 2 + 1 + 4 + 4  # one topic "t", one partition
        (length,) = struct.unpack(">i", body[at:at + 4])
        self.records.append(body[at + 4:at + 4 + length])
        partition = struct.pack(">ihqqq", 0, 0, 0, -1, 0)
        return struct.pack(">i", 1) + text("t") + struct.pack(">i", 1) + partition + struct.pack(">i", 0)


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


def librdkafka(out):
    from confluent_kafka import Producer

    broker = Broker()
    broker.start()
    for codec, size, repeat in cases():
        broker.records.clear()
        producer = Producer({"bootstrap.servers": f"127.0.0.1:{broker.port}", "linger.ms": 500,
                             "compression.codec": codec, "acks": 1})
        for timestamp, key, value, headers in dataset(repeat):
            producer.produce("t", partition=0, timestamp=timestamp, key=key, value=value, headers=headers)
        assert producer.flush(30) == 0
        assert len(broker.records) == 1, len(broker.records)
        (out / f"librdkafka-{codec}-{size}.bin").write_bytes(broker.records[0])


if __name__ == "__main__":
    directory = pathlib.Path(sys.argv[1])
    kafka_python(directory)
    librdkafka(directory)
