"""A registry on loopback: Debian's docker-registry, anonymous, over plain HTTP."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from urllib.request import Request, urlopen

from tests.support.waiting import wait_until

BINARY = "docker-registry"


class Registry:
    """A registry process whose files live below ``directory``; ``extra`` is merged into its
    configuration (authentication, TLS).  Several may share the same ``storage``.
    """

    def __init__(
        self, directory: str, *, storage: str | None = None, extra: dict[str, object] | None = None
    ):
        os.makedirs(directory, exist_ok=True)
        self.directory = directory
        self.storage = storage or f"{directory}/storage"
        self._log = f"{directory}/log"
        configuration: dict[str, object] = {
            "version": 0.1,
            "log": {"level": "info", "accesslog": {"disabled": False}},
            "storage": {
                "filesystem": {"rootdirectory": self.storage},
                "delete": {"enabled": True},
            },
            # Port 0: the kernel chooses, the log tells; no race for a "free" port.
            "http": {"addr": "127.0.0.1:0", "secret": "tests"},
            **(extra or {}),
        }
        with open(f"{directory}/config.yml", "w", encoding="utf-8") as file:
            json.dump(configuration, file)  # JSON is YAML
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [shutil.which(BINARY) or BINARY, "serve", f"{directory}/config.yml"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.port = int(str(wait_until(self._listening, f"the registry, see {self._log}")))
        self.address = f"127.0.0.1:{self.port}"

    def log(self) -> str:
        """All that the registry said so far, requests included."""
        with open(self._log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def _listening(self) -> str | None:
        found = re.search(r"listening on 127\.0\.0\.1:(\d+)", self.log())
        return found[1] if found else None

    def get(self, path: str, *accept: str) -> tuple[bytes, str]:
        """The body and content type of ``/v2/<path>``, read without our own client."""
        request = Request(f"http://{self.address}/v2/{path}", headers={"Accept": ", ".join(accept)})
        with urlopen(request, timeout=30) as answer:
            return answer.read(), answer.headers["Content-Type"]

    def blob_file(self, digest: str) -> str:
        """Where the registry keeps a blob: tests damage it there."""
        encoded = digest.removeprefix("sha256:")
        return f"{self.storage}/docker/registry/v2/blobs/sha256/{encoded[:2]}/{encoded}/data"

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=20)
