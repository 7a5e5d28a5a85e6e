"""The comparison the other suites rest on: each way in which records can differ is planted once and must be seen."""

from harness.group_judge import Story, judge, missing
from harness.records import PARTITIONS, DataSet, first_difference
from harness.report import Report, check
from harness.wire import crc32c

from stream import Outputs, read_records  # harness.records has put the clients' folder on the path


def run(report: Report, options) -> None:
    data = DataSet(options.work_dir / "harness-data", 0)
    report.case("harness/what a faithful consumer writes is equal", faithful, data, options.work_dir / "faithful")
    plants = {
        "a record missing at the end": lambda records: records[:-1],
        "a record missing in the middle": lambda records: records[:7] + records[8:],
        "a record twice": lambda records: records[:5] + records[4:],
        "two records swapped": lambda records: records[:2] + [records[3], records[2]] + records[4:],
        "a key changed": lambda records: changed(records, 2, b"other"),
        "an empty key that was null": lambda records: changed(records, 2, b"", at=1),
        "a value changed by a byte": lambda records: changed(records, 3, records[9][3][:-1] + b"!"),
        "an empty value that was null": lambda records: changed(records, 3, b"", at=0),
        "a timestamp changed": lambda records: changed(records, 1, records[9][1] + 1),
        "an offset changed": lambda records: changed(records, 0, records[9][0] + 1),
        "a header changed": lambda records: changed(records, 4, [("a", b"1"), ("a", b"3")], at=3),
        "headers lost": lambda records: changed(records, 4, [], at=3),
        "a record invented": lambda records: records + [(records[-1][0] + 1, *records[-1][1:])],
        "nothing at all": lambda _: [],
    }
    for name, plant in plants.items():
        report.case(f"harness/{name} is seen", planted, data, options.work_dir / "planted", plant)
    report.case("harness/a group that behaves is let be", group, None)
    for name, plant in GROUP_PLANTS.items():
        report.case(f"harness/{name} is seen", group, plant)
    report.case("harness/CRC-32C is the standard's", checksum)


def sent(data, partition):
    """What was sent to a partition, with offsets."""
    records = [record[1:] for record in read_records(data.input) if record[0] == partition]
    return [(offset, *record) for offset, record in enumerate(records)]


def faithful(data, output):
    output.mkdir()
    outputs = Outputs(output, PARTITIONS)
    for partition in range(PARTITIONS):
        for record in sent(data, partition):
            outputs.write(partition, *record)
    outputs.close()
    difference = data.difference(output)
    check(difference is None, difference)


def changed(records, field, value, at=9):
    record = list(records[at])
    record[field] = value
    return [*records[:at], tuple(record), *records[at + 1:]]


def planted(data, output, plant):
    output.mkdir(exist_ok=True)
    outputs = Outputs(output, 1)
    for record in plant(sent(data, 0)):
        outputs.write(0, *record)
    outputs.close()
    found = first_difference(data.expected(0), output / "0")
    check(found is not None, "it went unseen")


def checksum():
    check(crc32c(b"123456789") == 0xE3069283, f"{crc32c(b'123456789'):08x}")


# A group that behaves: `a` has both partitions, commits and gives up 1 to `b`, then is away for too long; `b` gets all.
A = [("given", 1, [0, 1], 1), ("records", 2, [[0, 0], [0, 1], [1, 0]]), ("committed", 3), ("taken", 4, [1]),
     ("given", 5, [], 2), ("records", 6, [[0, 2]]), ("lost", 30, [0]), ("ended", 31)]
B = [("given", 7, [1], 2), ("records", 8, [[1, 1]]), ("given", 20, [0], 3), ("records", 21, [[0, 2], [0, 3]]),
     ("ended", 40)]
GROUP_PLANTS = {
    "a partition with two owners in an epoch": lambda a, b: (swap(a, 4, ("given", 5, [1], 2)), b),
    "a partition with two owners at a time": lambda a, b: (a, swap(b, 0, ("given", 3, [1], 2))),
    "a member that keeps what was taken": lambda a, b: (a[:3] + a[4:], b),
    "a record out of order": lambda a, b: (swap(a, 1, ("records", 2, [[0, 1], [0, 0], [1, 0]])), b),
    "a record skipped": lambda a, b: (a, swap(b, 3, ("records", 21, [[0, 2], [0, 4]]))),
    "a record twice for its owner": lambda a, b: (a, swap(b, 3, ("records", 21, [[0, 2], [0, 2], [0, 3]]))),
    "a commit that went back": lambda a, b: (a, swap(b, 1, ("records", 8, [[1, 0], [1, 1]]))),
    "a record that nobody processed": lambda a, b: (a, swap(b, 3, ("records", 21, [[0, 2]]))),
}


def swap(events, at, event):
    return [*events[:at], event, *events[at + 1:]]


def group(plant):
    a, b = plant(A, B) if plant else (A, B)
    stories = [Story("a", [event(*what) for what in a], lapses=[10]), Story("b", [event(*what) for what in b])]
    try:
        judge(stories)
        left = missing([4, 2], stories)
        check(not left, f"{left} were never processed")
    except AssertionError as seen:
        check(plant is not None, str(seen))
        return str(seen)
    check(plant is None, "it went unseen")


def event(name, at, what=None, epoch=None):
    told = {"event": name, "at": at}
    if name == "records":
        told["records"] = what
    elif what is not None:
        told["partitions"] = what
    return told | ({"epoch": epoch} if epoch else {})
