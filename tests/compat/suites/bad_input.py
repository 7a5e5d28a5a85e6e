"""What no client sends: broken frames, hostile counts, foreign protocols, bad batches, bad names.

After each case the broker must still be the same process, answer, store and hand back a record, hold no more memory than
a bound (Stratalog only: a Java heap grows as it likes), and its log must hold no panic.
"""

import random
import socket
import struct
import time
import zlib

from harness import broker as brokers, processes
from harness.report import Report, Skip, check
from harness.wire import (API_VERSIONS, CREATE_TOPICS, FETCH, METADATA, PRODUCE, Closed, Connection, array, batch, blob,
                          header, old_message, produce_request, string, unsigned_varint)

TOPIC = "bad-input"
LOG_APPEND_TIME = "bad-input-append-time"
RSS_GROWTH_MAX = 96 << 20
HUGE = 0x7FFFFFFF

CORRUPT_MESSAGE, UNKNOWN_TOPIC_OR_PARTITION, MESSAGE_TOO_LARGE, INVALID_TOPIC, INVALID_RECORD = 2, 3, 10, 17, 87
UNSUPPORTED_VERSION = 35


def run(report: Report, options) -> None:
    print(f"bad_input: seed {options.seed}", flush=True)
    with brokers.make(options.broker, options.work_dir / "bad-input") as broker:
        BadInput(report, broker, random.Random(options.seed)).run()


