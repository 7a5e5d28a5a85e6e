"""Cases, counted and printed as they finish."""

import sys
import time
import traceback

from . import tools


class Skip(Exception):
    """The case cannot run here; the message says why."""


class Report:
    def __init__(self, only: str | None = None, require_all: bool = False):
        """`only`: cases whose name holds it. `require_all`: a missing tool is a failure, not a skip."""
        self.passed = self.failed = self.skipped = 0
        self.only = only
        self.skips = (Skip,) if require_all else (Skip, tools.MissingTool)

    def wanted(self, name: str) -> bool:
        return not self.only or self.only in name

    def case(self, name: str, body, *arguments) -> bool:
        """Runs `body`; a failure is printed and counted, and the next case runs. True when it passed."""
        if not self.wanted(name):
            return False
        began = time.monotonic()
        try:
            note = body(*arguments)
        except self.skips as reason:
            self.skipped += 1
            self._line("skip", name, began, str(reason))
            return False
        except Exception as error:
            self.failed += 1
            self._line("FAIL", name, began, f"{type(error).__name__}: {error}")
            if not isinstance(error, AssertionError):
                traceback.print_exc(limit=-4, file=sys.stdout)
            return False
        self.passed += 1
        self._line("ok", name, began, note or "")
        return True

    def suite(self, name: str, body, options) -> None:
        """A suite that cannot even start counts as one case."""
        try:
            body(self, options)
        except self.skips as reason:
            self.skipped += 1
            print(f"skip {name}: {reason}", flush=True)
        except Exception as error:
            self.failed += 1
            print(f"FAIL {name}: {type(error).__name__}: {error}", flush=True)
            traceback.print_exc(limit=-4, file=sys.stdout)

    def _line(self, verdict: str, name: str, began: float, note: str) -> None:
        seconds = time.monotonic() - began
        took = f" ({seconds:.1f} s)" if seconds >= 0.1 else ""
        print(f"{verdict:4} {name}{took} {note}".rstrip(), flush=True)

    def summary(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def check(condition, message: str) -> None:
    """An assertion that stays under `python -O` and always says what it saw."""
    if not condition:
        raise AssertionError(message)
