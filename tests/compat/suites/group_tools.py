"""Apache Kafka's own tools for groups, run unchanged: ConsumerGroupCommand, GroupsCommand, the console consumer in a
group and with the formatters of `__consumer_offsets`, the consumer performance tool.

What is expected is what they print of Apache Kafka 4.3.1: `run.py group_tools --broker kafka` proves it.
"""

import json
import subprocess
import tempfile
import time

from harness import broker as brokers, clients, processes, tools
from harness.report import Report, check

TOPIC = "group-tools"
RECORDS = 15
ENDS = {0: 10, 1: 5}  # where Kafka's hash puts the keys k1 to k15
CONSOLE = "org.apache.kafka.tools.consumer.ConsoleConsumer"
GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
FORMATTER = "org.apache.kafka.tools.consumer."
TIMEOUT_S = 120


def run(report: Report, options) -> None:
    tools.need("java")
    tools.kafka_libs()
    settings = {"group.initial.rebalance.delay.ms": "0"}
    with brokers.make(options.broker, options.work_dir / "group-tools", settings=settings) as broker:
        GroupTools(report, broker).run()


class GroupTools:
    def __init__(self, report, broker):
        self.report, self.broker = report, broker

    def run(self):
        clients.create_topics(self.broker.bootstrap, [TOPIC], 2, {})
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as text:
            text.writelines(f"k{number}|value {number}\n" for number in range(1, RECORDS + 1))
            text.flush()
            with open(text.name) as source:
                self.tool("org.apache.kafka.tools.ConsoleProducer", "--topic", TOPIC, "--reader-property",
                          "parse.key=true", "--reader-property", "key.separator=|", stdin=source)
        for protocol in ("classic", "consumer"):
            self.report.case(f"group_tools/ConsoleConsumer in a {protocol} group", self.console, protocol)
            self.report.case(f"group_tools/ConsumerGroupCommand describes a live {protocol} group", self.live, protocol)
        self.report.case("group_tools/ConsumerGroupCommand lists; GroupsCommand", self.listed)
        self.report.case("group_tools/ConsumerGroupCommand resets offsets", self.reset)
        self.report.case("group_tools/formatters of __consumer_offsets", self.formatters)
        self.report.case("group_tools/ConsumerGroupCommand deletes offsets and groups", self.delete)
        self.report.case("group_tools/ConsumerPerformance", self.performance)

    def tool(self, name, *arguments, **options) -> str:
        command = tools.java_command(name, "--bootstrap-server", self.broker.bootstrap, *arguments)
        done = processes.run(command, TIMEOUT_S, **options)
        check(done.returncode == 0, f"{name} {' '.join(arguments)}: exit code {done.returncode}\n"
                                    f"{done.stdout[-1500:]}{done.stderr[-1500:]}")
        return done.stdout

    def groups(self, *arguments) -> str:
        return self.tool(GROUPS, *arguments)

    def rows(self, *arguments) -> list[dict[str, str]]:
        return table(self.groups(*arguments))

    def offsets(self, group) -> dict[int, tuple[str, str, str]]:
        """Committed, end and lag of each partition, as `--describe` prints them."""
        return {int(row["PARTITION"]): (row["CURRENT-OFFSET"], row["LOG-END-OFFSET"], row["LAG"])
                for row in self.rows("--describe", "--group", group)}

    def console(self, protocol):
        out = self.tool(CONSOLE, "--topic", TOPIC, "--group", protocol, "--from-beginning", "--max-messages",
                        str(RECORDS), "--timeout-ms", "60000", "--command-property", f"group.protocol={protocol}")
        wanted = sorted(f"value {number}" for number in range(1, RECORDS + 1))
        check(sorted(out.splitlines()) == wanted, f"it read {out!r}")
        got = self.offsets(protocol)
        check(got == {p: (str(end), str(end), "0") for p, end in ENDS.items()}, f"described as {got}")

    def live(self, protocol):
        command = tools.java_command(CONSOLE, "--bootstrap-server", self.broker.bootstrap, "--topic", TOPIC, "--group",
                                     protocol, "--command-property", f"group.protocol={protocol}")
        child = processes.spawn(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            state = self.settled(protocol)
            members = self.rows("--describe", "--group", protocol, "--members", "--verbose")
            offsets = self.rows("--describe", "--group", protocol, "--offsets", "--verbose")
            refused = self.groups("--reset-offsets", "--group", protocol, "--topic", TOPIC, "--to-earliest",
                                  "--execute")
        finally:
            processes.stop(child)
        strategy = {"classic": "range", "consumer": "uniform"}[protocol]
        check((state["ASSIGNMENT-STRATEGY"], state["#MEMBERS"]) == (strategy, "1"), f"state: {state}")
        check(len(members) == 1, f"members: {members}")
        member = members[0]
        check(member["CURRENT-ASSIGNMENT"] == f"{TOPIC}:0,1" and member["#PARTITIONS"] == "2", f"member: {member}")
        check(member["HOST"] == "/127.0.0.1" and member["CLIENT-ID"] == "console-consumer", f"member: {member}")
        check({row["CONSUMER-ID"] for row in offsets} == {member["CONSUMER-ID"]}, f"offsets: {offsets}")
        epochs = [(row["PARTITION"], row["LEADER-EPOCH"], row["LAG"]) for row in offsets]
        check(epochs == [("0", "0", "0"), ("1", "0", "0")], f"leader epochs and lags: {epochs}")
        message = (f"Assignments can only be reset if the group '{protocol}' is inactive, "
                   "but the current state is Stable.")
        check(message in refused, f"a reset under a live member: {refused}")
        deadline = time.monotonic() + TIMEOUT_S
        while self.state(protocol)["STATE"] != "Empty":
            check(time.monotonic() < deadline, "the group is not empty after its member left")

    def state(self, group):
        return self.rows("--describe", "--group", group, "--state", "--verbose")[0]

    def settled(self, group):
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            state = self.state(group)
            if state["STATE"] == "Stable":
                return state
            check(time.monotonic() < deadline, f"not stable: {state}")

    def listed(self):
        names = ["classic", "consumer"]
        check(sorted(self.groups("--list").split()) == names, self.groups("--list"))
        states = {row["GROUP"]: row["STATE"] for row in self.rows("--list", "--state")}
        check(states == dict.fromkeys(names, "Empty"), f"states {states}")
        stable = self.groups("--list", "--state", "Stable")
        check(not set(names) & set(stable.split()), f"listed as stable: {stable}")
        types = {row["GROUP"]: row["TYPE"] for row in self.rows("--list", "--type")}
        check(types == {"classic": "Classic", "consumer": "Consumer"}, f"types {types}")
        found = {row["GROUP"]: (row["TYPE"], row["PROTOCOL"])
                 for row in table(self.tool("org.apache.kafka.tools.GroupsCommand", "--list"))}
        wanted = {"classic": ("Classic", "consumer"), "consumer": ("Consumer", "consumer")}
        check(found == wanted, f"GroupsCommand {found}")

    def plan(self, *arguments) -> dict[int, int]:
        rows = self.rows("--reset-offsets", "--group", "classic", *arguments)
        return {int(row["PARTITION"]): int(row["NEW-OFFSET"]) for row in rows}

    def reset(self):
        topic = ("--topic", TOPIC)
        check(self.plan(*topic, "--to-earliest", "--dry-run") == {0: 0, 1: 0}, "to-earliest")
        check(self.offsets("classic")[0][0] == "10", "a dry run set offsets")
        check(self.plan(*topic, "--to-offset", "7", "--execute") == {0: 7, 1: 5}, "to-offset")
        check(self.offsets("classic") == {0: ("7", "10", "3"), 1: ("5", "5", "0")}, f"{self.offsets('classic')}")
        check(self.plan("--all-topics", "--shift-by", "-2", "--execute") == {0: 5, 1: 3}, "shift-by")
        check(self.plan("--topic", f"{TOPIC}:1", "--by-duration", "PT1H", "--dry-run") == {1: 0}, "by-duration")
        check(self.plan(*topic, "--to-datetime", "2101-01-01T00:00:00.000", "--dry-run") == ENDS, "to-datetime")
        csv = self.groups("--reset-offsets", "--group", "classic", "--all-topics", "--to-current", "--export",
                          "--dry-run")
        lines = [line for line in csv.splitlines() if line.count(",") == 2]
        with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
            file.write("\n".join(lines).replace(",0,5", ",0,6") + "\n")
            file.flush()
            check(self.plan("--from-file", file.name, "--execute") == {0: 6, 1: 3}, f"from-file of {lines}")
        check(self.offsets("classic") == {0: ("6", "10", "4"), 1: ("3", "5", "2")}, f"{self.offsets('classic')}")

    def internal(self, formatter) -> list[dict]:
        out = self.tool(CONSOLE, "--topic", "__consumer_offsets", "--from-beginning", "--timeout-ms", "10000",
                        "--formatter", FORMATTER + formatter)
        # One document after the other, no line ends between them.
        decoder, at, records = json.JSONDecoder(), out.find("{"), []
        while at >= 0:
            record, end = decoder.raw_decode(out, at)
            records.append(record)
            at = out.find("{", end)
        return records

    def formatters(self):
        last = {}
        for record in self.internal("OffsetsMessageFormatter"):
            key = record["key"]["data"]
            last[key["group"], key["topic"], key["partition"]] = (record["value"] or {}).get("data", {}).get("offset")
        wanted = {("classic", TOPIC, 0): 6, ("classic", TOPIC, 1): 3,
                  ("consumer", TOPIC, 0): ENDS[0], ("consumer", TOPIC, 1): ENDS[1]}
        check(last == wanted, f"offsets in the topic: {last}")
        groups = [record for record in self.internal("GroupMetadataMessageFormatter")
                  if record["key"]["data"]["group"] == "classic"]
        check(groups, "no metadata of the classic group")
        value = groups[-1]["value"]["data"]
        check(value["protocolType"] == "consumer" and value["members"] == [], f"its last metadata: {value}")

    def delete(self):
        out = self.groups("--delete-offsets", "--group", "classic", "--topic", f"{TOPIC}:1")
        check("Request succeeded for deleting offsets from group classic." in out, out)
        check(self.offsets("classic") == {0: ("6", "10", "4")}, f"{self.offsets('classic')}")
        out = self.groups("--delete", "--group", "classic")
        check("Deletion of requested consumer groups ('classic') was successful." in out, out)
        listed = self.groups("--list").split()
        check("consumer" in listed and "classic" not in listed, f"listed after deletion: {listed}")
        check("does not exist" in self.groups("--delete", "--group", "classic"), "a group deleted twice")

    def performance(self):
        out = self.tool("org.apache.kafka.tools.ConsumerPerformance", "--topic", TOPIC, "--group", "performance",
                        "--num-records", str(RECORDS), "--timeout", "60000")
        header, values = [line.split(", ") for line in out.splitlines() if line.count(", ") > 5]
        read = dict(zip(header, values, strict=True))["data.consumed.in.nMsg"]
        check(int(read) == RECORDS, f"it read {read}")


def table(text: str) -> list[dict[str, str]]:
    """The rows of the last table: cells hold no blanks but that in front of a coordinator's number."""
    lines = [line.replace("  (", "(").replace(" (ID)", "(ID)").split() for line in text.splitlines() if line.strip()]
    starts = [at for at, cells in enumerate(lines) if cells[0] == "GROUP"]
    check(starts, f"no table in {text!r}")
    header = lines[starts[-1]]
    return [dict(zip(header, cells)) for cells in lines[starts[-1] + 1:]]
