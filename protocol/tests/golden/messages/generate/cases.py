"""Makes values for every message and version from Kafka's message definitions: one JSON object a line.

usage: cases.py DIRECTORY ERRORS > cases.jsonl

DIRECTORY holds the definitions (common/message of the kafka-clients jar), ERRORS what `Golden.java errors` prints.
Each case has the value as Kafka's JSON converters read it, and as Rust's `{:?}` prints our struct: both are made here,
from the definitions alone. The random numbers are seeded by message and version, so a case never changes.
"""

import base64
import glob
import json
import random
import re
import sys
import uuid

# Spoken between Kafka's own brokers and controllers: no messages of ours.
SKIPPED = set(range(4, 8)) | {52, 53, 54, 56, 58, 59, 62, 63, 67, 70, 73} | set(range(80, 88))
# Kafka marks version 6 as unstable.
LAST_VERSION = {"InitProducerIdRequest": 5, "InitProducerIdResponse": 5}
# One file holds request and response, so structs of one name and two forms were renamed.
RENAMED = {
    ("AlterClientQuotasRequest", "EntryData"): "RequestEntryData",
    ("AlterClientQuotasResponse", "EntryData"): "ResponseEntryData",
    ("DescribeQuorumRequest", "TopicData"): "RequestTopicData",
    ("DescribeQuorumRequest", "PartitionData"): "RequestPartitionData",
    ("DescribeQuorumResponse", "TopicData"): "ResponseTopicData",
    ("DescribeQuorumResponse", "PartitionData"): "ResponsePartitionData",
}
INTEGER_BITS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}
ERROR_CODES = [-1, 0, 1, 3, 6, 35, 55, 133]


def definition(path):
    return json.loads(re.sub(r"^\s*//.*$", "", open(path).read(), flags=re.M))


def versions(text):
    if text in (None, "none"):
        return range(0)
    if text.endswith("+"):
        return range(int(text[:-1]), 1 << 15)
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def snake(name):
    name = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name)
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name).lower()
    return {"match": "match_name", "type": "type_name"}.get(name, name)


class Case:
    def __init__(self, message, version, errors, apis):
        self.message, self.version, self.errors, self.apis = message, version, errors, apis
        self.random = random.Random(f"4310-{message['name']}-{version}")
        valid = versions(message["validVersions"])
        self.valid = range(valid[0], LAST_VERSION.get(message["name"], valid[-1]) + 1)
        self.common = {struct["name"]: struct["fields"] for struct in message.get("commonStructs", [])}

    def body(self, fields, name):
        """The structure as JSON and as text; a field that the version lacks shows its default in the text."""
        values, texts = {}, []
        for field in fields:
            present = versions(field["versions"])
            if present[0] > self.valid[-1] or present[-1] < self.valid[0]:
                continue
            if self.version in present:
                value, text = self.value(field)
                values[field["name"][0].lower() + field["name"][1:]] = value
            else:
                text = self.default(field)
            texts.append(f"{snake(field['name'])}: {text}")
        return values, f"{name} {{ {', '.join(texts)} }}" if texts else name

    def is_option(self, field):
        nullable = versions(field.get("nullableVersions"))
        return field["type"] != "records" and bool(nullable) and nullable[-1] >= self.valid[0]

    def value(self, field):
        kind = field["type"]
        if self.version in versions(field.get("nullableVersions")) and self.random.random() < 0.25:
            return None, "Null" if kind == "records" else "None"
        if kind.startswith("[]"):
            count = self.random.choice([1, 2] if "tag" in field else [0, 1, 1, 2])
            elements = [self.single(field, kind[2:]) for _ in range(count)]
            value, text = [e[0] for e in elements], f"[{', '.join(e[1] for e in elements)}]"
        else:
            value, text = self.single(field, kind)
        return value, f"Some({text})" if self.is_option(field) else text

    def single(self, field, kind):
        choose = self.random
        if kind == "int16" and field["name"].endswith("ErrorCode"):
            code = choose.choice(ERROR_CODES)
            return code, f"{self.errors[code]}({code})"
        if self.message["name"] == "ApiVersionsResponse" and field["name"] == "ApiKey":
            key = choose.choice(sorted(self.apis))
            return key, f"{self.apis[key]}({key})"
        if kind in INTEGER_BITS:
            half = 1 << (INTEGER_BITS[kind] - 1)
            value = choose.choice([choose.randrange(-half, half), choose.randrange(1, 100)])
            return value, str(value)
        if kind == "uint16":
            value = choose.randrange(1 << 16)
            return value, str(value)
        if kind == "bool":
            value = choose.random() < 0.5
            return value, str(value).lower()
        if kind == "float64":
            value = choose.randrange(1, 10**6) / 4
            return value, repr(value)
        if kind == "uuid":
            value = bytes(choose.randrange(256) for _ in range(16))
            return base64.urlsafe_b64encode(value).decode().rstrip("="), str(uuid.UUID(bytes=value))
        if kind in ("string", "bytes", "records"):
            length = choose.choice([0, 1, 3, 130] if choose.random() < 0.1 else [1, 2, 4])
            value = "".join(choose.choice("abcdefghij") for _ in range(length))
            if kind == "string":
                return value, f'"{value}"'
            text = f'b"{value}"' if kind == "bytes" else f'Bytes(b"{value}")'
            return base64.b64encode(value.encode()).decode(), text
        return self.structure(field, kind)

    def structure(self, field, kind):
        name = RENAMED.get((self.message["name"], kind), kind)
        return self.body(field["fields"] if "fields" in field else self.common[kind], name)

    def default(self, field):
        kind, default = field["type"], str(field.get("default", ""))
        if default == "null":
            return "None"
        if kind == "records":
            return "Null"
        if kind.startswith("[]"):
            text = "[]"
        elif kind == "int16" and field["name"].endswith("ErrorCode"):
            text = "NONE(0)"
        elif kind in INTEGER_BITS or kind == "uint16":
            text = str(int(default or "0", 0))
        elif kind == "bool":
            text = default.lower() or "false"
        elif kind == "float64":
            text = str(float(default or 0))
        elif kind == "string":
            text = f'"{default}"'
        elif kind == "bytes":
            text = 'b""'
        elif kind == "uuid":
            text = str(uuid.UUID(int=0))
        else:
            of_no_version = Case(self.message, -1, self.errors, self.apis)
            text = of_no_version.structure(field, kind)[1]
        return f"Some({text})" if self.is_option(field) else text


def main(directory, errors_path):
    errors = {int(line.split()[0]): line.split()[1] for line in open(errors_path)}
    messages = [definition(path) for path in glob.glob(f"{directory}/*.json")]
    messages = [message for message in messages if "apiKey" in message]
    apis = {m["apiKey"]: m["name"].removesuffix("Request") for m in messages if m["name"].endswith("Request")}
    for message in sorted(messages, key=lambda message: (message["apiKey"], message["name"])):
        if message["validVersions"] == "none" or message["apiKey"] in SKIPPED:
            continue
        valid = versions(message["validVersions"])
        for version in range(valid[0], LAST_VERSION.get(message["name"], valid[-1]) + 1):
            value, text = Case(message, version, errors, apis).body(message["fields"], message["name"])
            case = {"name": message["name"], "key": message["apiKey"], "version": version, "json": value, "debug": text}
            print(json.dumps(case))


main(*sys.argv[1:])