class BadInput:
    def __init__(self, report, broker, rng):
        self.report, self.broker, self.random = report, broker, rng
        self.bounded = broker.name == "stratalog"

    def run(self):
        with self.connect() as connection:
            for topic, configs in ((TOPIC, {}), (LOG_APPEND_TIME, {"message.timestamp.type": "LogAppendTime"})):
                error = connection.create_topic(topic, configs={"retention.ms": "-1"} | configs)
                check(error == 0, f"CreateTopics answered {error}")
        self.wait_for_leader()
        self.still_serves()
        self.rss_before = processes.rss_bytes(self.broker.pid)
        for name in [name for name in dir(self) if name.startswith("case_")]:
            label = name.removeprefix("case_").replace("_", " ")
            self.report.case(f"bad_input/{label}", self.case, getattr(self, name))

    def connect(self, timeout_s=20):
        return Connection(self.broker.bootstrap, timeout_s)

    def case(self, body):
        note = body()
        self.still_serves()
        check("panicked at" not in self.broker.log_text(), "a panic in the log")
        if self.bounded:
            grown = processes.rss_bytes(self.broker.pid) - self.rss_before
            check(grown < RSS_GROWTH_MAX, f"resident memory grew by {grown >> 20} MiB")
        return note

    def wait_for_leader(self):
        with self.connect() as connection:
            deadline = time.monotonic() + 20
            while any(connection.metadata_error(topic) for topic in (TOPIC, LOG_APPEND_TIME)):
                check(time.monotonic() < deadline, "the topic has no leader after 20 s")
                time.sleep(0.05)

    def still_serves(self):
        check(self.broker.process.poll() is None, f"the broker is gone: exit code {self.broker.process.returncode}")
        with self.connect() as connection:
            check(API_VERSIONS in connection.api_versions(), "ApiVersions is not in its own answer")
            end = connection.end_offset(TOPIC, 0)
            error, offset = connection.produce(TOPIC, 0, batch([b"still serving"]))
            check((error, offset) == (0, end), f"produce answered error {error}, offset {offset}, end was {end}")

    def refused(self, frame: bytes, raw: bool = False) -> str:
        """The broker answers or hangs up; it does neither wait for more nor die."""
        with self.connect() as connection:
            try:
                connection.send(frame if raw else blob(frame))
                return f"answered {len(connection.read_frame())} bytes"
            except Closed:
                return "closed"

    def must_close(self, data: bytes) -> None:
        with self.connect() as connection:
            connection.send(data)
            check(connection.closed_by_peer(), "the connection was left open")

    # Frames.

    def case_frame_cut_short(self):
        whole = blob(header(METADATA, 1) + array([string(TOPIC)]))
        for end in range(1, len(whole)):
            with self.connect() as connection:
                connection.send(whole[:end])

    def case_frame_cut_short_then_reset(self):
        for _ in range(50):
            with self.connect() as connection:
                connection.send(struct.pack(">i", 1 << 20) + b"\0" * 1000)
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def case_frame_announced_but_never_sent(self):
        """Memory follows the bytes received, not the length announced. (Kafka reserves it all and dies of it.)"""
        if not self.bounded:
            raise Skip("would take Apache Kafka's heap down")
        held = [self.connect() for _ in range(60)]
        try:
            for connection in held:
                connection.send(struct.pack(">i", 90 << 20) + header(PRODUCE, 3) + b"\0" * 64)
            self.still_serves()
            grown = processes.rss_bytes(self.broker.pid) - self.rss_before
            check(grown < RSS_GROWTH_MAX, f"60 announcements of 90 MiB cost {grown >> 20} MiB")
        finally:
            for connection in held:
                connection.socket.close()

    def case_frame_oversized(self):
        for length in (HUGE, 0x7F000000, -1, -HUGE - 1):
            self.must_close(struct.pack(">i", length) + b"\0" * 32)

    def case_frame_empty_or_tiny(self):
        for length in range(8):
            self.must_close(struct.pack(">i", length) + b"\0" * length + struct.pack(">i", -1))

    def case_frames_random(self):
        for _ in range(200):
            self.refused(blob(self.random.randbytes(self.random.randrange(8, 400))) + struct.pack(">i", -1), raw=True)

    def case_bodies_random_for_every_api(self):
        with self.connect() as connection:
            served = connection.api_versions()
        for api, (low, high) in sorted(served.items()):
            if api in (API_VERSIONS,):
                continue
            for version in range(low, high + 1):
                for _ in range(3):
                    body = self.random.randbytes(self.random.randrange(0, 120))
                    frame = header(api, version, flexible=self.random.random() < 0.5) + body
                    # A second frame that must close the connection, since acks=0 and long polls answer late or never.
                    with self.connect() as connection:
                        try:
                            connection.send(blob(frame) + struct.pack(">i", -1))
                        except Closed:
                            pass
        return f"{len(served)} APIs"

    def case_unknown_api_and_version(self):
        self.must_close(blob(header(999, 0)))
        self.must_close(blob(header(METADATA, 99) + b"\0" * 20))
        self.must_close(blob(header(-1, 0)))
        with self.connect() as connection:
            (error,) = struct.unpack_from(">h", connection.ask(header(API_VERSIONS, 99, flexible=True)))
            check(error == UNSUPPORTED_VERSION, f"ApiVersions v99 answered {error}")
            check(connection.api_versions(), "no ApiVersions after a refused one")

    def case_hostile_counts(self):
        huge, compact = struct.pack(">i", HUGE), unsigned_varint(0xFFFFFFFF)
        flexible_client = header(METADATA, 12, flexible=True)
        frames = [
            header(METADATA, 1) + huge,
            header(METADATA, 4) + huge + b"\0",
            flexible_client + compact + b"\0" * 4,
            flexible_client + unsigned_varint(1 << 28) + b"\0" * 64,
            flexible_client + b"\xff" * 10,
            struct.pack(">hhi", METADATA, 12, 7) + string("x") + compact,
            header(PRODUCE, 3) + string(None) + struct.pack(">hi", -1, 1000) + huge,
            header(PRODUCE, 3) + string(None) + struct.pack(">hi", -1, 1000) + array([string(TOPIC)]) + huge,
            header(PRODUCE, 9, flexible=True) + b"\0" + struct.pack(">hi", -1, 1000) + unsigned_varint(1 << 28),
            header(PRODUCE, 9, flexible=True) + b"\0" + struct.pack(">hi", -1, 1000) + compact,
            header(FETCH, 4) + struct.pack(">iiiib", -1, 0, 1, HUGE, 0) + huge,
            header(FETCH, 12, flexible=True) + struct.pack(">iiiibii", -1, 0, 1, HUGE, 0, 0, -1) + compact,
            header(CREATE_TOPICS, 2) + huge,
            header(CREATE_TOPICS, 2) + array([string("x") + struct.pack(">ih", HUGE, 1) + array([]) + array([])])
            + struct.pack(">ib", 1000, 0),
        ]
        answers = [self.refused(frame) for frame in frames]
        return f"{answers.count('closed')} closed, {len(answers) - answers.count('closed')} answered"

    # Foreign protocols.

    def case_tls_hello(self):
        hello = bytes.fromhex("16030100a1010000 9d0303".replace(" ", "")) + self.random.randbytes(160)
        before = len(self.broker.log_text())
        self.must_close(hello)
        return self.log_line(before, "TLS")

    def case_http_request(self):
        before = len(self.broker.log_text())
        self.must_close(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return self.log_line(before, "HTTP")

    def log_line(self, before, word):
        if not self.bounded:
            return None
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            lines = [line for line in self.broker.log_text()[before:].splitlines() if word in line]
            if lines:
                check(len(lines) == 1, f"{len(lines)} log lines on {word}, one is enough")
                return None
            time.sleep(0.02)
        raise AssertionError(f"no log line names {word}")

    # Batches. Each is refused and nothing of it is stored.

    def rejected(self, records: bytes, codes=None, topic=TOPIC, partition=0):
        with self.connect() as connection:
            end = connection.end_offset(topic, 0)
            try:
                error, _ = connection.produce(topic, partition, records)
            except Closed:
                error = "closed"
            check(error != 0, "the batch was accepted")
            check(codes is None or error in codes, f"answered {error}, not {codes}")
        with self.connect() as connection:
            after = connection.end_offset(topic, 0)
            check(after == end, f"refused with {error}, and yet the log grew from {end} to {after}")
        return error

    def case_batch_with_wrong_crc(self):
        self.rejected(batch([b"a", b"b"], crc=0x12345678), {CORRUPT_MESSAGE})
        flipped = bytearray(batch([b"some record with a bit to flip"]))
        flipped[-3] ^= 0x10
        self.rejected(bytes(flipped), {CORRUPT_MESSAGE})

    def case_batch_of_an_old_format(self):
        answers = [self.rejected(old_message(magic, b"from long ago")) for magic in (0, 1)]
        return f"answered {answers}"

    def case_batch_of_an_unknown_format(self):
        self.rejected(batch([b"x"], magic=3))
        self.rejected(batch([b"x"], magic=-1))

    def case_batch_with_unknown_codec(self):
        return f"answered {[self.rejected(batch([b'x'], attributes=codec)) for codec in (5, 6, 7)]}"

    def case_batch_that_claims_a_codec(self):
        """On a topic where the broker has to open it: what is marked gzip, snappy, lz4, zstd is noise."""
        noise = self.random.randbytes(300)
        for codec in (1, 2, 3, 4):
            self.rejected(batch([b""], attributes=codec, payload=noise), topic=LOG_APPEND_TIME)

    def case_batch_with_wrong_counts(self):
        for count, last_delta in ((0, -1), (-1, -2), (3, 2), (HUGE, HUGE - 1), (2, 5), (1, HUGE)):
            self.rejected(batch([b"one", b"two"], count=count, last_delta=last_delta))

    def case_batch_cut_short_or_empty(self):
        whole = batch([b"a record", b"and another"])
        for size in (1, 11, 12, 17, 60, 61, len(whole) - 1):
            self.rejected(whole[:size])
        self.rejected(b"")

    def case_batches_two_in_one_partition(self):
        self.rejected(batch([b"one"]) + batch([b"two"]), {INVALID_RECORD})

    def case_batch_larger_than_max_message_bytes(self):
        self.rejected(batch([b"\0" * 1_100_000]), {MESSAGE_TOO_LARGE})

    def case_batch_that_is_a_bomb(self):
        """900 KB that unpack to 900 MiB, on a topic whose batches the broker has to open."""
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        zeros = b"\0" * (1 << 20)
        payload = b"".join(packer.compress(zeros) for _ in range(900)) + packer.flush()
        with self.connect(timeout_s=60) as connection:
            try:
                return f"answered {connection.produce(LOG_APPEND_TIME, 0, batch([b''], attributes=1, payload=payload))}"
            except Closed:
                return "closed"

    def case_records_lengths_lie(self):
        """CRC right, record lengths wrong: the uncompressed walk has to see it."""
        for payload in (b"\xff\xff\xff\xff\x0f" + b"x" * 20, b"\x02\0", b"", b"\x80" * 12, b"\x01" * 30):
            self.rejected(batch([b"x"], payload=payload))

    def case_produce_to_nowhere(self):
        with self.connect() as connection:
            for partition in (1, 99, -1, -HUGE):
                error, _ = connection.produce(TOPIC, partition, batch([b"x"]))
                check(error == UNKNOWN_TOPIC_OR_PARTITION, f"partition {partition} answered {error}")

    def case_produce_with_acks_out_of_range(self):
        with self.connect() as connection:
            error, _ = connection.produce(TOPIC, 0, batch([b"x"]), acks=5)
            check(error == 21, f"acks=5 answered {error}")

    def case_pipelined_garbage_behind_good_requests(self):
        with self.connect() as connection:
            good = blob(produce_request(TOPIC, 0, batch([b"before the garbage"])))
            connection.send(good * 20 + struct.pack(">i", -1))
            check(connection.closed_by_peer(), "the connection was left open")

    # Names and connections.

    def case_topic_names(self):
        names = ["", ".", "..", "a/b", "../etc", "a b", "a\0b", "t\u00f6pic", "x" * 250, "a\nb", "a\\b", "-" * 300]
        with self.connect() as connection:
            for name in names:
                error = connection.create_topic(name)
                check(error == INVALID_TOPIC, f"CreateTopics {name!r} answered {error}")
                error = connection.metadata_error(name)
                check(error == INVALID_TOPIC, f"Metadata {name!r} answered {error}")

    def case_topic_name_that_is_not_utf8(self):
        raw = struct.pack(">h", 4) + b"\xff\xfe\xc3\x28"
        self.refused(header(METADATA, 1) + array([raw]))
        self.refused(header(CREATE_TOPICS, 2) + array([raw + struct.pack(">ih", 1, 1) + array([]) + array([])])
                     + struct.pack(">ib", 1000, 0))

    def case_many_connections_come_and_go(self):
        for _ in range(10):
            held = [self.connect() for _ in range(100)]
            for connection in held[::2]:
                connection.send_frame(header(API_VERSIONS, 0))
            for connection in held:
                connection.socket.close()
