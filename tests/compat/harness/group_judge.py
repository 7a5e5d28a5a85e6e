"""What the members of a group say, and the judge of it: it needs no process and no broker."""

from typing import NamedTuple

from .report import check


class Span(NamedTuple):
    """A partition was somebody's. `fenced`: its owner could not know that it was no longer."""
    partition: int
    since: int
    until: int
    who: str
    fenced: bool


class Story:
    """What one member said, in its order. `lapses`: when it stood still for so long that the group went on without it."""

    def __init__(self, who: str, events: list[dict], killed_at: int | None = None, lapses: list[int] | None = None):
        self.who, self.events, self.killed_at, self.lapses = who, events, killed_at, lapses or []

    def owned(self) -> set[int]:
        owned = set()
        for event in list(self.events):
            if event["event"] == "given":
                owned |= set(event["partitions"])
            elif event["event"] in ("taken", "lost"):
                owned -= set(event["partitions"])
        return owned

    def spans(self) -> list[Span]:
        """Everything it owned, from being given it to giving it up: by being asked, by its end or by a long absence."""
        open_at, spans = {}, []

        def close(partition, at, fenced):
            if partition in open_at:
                since = open_at.pop(partition)
                lapse = min((lapse for lapse in self.lapses if since <= lapse < at), default=None)
                spans.append(Span(partition, since, lapse or at, self.who, fenced or lapse is not None))

        for event in self.events:
            if event["event"] == "given":
                for partition in event["partitions"]:
                    open_at.setdefault(partition, event["at"])
            elif event["event"] in ("taken", "lost"):
                for partition in event["partitions"]:
                    close(partition, event["at"], event["event"] == "lost")
            elif event["event"] == "ended":
                for partition in list(open_at):
                    close(partition, event["at"], False)
        last = self.killed_at or (self.events[-1]["at"] if self.events else 0)
        for partition in list(open_at):
            close(partition, last, False)
        return spans

    def claims(self):
        """(epoch, partition) of all that it owned whenever it was told an assignment."""
        owned = set()
        for event in self.events:
            if event["event"] == "given":
                owned |= set(event["partitions"])
                if event.get("epoch") is not None:
                    yield from ((event["epoch"], partition) for partition in owned)
            elif event["event"] in ("taken", "lost"):
                owned -= set(event["partitions"])


def judge(members: list[Story]) -> int:
    """Raises AssertionError at the first thing that must not be; the number of claims that carried an epoch."""
    claims = judge_epochs(members)
    judge_times(members)
    judge_order(members)
    judge_commits(members)
    return claims


def judge_epochs(members) -> int:
    """In one generation or member epoch a partition has one owner. A static member that came back is the same one."""
    owners = {}
    for member in members:
        for claim in member.claims():
            other = owners.setdefault(claim, member.who)
            check(other == member.who, f"partition {claim[1]} was {other}'s and {member.who}'s in epoch {claim[0]}")
    return len(owners)


def judge_times(members) -> None:
    """Nobody is given a partition before its owner gave it up. Who was fenced could not know, and is not asked."""
    spans = sorted(span for member in members for span in member.spans())
    latest = {}
    for span in spans:
        before = latest.get(span.partition)
        check(before is None or span.since >= before.until,
              f"partition {span.partition} was {before and before.who}'s and {span.who}'s for "
              f"{((before.until if before else 0) - span.since) / 1e6:.1f} ms")
        if not span.fenced and (before is None or span.until > before.until):
            latest[span.partition] = span


def judge_order(members) -> None:
    """Who owns a partition processes one record after the other, without a hole."""
    for member in members:
        last = {}
        for event in member.events:
            if event["event"] in ("given", "taken", "lost"):
                for partition in event["partitions"]:
                    last.pop(partition, None)
            for partition, offset in event.get("records", ()):
                before = last.get(partition, offset - 1)
                check(offset == before + 1, f"{member.who}, partition {partition}: {offset} after {before}")
                last[partition] = offset


def judge_commits(members) -> None:
    """What was committed synchronously before a partition was given is where its owner starts, or further on."""
    commits, starts = [], []
    for member in members:
        last, fresh = {}, {}
        for event in member.events:
            if event["event"] == "given":
                fresh |= {partition: event["at"] for partition in event["partitions"]}
            for partition, offset in event.get("records", ()):
                last[partition] = offset
                if partition in fresh:
                    starts.append((partition, fresh.pop(partition), offset, member.who))
            if event["event"] == "committed":
                committed = [event["partition"]] if "partition" in event else last
                commits += [(partition, event["at"], last[partition] + 1) for partition in committed]
            elif event["event"] in ("taken", "lost"):
                for partition in event["partitions"]:
                    last.pop(partition, None)
                    fresh.pop(partition, None)
    for partition, at, offset, who in starts:
        floor = max((end for other, when, end in commits if other == partition and when < at), default=0)
        check(offset >= floor, f"{who} began partition {partition} at {offset}, committed was {floor}")


def missing(ends: list[int], members: list[Story]) -> list[tuple[int, int]]:
    """(partition, offset) of what nobody processed."""
    seen = {tuple(record) for member in members for event in list(member.events) for record in event.get("records", ())}
    return [(partition, offset) for partition, end in enumerate(ends) for offset in range(end)
            if (partition, offset) not in seen]
