"""A group changes over between the protocols while it consumes: its members are replaced one by one, classic ones by
members of the consumer protocol, and back, with each `group.consumer.migration.policy`.

What must hold is what `subscribe` asks of any group; besides, committed offsets never go back, and the group is of the
type that Apache Kafka would have it: `run.py migration --broker kafka`.
"""

import threading
import time

from harness.group_wire import Peer
from harness.report import Report, check
from suites import subscribe
from suites.subscribe import PARTITIONS, Case, Downfall, Group, side_by_side

REFUSALS = {
    "consumer": "because online upgrade is disabled",
    "classic": "InconsistentGroupProtocolException",
}


class Watch(threading.Thread):
    """Looks at the group's committed offsets again and again; remembers what went back."""

    def __init__(self, group):
        super().__init__(daemon=True)
        self.group, self.highest, self.looks, self.back = group, {}, 0, []
        self.over = threading.Event()

    def run(self):
        while not self.over.is_set():
            try:
                with Peer(self.group.broker.bootstrap, self.group.name) as peer:
                    while not self.over.wait(0.1):
                        self.look(peer.committed(self.group.name, range(PARTITIONS)).answer())
            except Exception:  # the broker is down
                time.sleep(0.1)

    def look(self, answer):
        if answer["error"]:  # the coordinator is not there yet
            return
        self.looks += 1
        for partition, offset in answer["offsets"].items():
            before = self.highest.get(partition, -1)
            if offset < before:
                self.back.append(f"partition {partition} from {before} to {offset}")
            self.highest[partition] = max(before, offset)


class Moving(Group):
    """Members leave, or die, and come again speaking the other protocol."""

    suite = "migration"
    first, refused = "classic", ()  # the protocol that it begins with; what is refused at its end
    back = "Classic"  # the type of the group after the way back

    def __init__(self, *arguments):
        self.protocols = {}
        super().__init__(*arguments)

    def live(self):
        watch = Watch(self)
        try:
            watch.start()
            said = yield from super().live()
        finally:
            watch.over.set()
        watch.join()
        check(not watch.back, f"committed offsets went back: {watch.back[:5]}")
        check(watch.looks > 20 and any(offset > 0 for offset in watch.highest.values()), "no commits were seen")
        return f"{said}, {watch.looks} looks at commits"

    def speech(self, index):
        """A newcomer speaks what others here speak."""
        if index not in self.protocols:
            present = [self.protocols[other] for other in sorted(self.here)]
            self.protocols[index] = self.random.choice(present) if present else self.first
        protocol = self.protocols[index]
        return protocol, self.case.strategy if protocol == "classic" else "uniform"

    def plan(self):
        return [self.there, *([self.brace] if self.downfall else [self.join]), self.back_again, self.refuse]

    def there(self):
        yield from self.turn("consumer" if self.first == "classic" else "classic")

    def back_again(self):
        yield from self.turn(self.first)

    def turn(self, protocol):
        """All members, in any order. One dies on the way, one pauses; the group settles when it is mixed. Nobody goes
        before who came last has its share: an empty group would be made anew, and its epochs with it."""
        yield from self.shared()
        order = [index for index in sorted(self.here) if self.protocols[index] != protocol]
        self.random.shuffle(order)
        for step, index in enumerate(order):
            member = self.here.pop(index)
            if step == 1 and not self.case.static:
                member.kill()
            else:
                member.leave()
                yield from self.gone(member)
            self.protocols[index] = protocol
            self.come(index)
            yield from self.shared()
            if step == 0:
                yield from self.settled()
                yield from self.pause()
                if protocol == "consumer":
                    yield from self.of_type("Consumer")
        yield from self.settled()
        yield from self.of_type("Consumer" if protocol == "consumer" else self.back)

    def shared(self):
        yield from self.until(lambda: all(member.owned() for member in self.here.values()),
                              lambda: f"not everybody has a share: {self.standing()}")

    def of_type(self, wanted):
        def found():
            with Peer(self.broker.bootstrap, self.name) as peer:
                return [mine[2].capitalize() for mine in peer.listed().answer()["mine"]]

        yield from self.until(lambda: found() == [wanted], lambda: f"listed as {found()}, not {wanted}")

    def refuse(self):
        """A member that speaks what the policy does not allow fails and says why; the others go on."""
        for protocol in self.refused:
            index = len(self.members)
            self.protocols[index] = protocol
            self.come(index)
            stranger = self.here.pop(index)
            self.members.remove(stranger)
            del self.protocols[index]
            yield from self.until(lambda: stranger.process.poll() is not None, lambda: "it was not refused")
            stranger.reader.join(10)
            check(stranger.process.returncode != 0, "it ended as if nothing was wrong")
            check(REFUSALS[protocol] in stranger.tail(), f"refused with {stranger.tail()}")
            check(not stranger.owned(), f"it was given {stranger.owned()}")
            yield from self.settled()


class Stays(Moving):
    """The way back is not the group's: it keeps the consumer group's type, with classic members in it."""
    back = "Consumer"


class Downgraded(Moving):
    """It begins with the consumer protocol. Once it is classic it stays so."""
    first, refused = "consumer", ("consumer",)

    def plan(self):
        return [self.there, self.join, self.refuse]


class Closed(Moving):
    """Whatever it began with is all that it takes."""
    refused = ("consumer",)

    def plan(self):
        return [self.join, self.refuse, self.crash, self.go]


class ClosedToClassic(Closed):
    first, refused = "consumer", ("classic",)


# Not librdkafka's cooperative-sticky: its leader puts user data into assignments, and a group that has some is not
# upgraded, by Apache Kafka neither.
CASES = (
    Case("java", "moving", "range", "sync"), Case("java", "moving", "cooperative-sticky", "auto"),
    Case("java", "moving", "cooperative-sticky", "sync", static=True), Case("librdkafka", "moving", "range", "auto"),
    Case("librdkafka-c", "moving", "range", "sync"),
    Case("librdkafka-rust", "moving", "roundrobin", "async"),
    Case("java,librdkafka-c,librdkafka-rust", "moving", "range", "sync", tiered=True),
)
KILLED = (Case("java", "moving", "cooperative-sticky", "sync"), Case("librdkafka", "moving", "range", "sync"))
POLICIES = {
    "upgrade": ((Stays, "java"), (Stays, "librdkafka")), "downgrade": ((Downgraded, "java"),),
    "disabled": ((Closed, "java"), (ClosedToClassic, "java")),
}


def run(report: Report, options) -> None:
    print(f"migration: seed {options.seed}", flush=True)
    together(report, options, "bidirectional", [Moving(None, options, case) for case in CASES])
    downfall = Downfall(None, options, 1)
    together(report, options, "killed", [Moving(None, options, case, downfall) for case in KILLED], downfall)
    for policy, shapes in POLICIES.items():
        groups = [shape(None, options, Case(client, f"{policy}, {shape.first} first", "range", "sync"))
                  for shape, client in shapes]
        together(report, options, policy, groups)


def together(report, options, name, groups, downfall=None):
    """The groups that are wanted, on a broker of their own."""
    groups = [group for group in groups if report.wanted(group.label)]
    if not groups:
        return
    policy = {"group.consumer.migration.policy": name} if name in POLICIES else {}
    with subscribe.started(options, f"migration-{name}", policy) as broker:
        for group in groups:
            group.broker = broker
        if downfall:
            downfall.broker, downfall.groups = broker, groups
        side_by_side(report, groups, downfall)
