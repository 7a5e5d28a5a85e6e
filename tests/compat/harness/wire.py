"""Enough of the Kafka protocol, by hand, to send a broker what no client would."""

import socket
import struct

PRODUCE, FETCH, LIST_OFFSETS, METADATA, API_VERSIONS, CREATE_TOPICS, DELETE_TOPICS = 0, 1, 2, 3, 18, 19, 20


def _crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _crc32c_table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def string(text: str | None) -> bytes:
    return b"\xff\xff" if text is None else struct.pack(">h", len(text.encode())) + text.encode()


def compact_string(text: str) -> bytes:
    return unsigned_varint(len(text.encode()) + 1) + text.encode()


def array(items: list[bytes]) -> bytes:
    return struct.pack(">i", len(items)) + b"".join(items)


def blob(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data


def varint(number: int) -> bytes:
    number = number << 1 ^ number >> 63
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def unsigned_varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def record(delta: int, key: bytes | None, value: bytes) -> bytes:
    body = b"\0" + varint(0) + varint(delta) + (varint(-1) if key is None else varint(len(key)) + key)
    body += varint(len(value)) + value + varint(0)
    return varint(len(body)) + body


def batch(values: list[bytes], *, attributes=0, magic=2, count=None, crc=None, payload=None, last_delta=None) -> bytes:
    """A record batch of format 2, each field open to abuse."""
    count = len(values) if count is None else count
    last_delta = count - 1 if last_delta is None else last_delta
    if payload is None:
        payload = b"".join(record(delta, None, value) for delta, value in enumerate(values))
    checked = struct.pack(">hiqqqhii", attributes, last_delta, 1_760_000_000_000, 1_760_000_000_000, -1, -1, -1, count)
    checked += payload
    crc = crc32c(checked) if crc is None else crc
    return struct.pack(">qiibI", 0, 9 + len(checked), -1, magic, crc) + checked


def old_message(magic: int, value: bytes) -> bytes:
    """A message of the formats before 2, with its CRC-32 right."""
    import zlib
    body = bytes([magic, 0]) + (struct.pack(">q", 1_760_000_000_000) if magic == 1 else b"")
    body += struct.pack(">i", -1) + blob(value)
    return struct.pack(">qi", 0, 4 + len(body)) + struct.pack(">I", zlib.crc32(body)) + body


def header(api: int, version: int, correlation: int = 7, flexible: bool = False) -> bytes:
    return struct.pack(">hhi", api, version, correlation) + string("compat") + (b"\0" if flexible else b"")


def produce_request(topic: str, partition: int, records: bytes, acks: int = -1, version: int = 3) -> bytes:
    body = string(None) + struct.pack(">hi", acks, 30_000)
    body += array([string(topic) + array([struct.pack(">i", partition) + blob(records)])])
    return header(PRODUCE, version) + body


def fetch_request(topic: str, partition: int, offset: int, max_bytes: int = 1 << 20) -> bytes:
    body = struct.pack(">iiiib", -1, 100, 1, max_bytes, 0)
    return header(FETCH, 4) + body + array([string(topic) + array([struct.pack(">iqi", partition, offset, max_bytes)])])


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number and where the next thing begins."""
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number >> 1 ^ -(number & 1), at


def records_of(data: bytes) -> list[tuple[int, bytes]]:
    """Offsets and values of whole uncompressed batches; every checksum is checked."""
    found = []
    while len(data) >= 61:
        base, length = struct.unpack_from(">qi", data)
        if len(data) < 12 + length:
            break
        (crc,) = struct.unpack_from(">I", data, 17)
        if crc32c(data[21:12 + length]) != crc:
            raise AssertionError(f"the checksum of the batch at offset {base} is wrong")
        (count,), at = struct.unpack_from(">i", data, 57), 61
        for _ in range(count):
            length_of_record, at = read_varint(data, at)
            end, at = at + length_of_record, at + 1
            _, at = read_varint(data, at)
            delta, at = read_varint(data, at)
            key, at = read_varint(data, at)
            at += max(key, 0)
            size, at = read_varint(data, at)
            found.append((base + delta, data[at:at + size]))
            at = end
        data = data[12 + length:]
    return found


class Closed(Exception):
    """The broker closed the connection."""


class Connection:
    def __init__(self, bootstrap: str, timeout_s: float = 20):
        host, port = bootstrap.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout_s)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as gone:
            raise Closed from gone

    def send_frame(self, frame: bytes) -> None:
        self.send(blob(frame))

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                more = self.socket.recv(size - len(data))
            except ConnectionResetError as gone:
                raise Closed from gone
            if not more:
                raise Closed
            data += more
        return data

    def read_frame(self) -> bytes:
        (length,) = struct.unpack(">i", self.read(4))
        return self.read(length)

    def ask(self, frame: bytes) -> bytes:
        """The answer after its correlation id."""
        self.send_frame(frame)
        return self.read_frame()[4:]

    def closed_by_peer(self) -> bool:
        """Waits for the end of the stream; False when the socket's time-out comes first."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        return True

    # What a well-behaved client asks, to see that the broker still serves.

    def api_versions(self) -> dict[int, tuple[int, int]]:
        answer = self.ask(header(API_VERSIONS, 0))
        error, count = struct.unpack_from(">hi", answer)
        if error:
            raise AssertionError(f"ApiVersions answered error {error}")
        return {key: (low, high) for key, low, high in struct.iter_unpack(">hhh", answer[6:6 + 6 * count])}

    def produce(self, topic: str, partition: int, records: bytes, acks: int = -1) -> tuple[int, int]:
        """(error code, base offset) of the one partition."""
        answer = self.ask(produce_request(topic, partition, records, acks))
        at = 4 + 2 + len(topic.encode()) + 4
        _, error, offset = struct.unpack_from(">ihq", answer, at)
        return error, offset

    def fetch(self, topic: str, partition: int, offset: int, max_bytes: int = 1 << 20) -> tuple[int, int, bytes]:
        """(error code, high watermark, batches) of the one partition."""
        answer = self.ask(fetch_request(topic, partition, offset, max_bytes))
        at = 4 + 4 + 2 + len(topic.encode()) + 4
        _, error, high_watermark, _, aborted = struct.unpack_from(">ihqqi", answer, at)
        at += 26 + 16 * max(aborted, 0)
        (length,) = struct.unpack_from(">i", answer, at)
        return error, high_watermark, answer[at + 4:at + 4 + max(length, 0)]

    def end_offset(self, topic: str, partition: int) -> int:
        return self.offset_at(topic, partition, -1)

    def offset_at(self, topic: str, partition: int, timestamp: int) -> int:
        """ListOffsets v8, the first whose specials reach to -4."""
        body = struct.pack(">ib", -1, 0) + b"\x02" + compact_string(topic) + b"\x02"
        body += struct.pack(">iiq", partition, -1, timestamp) + b"\0\0\0"
        answer = self.ask(header(LIST_OFFSETS, 8, flexible=True) + body)
        at = 1 + 4 + 1 + 1 + len(topic.encode()) + 1
        _, error, _, offset = struct.unpack_from(">ihqq", answer, at)
        if error:
            raise AssertionError(f"ListOffsets answered error {error}")
        return offset

    def create_topic(self, topic: str, partitions: int = 1, configs: dict[str, str] | None = None) -> int:
        entries = [string(name) + string(value) for name, value in (configs or {}).items()]
        body = array([string(topic) + struct.pack(">ih", partitions, 1) + array([]) + array(entries)])
        answer = self.ask(header(CREATE_TOPICS, 2) + body + struct.pack(">ib", 30_000, 0))
        return struct.unpack_from(">h", answer, 4 + 4 + 2 + len(topic.encode()))[0]

    def delete_topic(self, topic: str) -> int:
        answer = self.ask(header(DELETE_TOPICS, 1) + array([string(topic)]) + struct.pack(">i", 60_000))
        return struct.unpack_from(">h", answer, 4 + 4 + 2 + len(topic.encode()))[0]

    def metadata_error(self, topic: str) -> int:
        """The error of the one topic asked for (which a broker may create on being asked)."""
        answer = self.ask(header(METADATA, 1) + array([string(topic)]))
        (brokers,) = struct.unpack_from(">i", answer)
        at = 4
        for _ in range(brokers):
            (length,) = struct.unpack_from(">h", answer, at + 4)
            at += 4 + 2 + length + 4
            (rack,) = struct.unpack_from(">h", answer, at)
            at += 2 + max(rack, 0)
        return struct.unpack_from(">h", answer, at + 4 + 4)[0]
