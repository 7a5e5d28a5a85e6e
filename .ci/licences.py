#!/usr/bin/env python3
"""Licences and sources of every crate in the lock file, by the lists of deny.toml.

`cargo deny check licenses bans sources` reads the same file and says more; it takes minutes to build, this takes none.
"""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent


def allowed(expression: str, allow: set[str]) -> bool:
    """Whether an SPDX expression can be met from `allow`: AND binds tighter than OR, `/` is an old OR."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))

    def either():
        met = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            met = both() or met
        return met

    def both():
        met = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            met = one() and met
        return met

    def one():
        token = tokens.pop(0)
        if token == "(":
            met = either()
            tokens.pop(0)
            return met
        if tokens and tokens[0] == "WITH":
            tokens.pop(0)
            token = f"{token} WITH {tokens.pop(0)}"
        return token in allow

    return either()


def main() -> int:
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    allow = set(rules["licenses"]["allow"])
    found = subprocess.run(["cargo", "metadata", "--format-version", "1", "--locked"], cwd=ROOT, check=True,
                           stdout=subprocess.PIPE)
    packages = json.loads(found.stdout)["packages"]
    complaints = []
    for package in packages:
        name = f"{package['name']} {package['version']}"
        if not package["license"]:
            complaints.append(f"{name}: no licence expression")
        elif not allowed(package["license"], allow):
            complaints.append(f"{name}: {package['license']}")
        if (package["source"] or "").startswith("git+"):
            complaints.append(f"{name}: from a git repository")
    print("\n".join(complaints) or f"{len(packages)} crates, all under licences of deny.toml")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
