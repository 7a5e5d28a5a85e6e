"""kafka_exporter, unmodified, shows the right lag on us.

No registry gives out a tool that fits, so none is installed here: `STRATALOG_KAFKA_EXPORTER` names the program. The Go
module proxy refuses kafka_exporter, Burrow and kminion. Debian's Burrow is 1.2.1: it asks for ListOffsets 0 and reads
committed offsets up to version 3 of their value, so it shows no group of Apache Kafka 4.3.1 either.
"""

import os
import re
import time
import urllib.error
import urllib.request

from harness import broker as brokers, clients, processes
from harness.group_wire import Peer
from harness.records import DataSet
from harness.report import Report, Skip, check

TOPIC = "lag-tools"
NONE = 0
TIMEOUT_S = 60


def run(report: Report, options) -> None:
    program = os.environ.get("STRATALOG_KAFKA_EXPORTER")
    if not program:
        raise Skip("STRATALOG_KAFKA_EXPORTER names no kafka_exporter")
    scratch = options.work_dir / "lag-tools"
    with brokers.make(options.broker, scratch / "broker") as broker:
        report.case("lag_tools/kafka_exporter", exporter, broker, DataSet(scratch / "data", 1 << 20), program)


def exporter(broker, data, program):
    clients.create_topics(broker.bootstrap, [TOPIC], len(data.counts), {})
    clients.run("librdkafka", broker.bootstrap, [{"op": "produce", "topic": TOPIC, "codec": "none",
                                                  "input": str(data.input)}])
    end = data.counts[0]
    check(end > 10, f"only {end} records in partition 0")
    with (Peer(broker.bootstrap, "lagging", TIMEOUT_S) as lagging,
          Peer(broker.bootstrap, "caught-up", TIMEOUT_S) as level):
        ready(lagging)
        for peer, offset in ((lagging, 7), (level, end)):
            member = peer.join().answer()["member"]
            generation = peer.join(member).answer()["generation"]
            check(peer.sync(member, generation, [(member, b"")]).answer()["error"] == NONE, "not synced")
            error = peer.commit(TOPIC, offset, member=member, generation=generation).answer()["error"]
            check(error == NONE, f"the commit of {offset}: {error}")
        port = brokers.free_port()
        address = f"127.0.0.1:{port}"
        child = processes.spawn([program, f"--kafka.server={broker.bootstrap}", f"--web.listen-address={address}"])
        try:
            text = scrape(f"http://{address}/metrics")
        finally:
            processes.stop(child)
    lags = values(text, "kafka_consumergroup_lag")
    check(lags.get(("lagging", "0")) == end - 7, f"lagging by {end - 7}: {lags}")
    check(lags.get(("caught-up", "0")) == 0, f"caught up: {lags}")
    offsets = values(text, "kafka_consumergroup_current_offset")
    check(offsets.get(("lagging", "0")) == 7 and offsets.get(("caught-up", "0")) == end, f"{offsets}")
    members = {group: int(float(count)) for group, count in
               re.findall(r'^kafka_consumergroup_members\{consumergroup="([^"]+)"\} (\S+)$', text, re.MULTILINE)}
    check(members.get("lagging") == 1, f"{members}")
    return f"lag {end - 7} and 0 of {end}"


def ready(peer):
    deadline = time.monotonic() + TIMEOUT_S
    while peer.coordinator_ready().answer()["error"] != NONE or peer.join("stranger").answer()["error"] in (14, 15, 16):
        check(time.monotonic() < deadline, "no coordinator")
        time.sleep(0.1)


def scrape(url) -> str:
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, ConnectionError):
            check(time.monotonic() < deadline, "the exporter does not answer")
            time.sleep(0.1)


def values(text, name) -> dict[tuple[str, str], int]:
    """By group and partition, of our topic."""
    found = {}
    for labels, value in re.findall(rf"^{name}\{{([^}}]*)\}} (\S+)$", text, re.MULTILINE):
        label = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if label["topic"] == TOPIC:
            found[label["consumergroup"], label["partition"]] = int(float(value))
    return found
