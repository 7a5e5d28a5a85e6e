"""Object stores for the broker under test: files in its data directory, or a MinIO of our own."""

import contextlib
import hashlib
import hmac
import http.client
import pathlib
import time

from . import processes, tools
from .broker import StartError, free_port

USER = PASSWORD = "minioadmin"
REGION = "us-east-1"
BUCKET = "stratalog"


@contextlib.contextmanager
def make(kind: str, directory: pathlib.Path):
    if kind == "files":
        yield Files(directory)
    elif kind == "minio":
        with Minio(directory) as server:
            yield server
    else:
        raise ValueError(f"no store called {kind}: files, minio")


class Files:
    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def settings(self) -> dict[str, str]:
        return {"stratalog.tier.url": f"file://{self.directory}"}


class Minio:
    """MinIO with an empty bucket, on a free port unless one is named."""

    def __init__(self, directory: pathlib.Path, bucket: str = BUCKET, port: int | None = None):
        self.directory = directory
        self.bucket = bucket
        self.port = port or free_port()
        self.process = None

    endpoint = property(lambda self: f"http://127.0.0.1:{self.port}")

    def settings(self) -> dict[str, str]:
        return {
            "stratalog.tier.url": f"s3://{self.bucket}/compat", "stratalog.tier.s3.endpoint": self.endpoint,
            "stratalog.tier.s3.region": REGION,
            "stratalog.tier.s3.access.key.id": USER, "stratalog.tier.s3.secret.access.key": PASSWORD,
        }

    def start(self) -> None:
        (self.directory / "data").mkdir(parents=True, exist_ok=True)
        (self.directory / "certs").mkdir(exist_ok=True)
        env = {"HOME": str(self.directory), "MINIO_ROOT_USER": USER, "MINIO_ROOT_PASSWORD": PASSWORD,
               "MINIO_BROWSER": "off", "MINIO_UPDATE": "off", "MINIO_CI_CD": "1", "PATH": "/usr/bin:/bin"}
        log_file = self.directory / "server.log"
        with open(log_file, "ab") as log:
            self.process = processes.spawn(
                [tools.minio(), "server", self.directory / "data", "--address", f"127.0.0.1:{self.port}",
                 "--certs-dir", self.directory / "certs", "--quiet"], stdout=log, stderr=log, env=env)
        deadline = time.monotonic() + 60
        while self.request("GET", "/minio/health/ready", signed=False) != 200:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise StartError(f"minio did not get ready:\n{log_file.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)

    def stop(self, kill: bool = False) -> None:
        processes.stop(self.process, kill=kill)

    def __enter__(self):
        self.start()
        try:
            # Its health check says 200 a little before it takes writes: until then it answers 503.
            deadline = time.monotonic() + 60
            while (status := self.request("PUT", f"/{self.bucket}")) == 503 and time.monotonic() < deadline:
                time.sleep(0.05)
            if status != 200:
                raise StartError(f"minio answered {status} when asked for a bucket")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def request(self, method: str, path: str, query: str = "", signed: bool = True) -> int:
        return self.exchange(method, path, query, signed)[0]

    def exchange(self, method: str, path: str, query: str = "", signed: bool = True) -> tuple[int, bytes]:
        """One request without a body; status 0 when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = self._signature(method, path, query) if signed else {}
        try:
            connection.request(method, path + (f"?{query}" if query else ""), headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 0, b""
        finally:
            connection.close()

    def _signature(self, method, path, query):
        """AWS signature 4 for an empty body. `query` is sorted and escaped already."""
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        host, empty = f"127.0.0.1:{self.port}", hashlib.sha256(b"").hexdigest()
        signed = "host;x-amz-content-sha256;x-amz-date"
        canonical = "\n".join([method, path, query, f"host:{host}", f"x-amz-content-sha256:{empty}",
                               f"x-amz-date:{now}", "", signed, empty])
        scope = f"{now[:8]}/{REGION}/s3/aws4_request"
        to_sign = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = f"AWS4{PASSWORD}".encode()
        for part in (now[:8], REGION, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
        return {"host": host, "x-amz-date": now, "x-amz-content-sha256": empty,
                "authorization": f"AWS4-HMAC-SHA256 Credential={USER}/{scope}, SignedHeaders={signed}, "
                                 f"Signature={signature}"}
