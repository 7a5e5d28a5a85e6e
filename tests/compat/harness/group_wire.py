"""Requests of group members by hand, in any version: what members of the classic protocol and their tools send."""

import socket
import struct

from .wire import Connection, header, string, unsigned_varint

OFFSET_COMMIT, OFFSET_FETCH, FIND_COORDINATOR, JOIN, HEARTBEAT, LEAVE, SYNC, DESCRIBE, LIST = range(8, 17)
# The first flexible version of each.
FLEXIBLE = {OFFSET_COMMIT: 8, OFFSET_FETCH: 6, FIND_COORDINATOR: 3, JOIN: 6, HEARTBEAT: 4, LEAVE: 4, SYNC: 4, DESCRIBE: 5, LIST: 3}


class Writer:
    def __init__(self, flexible):
        self.flexible, self.data = flexible, b""

    def pack(self, form, *values):
        self.data += struct.pack(">" + form, *values)
        return self

    def text(self, text):
        if not self.flexible:
            self.data += string(text)
        elif text is None:
            self.data += b"\0"
        else:
            self.data += unsigned_varint(len(text.encode()) + 1) + text.encode()
        return self

    def blob(self, data):
        self.data += (unsigned_varint(len(data) + 1) if self.flexible else struct.pack(">i", len(data))) + data
        return self

    def array(self, items, write):
        self.data += unsigned_varint(len(items) + 1) if self.flexible else struct.pack(">i", len(items))
        for item in items:
            write(item)
            self.tags()
        return self

    def texts(self, items):
        """An array without tags between its elements."""
        self.data += unsigned_varint(len(items) + 1) if self.flexible else struct.pack(">i", len(items))
        for item in items:
            self.text(item)
        return self

    def numbers(self, items):
        self.data += unsigned_varint(len(items) + 1) if self.flexible else struct.pack(">i", len(items))
        return self.pack(f"{len(items)}i", *items)

    def tags(self):
        if self.flexible:
            self.data += b"\0"
        return self


class Reader:
    def __init__(self, data, flexible):
        self.data, self.flexible, self.at = data, flexible, 0

    def one(self, form):
        (value,) = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return value

    def count(self, form):
        """A length; -1 is null."""
        if not self.flexible:
            return self.one(form)
        number = shift = 0
        while True:
            byte = self.one("B")
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number - 1

    def take(self, length):
        if length < 0:
            return None
        self.at += length
        return self.data[self.at - length:self.at]

    def text(self):
        data = self.take(self.count("h"))
        return None if data is None else data.decode()

    def blob(self):
        return self.take(self.count("i"))

    def array(self, read):
        items = []
        for _ in range(max(self.count("i"), 0)):
            items.append(read())
            self.tags()
        return items

    def tags(self):
        if self.flexible:
            for _ in range(self.count("h") + 1):
                self.count("h")
                self.take(self.count("h") + 1)


