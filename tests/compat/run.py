#!/usr/bin/env python3
"""Runs compat suites against a broker and prints `N passed, N failed, N skipped`; exit code 1 when a case failed.

    tests/compat/run.py                              all suites, Stratalog's release binary, the small form
    tests/compat/run.py real_records --stores files --clients java,franz-go
    tests/compat/run.py --broker kafka bad_input     the same suite against Apache Kafka, to prove the suite

Needs Python 3.11; Java 17, Maven, Go, Node, Rust and make for the clients and tools written in them. All else is installed
from package registries into STRATALOG_CACHE (default: a folder under the user's cache) on first use.
"""

import argparse
import importlib
import pathlib
import random
import signal
import sys
import tempfile

from harness import clients, processes
from harness.report import Report

SUITES = ("harness_itself", "bad_input", "bad_store", "faults", "compaction", "killed_cleaner", "read_committed",
          "apache_tools", "times", "real_records", "classic_groups", "crowd", "subscribe", "migration", "group_tools",
          "lag_tools", "readme")


def sizes(text: str) -> list[int]:
    return [size(part) for part in text.split(",")]


def size(text: str) -> int:
    units = {"k": 10, "m": 20, "g": 30}
    unit = text[-1:].lower()
    return int(text[:-1]) << units[unit] if unit in units else int(text)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", default=[], help=f"of: {', '.join(SUITES)} (default: all)")
    parser.add_argument("--broker", choices=("stratalog", "kafka"), default="stratalog")
    parser.add_argument("--only", help="run the cases whose name holds this text")
    parser.add_argument("--stores", type=lambda t: t.split(","), default=["files"], help="files,minio")
    parser.add_argument("--clients", type=lambda t: t.split(","), default=list(clients.COMMANDS))
    parser.add_argument("--codecs", type=lambda t: t.split(","), default=list(clients.CODECS))
    parser.add_argument("--segment-bytes", type=sizes, default=[1 << 20], help="one or more, as 1m,64m")
    parser.add_argument("--bytes-per-topic", type=size, default=0, help="repeat the records up to this (64m, 1g)")
    parser.add_argument("--kills", type=int, default=2, help="kill -9 in uploads, and as many in replays")
    parser.add_argument("--long", action="store_true", help="subscribe: each case hot and cold, more turns, more kills")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--timeout-s", type=int, default=120, help="limit of a single client's job")
    parser.add_argument("--require-all", action="store_true", help="a tool that is missing is a failure (CI)")
    parser.add_argument("--work-dir", type=pathlib.Path, default=None, help="where brokers keep data (a temp folder)")
    options = parser.parse_args(arguments)
    for suite in options.suites:
        if suite not in SUITES:
            parser.error(f"no suite called {suite}: {', '.join(SUITES)}")
    options.suites = options.suites or list(SUITES)
    options.seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    return options


def main() -> int:
    options = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = Report(options.only, options.require_all)
    try:
        with tempfile.TemporaryDirectory(prefix="stratalog-compat-", dir=options.work_dir) as scratch:
            options.work_dir = pathlib.Path(scratch)
            for name in options.suites:
                suite = importlib.import_module(f"suites.{name}")
                report.suite(name, suite.run, options)
    finally:
        processes.stop_all()
    print(report.summary(), flush=True)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
