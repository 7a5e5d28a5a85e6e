"""Installs what the suites need from package registries, once, into a cache keyed by version.

An installation is built in a directory of its own and renamed when whole, under a lock: an interrupted one leaves
nothing that looks finished, and two runs never build the same tool twice.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent.parent
KAFKA_VERSION = "4.3.1"
MINIO_VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"


class MissingTool(Exception):
    """The machine lacks what an installation needs: the suite is skipped, or fails where nothing may be skipped."""


def cache_dir() -> pathlib.Path:
    chosen = os.environ.get("STRATALOG_CACHE")
    if chosen:
        return pathlib.Path(chosen)
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "stratalog"


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            raise MissingTool(f"`{program}` is not on the PATH")


def digest(*files: pathlib.Path) -> str:
    """A version for what is built from our own sources."""
    total = hashlib.sha256()
    for file in files:
        total.update(file.name.encode() + b"\0" + file.read_bytes())
    return total.hexdigest()[:12]


def installed(name: str, build, log=sys.stderr) -> pathlib.Path:
    """The directory `name` of the cache; `build(directory)` fills it the first time."""
    target = cache_dir() / name
    if target.is_dir():
        return target
    cache_dir().mkdir(parents=True, exist_ok=True)
    with open(cache_dir() / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            return target
        part = cache_dir() / f"{name}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        print(f"installing {name}", file=log, flush=True)
        build(part)
        part.rename(target)
    return target


def step(command, **options) -> str:
    """One command of an installation; its output is returned, and shown only when it fails."""
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{done.stdout[-4000:]}")
    return done.stdout


def kafka_libs() -> pathlib.Path:
    """Apache Kafka's published jars: the broker, its tools, its client."""
    pom = HERE / "clients/java/pom.xml"

    def build(part):
        need("java", "mvn")
        step(["mvn", "-q", "-B", "-f", pom, f"-Dkafka={KAFKA_VERSION}", "dependency:copy-dependencies",
              f"-DoutputDirectory={part}"])

    return installed(f"kafka-{KAFKA_VERSION}-{digest(pom)}", build)


def java_command(*arguments: str, heap: str = "256m") -> list[str]:
    """`java` with Kafka's jars on its class path; quick to start, quiet on its own account."""
    need("java")
    config = HERE / "clients/java/log4j2.properties"
    return ["java", f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
            f"-Dlog4j2.configurationFile={config}", "-cp", f"{kafka_libs()}/*", *arguments]


def java_client(program: str = "Client", heap: str = "512m") -> list[str]:
    sources = [HERE / "clients/java" / f"{name}.java" for name in ("Client", "Member")]
    libs = kafka_libs()

    def build(part):
        need("javac")
        step(["javac", "-cp", f"{libs}/*", "-d", part, *sources])

    classes = installed(f"java-client-{digest(*sources)}", build)
    command = java_command(program, heap=heap)
    command[command.index("-cp") + 1] += f":{classes}"
    return command


def python_client(program: str) -> list[str]:
    requirements = HERE / "clients/python/requirements.txt"

    def build(part):
        step([sys.executable, "-m", "venv", part])
        step([part / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary=:all:",
              "-r", requirements])

    venv = installed(f"python-clients-{digest(requirements)}", build)
    return [str(venv / "bin/python3"), str(HERE / "clients/python" / f"{program}.py")]


def go_client() -> list[str]:
    sources = [HERE / "clients/go" / name for name in ("go.mod", "go.sum", "main.go", "member.go")]

    def build(part):
        need("go")
        step(["go", "build", "-buildvcs=false", "-o", part / "client", "."], cwd=HERE / "clients/go",
             env=os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"})

    return [str(installed(f"go-client-{digest(*sources)}", build) / "client")]


def librdkafka_client(language: str) -> list[str]:
    """`rust`: the rdkafka crate, which builds librdkafka. `c`: C that is linked to the same librdkafka."""
    rust, c = HERE / "clients/rust", HERE / "clients/c"
    sources = [rust / name for name in ("Cargo.toml", "Cargo.lock", "src/main.rs", "src/member.rs", "src/stream.rs")]
    sources += [c / name for name in ("client.h", "client.c", "member.c")]

    def build(part):
        need("cargo", "cc", "make")
        target = part / "target"
        told = step(["cargo", "build", "--release", "--locked", "--message-format=json"], cwd=rust,
                    env=os.environ | {"CARGO_TARGET_DIR": str(target)})
        messages = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
        outputs = [message for message in messages if message["reason"] == "build-script-executed"]
        native = next(pathlib.Path(message["out_dir"]) for message in outputs if "rdkafka-sys" in message["package_id"])
        paths = {path.partition("=")[2] for message in outputs for path in message["linked_paths"]}
        headers = part / "include/librdkafka"
        headers.mkdir(parents=True)
        for name in ("rdkafka.h", "cJSON.h"):
            shutil.copy(native / "src" / name, headers)
        step(["cc", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-isystem", part / "include", "-isystem", headers,
              c / "client.c", c / "member.c", "-o", part / "c", *(f"-L{path}" for path in sorted(paths)),
              native / "src/librdkafka.a", "-lzstd", "-lz", "-lm", "-ldl", "-lrt", "-lpthread"])
        shutil.copy(target / "release/compat-rdkafka", part / "rust")
        shutil.rmtree(target)

    return [str(installed(f"librdkafka-{digest(*sources)}", build) / language)]


def node_client(program: str) -> list[str]:
    """Node finds packages beside the program, so the program is copied to them."""
    sources = [HERE / "clients/node" / name for name in ("package.json", f"{program}.js")]

    def build(part):
        need("node", "npm")
        for source in sources:
            shutil.copy(source, part)
        step(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--omit=dev"], cwd=part)

    return ["node", str(installed(f"node-{program}-{digest(*sources)}", build) / f"{program}.js")]


def minio() -> pathlib.Path:
    """MinIO's server, a process apart. Its Go caches (1 GB) are not kept."""

    def build(part):
        need("go")
        scratch = part / "scratch"
        env = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-p=2 -buildvcs=false", "GOBIN": str(part),
                            "GOMODCACHE": str(scratch / "mod"), "GOCACHE": str(scratch / "build")}
        step(["go", "install", f"github.com/minio/minio@{MINIO_VERSION}"], env=env)
        step(["go", "clean", "-modcache"], env=env)
        shutil.rmtree(scratch, ignore_errors=True)

    return installed(f"minio-{MINIO_VERSION}", build) / "minio"


def strace() -> str:
    """The machine's own, or Debian's package unpacked beside it."""
    own = shutil.which("strace")
    if own:
        return own

    def build(part):
        need("apt-get", "dpkg")
        # Without lists of packages the first try fails; updating them needs root.
        fetch = f"cd '{part}' && (apt-get download -q strace || (apt-get update -q && apt-get download -q strace))"
        step(["bash", "-c", f"{fetch} && dpkg -x strace_*.deb ."])

    return str(installed("strace", build) / "usr/bin/strace")


INSTALLERS = {
    "kafka": kafka_libs,
    "java-client": java_client,
    "python-clients": lambda: python_client("confluent"),
    "go-client": go_client,
    "librdkafka": lambda: librdkafka_client("c"),
    "node-member": lambda: node_client("member"),
    "minio": minio,
    "strace": strace,
}


def main(names) -> int:
    """`python3 -m harness.tools NAME…`: installs ahead of time, for CI's background."""
    for name in names or INSTALLERS:
        with contextlib.redirect_stdout(sys.stderr):
            INSTALLERS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