class Peer(Connection):
    """A connection of one member. Each request is sent by its method; `answer` reads what came back, as a dict."""

    def __init__(self, bootstrap, group, timeout_s=20):
        super().__init__(bootstrap, timeout_s)
        self.group, self.pending = group, []

    def _send(self, api, version, body, read):
        flexible = version >= FLEXIBLE[api]
        self.send_frame(header(api, version, flexible=flexible) + body(Writer(flexible)).tags().data)
        self.pending.append((flexible, read))
        return self

    def answer(self):
        flexible, read = self.pending.pop(0)
        reader = Reader(self.read_frame()[4:], flexible)
        reader.tags()
        answer = read(reader)
        reader.tags()
        if reader.at != len(reader.data):
            raise AssertionError(f"{len(reader.data) - reader.at} bytes after the answer {answer}")
        return answer

    def silent(self, for_s):
        """Whether nothing comes for so long."""
        before = self.socket.gettimeout()
        self.socket.settimeout(for_s)
        try:
            return self.socket.recv(1, socket.MSG_PEEK) == b""
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(before)

    def join(self, member="", *, version=9, instance=None, protocols=(("range", b"x"),), kind="consumer", session=10_000,
             rebalance=60_000, reason=None, group=None):
        def body(w):
            w.text(self.group if group is None else group).pack("i", session)
            if version >= 1:
                w.pack("i", rebalance)
            w.text(member)
            if version >= 5:
                w.text(instance)
            w.text(kind).array(protocols, lambda protocol: w.text(protocol[0]).blob(protocol[1]))
            return w.text(reason) if version >= 8 else w

        def read(r):
            answer = {"throttle": r.one("i")} if version >= 2 else {}
            answer |= {"error": r.one("h"), "generation": r.one("i")}
            if version >= 7:
                answer["type"] = r.text()
            answer |= {"protocol": r.text(), "leader": r.text()}
            if version >= 9:
                answer["skip"] = bool(r.one("b"))
            answer["member"] = r.text()
            answer["members"] = r.array(lambda: (r.text(), r.text() if version >= 5 else None, r.blob()))
            return answer

        return self._send(JOIN, version, body, read)

    def sync(self, member, generation, shares=(), *, version=5, instance=None, kind="consumer", protocol="range"):
        def body(w):
            w.text(self.group).pack("i", generation).text(member)
            if version >= 3:
                w.text(instance)
            if version >= 5:
                w.text(kind).text(protocol)
            return w.array(list(shares), lambda share: w.text(share[0]).blob(share[1]))

        def read(r):
            answer = {"throttle": r.one("i")} if version >= 1 else {}
            answer["error"] = r.one("h")
            if version >= 5:
                answer |= {"type": r.text(), "protocol": r.text()}
            return answer | {"assignment": r.blob()}

        return self._send(SYNC, version, body, read)

    def heartbeat(self, member, generation, *, version=4, instance=None):
        def body(w):
            w.text(self.group).pack("i", generation).text(member)
            return w.text(instance) if version >= 3 else w

        def read(r):
            if version >= 1:
                r.one("i")
            return {"error": r.one("h")}

        return self._send(HEARTBEAT, version, body, read)

    def leave(self, members, *, version=5):
        """`members`: pairs of member id and instance id; before version 3 just one."""
        def body(w):
            w.text(self.group)
            if version < 3:
                return w.text(members[0][0])

            def one(member):
                w.text(member[0]).text(member[1])
                if version >= 5:
                    w.text("test")

            return w.array(members, one)

        def read(r):
            if version >= 1:
                r.one("i")
            answer = {"error": r.one("h")}
            if version >= 3:
                answer["members"] = r.array(lambda: (r.text(), r.text(), r.one("h")))
            return answer

        return self._send(LEAVE, version, body, read)

    def commit(self, topic, offset, *, member="", generation=-1, instance=None, version=8):
        def body(w):
            w.text(self.group).pack("i", generation).text(member)
            if version >= 7:
                w.text(instance)
            if version <= 4:
                w.pack("q", -1)

            def partition(number):
                w.pack("iq", number, offset)
                if version >= 6:
                    w.pack("i", -1)
                w.text("")

            return w.array([topic], lambda name: w.text(name).array([0], partition))

        def read(r):
            if version >= 3:
                r.one("i")
            topics = r.array(lambda: (r.text(), r.array(lambda: (r.one("i"), r.one("h")))))
            return {"error": topics[0][1][0][1]}

        return self._send(OFFSET_COMMIT, version, body, read)

    def committed(self, topic, partitions):
        """The committed offset of each partition, -1 where there is none."""
        def read(r):
            r.one("i")
            topics = r.array(lambda: (r.text(), r.array(
                lambda: (r.one("i"), r.one("q"), r.one("i"), r.text(), r.one("h")))))
            return {"error": r.one("h"), "offsets": {partition[0]: partition[1] for partition in topics[0][1]}}

        return self._send(OFFSET_FETCH, 7, lambda w: w.text(self.group).array(
            [topic], lambda name: w.text(name).numbers(partitions)).pack("b", 0), read)

    def describe(self, *, version=5):
        def read(r):
            r.one("i")

            def one():
                answer = {"error": r.one("h")}
                if version >= 6:
                    answer["message"] = r.text()
                answer |= {"group": r.text(), "state": r.text(), "type": r.text(), "data": r.text()}
                answer["members"] = r.array(lambda: {
                    "member": r.text(), "instance": r.text(), "client": r.text(), "host": r.text(),
                    "metadata": r.blob(), "assignment": r.blob()})
                r.one("i")
                return answer

            return r.array(one)[0]

        return self._send(DESCRIBE, version, lambda w: w.texts([self.group]).pack("b", 0), read)

    def listed(self, *, version=5):
        def read(r):
            r.one("i")
            error = r.one("h")
            groups = r.array(lambda: (r.text(), r.text(), r.text(), r.text()))
            return {"error": error, "mine": [found[1:] for found in groups if found[0] == self.group]}

        return self._send(LIST, version, lambda w: w.texts([]).texts([]), read)

    def coordinator_ready(self):
        def read(r):
            r.one("i")
            return {"error": r.array(lambda: (r.text(), r.one("i"), r.text(), r.one("i"), r.one("h"), r.text()))[0][4]}

        return self._send(FIND_COORDINATOR, 4, lambda w: w.pack("b", 0).texts([self.group]), read)
