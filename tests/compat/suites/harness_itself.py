"""The comparison the other suites rest on: each way in which records can differ is planted once and must be seen."""

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
