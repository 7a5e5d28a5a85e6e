"""Apache Kafka's own command-line tools, run unchanged by class name: they ask our broker and read our files."""

import contextlib
import re
import tempfile

from harness import broker as brokers, clients, processes, tools
from harness.records import PARTITIONS, DataSet
from harness.report import Report, check

TOPIC = "apache-tools"
CONSOLE = "apache-console"
TIMEOUT_S = 90

# What DumpLogSegments prints when a file does not hold together.
COMPLAINTS = ("Mismatches in", "Non-consecutive offsets", "not found in log", "Found timestamp mismatch",
              "Found out of order timestamp", "does not match", "isvalid: false", "Exception", "is corrupt",
              "Index timestamp", "invalid bytes")


def run(report: Report, options) -> None:
    tools.need("java")
    tools.kafka_libs()
    scratch = options.work_dir / "apache-tools"
    with brokers.make(options.broker, scratch / "broker") as broker:
        ApacheTools(report, broker, DataSet(scratch / "data", 3 << 20)).run()


class ApacheTools:
    def __init__(self, report, broker, data):
        self.report, self.broker, self.data = report, broker, data

    def run(self):
        self.report.case("apache_tools/TopicCommand creates, lists, describes, grows, deletes", self.topic_command)
        configs = {"segment.bytes": str(1 << 20), "retention.ms": "-1", "index.interval.bytes": "1024"}
        if self.broker.tiers:
            configs["remote.storage.enable"] = "true"
        clients.create_topics(self.broker.bootstrap, [TOPIC], PARTITIONS, configs)
        clients.run("java", self.broker.bootstrap, [{"op": "produce", "topic": TOPIC, "codec": codec,
                                                     "input": str(self.data.input)} for codec in ("none", "zstd")])
        self.report.case("apache_tools/GetOffsetShell, all six times", self.offsets)
        self.report.case("apache_tools/ConsoleProducer to ConsoleConsumer by partition", self.console)
        self.report.case("apache_tools/BrokerApiVersionsCommand", self.api_versions)
        self.report.case("apache_tools/ConfigCommand describes and alters", self.config_command)
        self.report.case("apache_tools/DeleteRecordsCommand", self.delete_records)
        self.report.case("apache_tools/LogDirsCommand", self.log_dirs)
        self.report.case("apache_tools/DumpLogSegments of a running broker's segments", self.dump, {".log"})
        self.broker.stop()
        self.report.case("apache_tools/DumpLogSegments of segments, indexes, snapshots after a clean stop", self.dump,
                         {".log", ".index", ".timeindex", ".txnindex", ".snapshot"})
        self.broker.restart()
        if self.broker.tiers:
            self.report.case("apache_tools/GetOffsetShell over two tiers", self.tiered_offsets)

    def tool(self, name, *arguments, stdin=None) -> str:
        opened = open(stdin) if stdin else contextlib.nullcontext()
        with opened as source:
            options = {"stdin": source} if source else {}
            done = processes.run(tools.java_command(name, *arguments), TIMEOUT_S, **options)
        check(done.returncode == 0, f"{name} {' '.join(arguments)}: exit code {done.returncode}\n"
                                    f"{done.stdout[-1500:]}{done.stderr[-1500:]}")
        return done.stdout

    def client_tool(self, name, *arguments, **options) -> str:
        return self.tool(name, "--bootstrap-server", self.broker.bootstrap, *arguments, **options)

    def topic_command(self):
        def command(*arguments):
            return self.client_tool("org.apache.kafka.tools.TopicCommand", *arguments)

        command("--create", "--topic", "made.by.apache", "--partitions", "2", "--replication-factor", "1",
                "--config", "retention.ms=3600000")
        check("made.by.apache" in command("--list").splitlines(), "the topic is not listed")
        command("--alter", "--topic", "made.by.apache", "--partitions", "5")
        described = command("--describe", "--topic", "made.by.apache")
        check("PartitionCount: 5" in described and "ReplicationFactor: 1" in described, described)
        check("retention.ms=3600000" in described, described)
        check(len(re.findall(r"Partition: \d+\s+Leader: \d+\s+Replicas: \d+\s+Isr: \d+", described)) == 5, described)
        command("--delete", "--topic", "made.by.apache")
        check("made.by.apache" not in command("--list").splitlines(), "the deleted topic is still listed")

    def offset_shell(self, time) -> dict[int, int]:
        out = self.client_tool("org.apache.kafka.tools.GetOffsetShell", "--topic-partitions", f"{TOPIC}:0-{PARTITIONS}",
                               "--time", str(time))
        found = re.findall(rf"^{TOPIC}:(\d+):(-?\d+)$", out, re.MULTILINE)
        return {int(partition): int(offset) for partition, offset in found}

    def ends(self):
        return {partition: 2 * count for partition, count in enumerate(self.data.counts)}

    def offsets(self):
        starts = dict.fromkeys(range(PARTITIONS), 0)
        check(self.offset_shell(-1) == self.ends(), f"-1 latest: {self.offset_shell(-1)}, sent {self.ends()}")
        check(self.offset_shell(-2) == starts, f"-2 earliest: {self.offset_shell(-2)}")
        largest = self.offset_shell(-3)
        check(len(largest) == PARTITIONS and all(0 <= at < self.ends()[p] for p, at in largest.items()),
              f"-3 max timestamp: {largest}")
        check(self.offset_shell(-4) == starts, f"-4 earliest local: {self.offset_shell(-4)}")
        # Nothing is tiered yet, or may be by now: the newest tiered offset is unknown or one of ours.
        for time, name in ((-5, "latest tiered"), (-6, "earliest pending upload")):
            for partition, offset in self.offset_shell(time).items():
                check(-1 <= offset <= self.ends()[partition], f"{time} {name}: partition {partition} at {offset}")
        at_time = self.offset_shell(1_760_000_000_000)
        check(all(at_time[partition] >= 0 for partition in starts), f"by timestamp: {at_time}")

    def tiered_offsets(self):
        self.broker.flush(TOPIC)
        self.broker.evict(TOPIC)
        ends, starts = self.ends(), self.offset_shell(-2)
        local, tiered, pending = self.offset_shell(-4), self.offset_shell(-5), self.offset_shell(-6)
        check(self.offset_shell(-1) == ends, f"-1 latest: {self.offset_shell(-1)}, sent {ends}")
        check(local == ends, f"-4 earliest local: {local} with all evicted, the ends are {ends}")
        check(tiered == {partition: end - 1 for partition, end in ends.items()}, f"-5 latest tiered: {tiered}")
        check(all(offset in (ends[partition], -1) for partition, offset in pending.items()), f"-6 pending: {pending}")
        check(starts[1] == 0, f"-2 earliest: {starts}")

    def console(self):
        self.client_tool("org.apache.kafka.tools.TopicCommand", "--create", "--topic", CONSOLE, "--partitions", "2",
                         "--replication-factor", "1")
        lines = [f"key {number}|a line of text, number {number}, with words in it" for number in range(2000)]
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as text:
            text.write("\n".join(lines) + "\n")
            text.flush()
            self.client_tool("org.apache.kafka.tools.ConsoleProducer", "--topic", CONSOLE, "--reader-property",
                             "parse.key=true", "--reader-property", "key.separator=|", stdin=text.name)
        got = []
        for partition in range(2):
            out = self.client_tool("org.apache.kafka.tools.consumer.ConsoleConsumer", "--topic", CONSOLE,
                                   "--partition", str(partition), "--offset", "earliest", "--timeout-ms", "4000",
                                   "--formatter-property", "print.key=true",
                                   "--formatter-property", "key.separator=|")
            numbers = [int(line.split("|")[0].split()[1]) for line in out.splitlines()]
            check(numbers == sorted(numbers), f"partition {partition} is out of order")
            got += out.splitlines()
        check(sorted(got) == sorted(lines), f"{len(got)} lines back of {len(lines)}")
        # An offset in the middle, a count.
        out = self.client_tool("org.apache.kafka.tools.consumer.ConsoleConsumer", "--topic", TOPIC, "--partition", "1",
                               "--offset", "1000", "--max-messages", "3", "--formatter-property", "print.offset=true")
        check([line.split("\t")[0] for line in out.splitlines()] == ["Offset:1000", "Offset:1001", "Offset:1002"], out)

    def api_versions(self):
        out = self.client_tool("org.apache.kafka.tools.BrokerApiVersionsCommand")
        served = re.findall(r"^\s+(\w+)\((\d+)\): (\d+)(?: to (\d+))?", out, re.MULTILINE)
        names = {name for name, *_ in served}
        check({"Produce", "Fetch", "ListOffsets", "Metadata", "ApiVersions"} <= names, f"only {sorted(names)}")
        return f"{len(served)} APIs"

    def config_command(self):
        def command(*arguments):
            return self.client_tool("kafka.admin.ConfigCommand", "--entity-type", "topics", "--entity-name", TOPIC,
                                    *arguments)

        command("--alter", "--add-config", "max.message.bytes=2000000")
        check("max.message.bytes=2000000" in command("--describe"), command("--describe"))
        command("--alter", "--delete-config", "max.message.bytes")
        check("max.message.bytes=2000000" not in command("--describe"), command("--describe"))
        check("segment.bytes=1048576" in command("--describe", "--all"), command("--describe", "--all"))

    def delete_records(self):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as plan:
            plan.write('{"partitions":[{"topic":"%s","partition":0,"offset":100}],"version":1}' % TOPIC)
            plan.flush()
            out = self.client_tool("org.apache.kafka.tools.DeleteRecordsCommand", "--offset-json-file", plan.name)
        check("low_watermark: 100" in out, out)
        check(self.offset_shell(-2)[0] == 100, f"earliest is {self.offset_shell(-2)}")

    def log_dirs(self):
        out = self.client_tool("org.apache.kafka.tools.LogDirsCommand", "--describe", "--topic-list", TOPIC)
        sizes = [int(size) for size in re.findall(r'"size":(\d+)', out)]
        check(len(sizes) == PARTITIONS and all(sizes), out)

    def dump(self, kinds):
        """Deep iteration over our files: no complaint, and every record that was sent is counted once."""
        counted = {}
        for directory in sorted(self.broker.data_dir.glob(f"**/{TOPIC}-[0-9]*")):
            files = sorted(file for file in directory.iterdir() if file.suffix in kinds and file.stat().st_size > 0)
            check(any(file.suffix == ".log" for file in files), f"no segment in {directory}")
            if ".index" in kinds:
                present = {file.suffix for file in files}
                check({".index", ".timeindex", ".snapshot"} <= present, f"{directory.name} holds only {present}")
            out = self.tool("org.apache.kafka.tools.DumpLogSegments", "--deep-iteration", "--print-data-log", "--files",
                            ",".join(map(str, files)))
            for complaint in COMPLAINTS:
                at = out.find(complaint)
                check(at < 0, f"{directory.name}: {out[max(at - 300, 0):at + 300]}")
            partition = int(directory.name.rpartition("-")[2])
            counted[partition] = len(re.findall(r"^\| offset: \d+", out, re.MULTILINE))
        wanted = self.ends()
        check(counted == wanted, f"records counted {counted}, sent {wanted}")
        return f"{sum(counted.values())} records"
