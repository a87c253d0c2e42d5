"""A Hub of one repository on this machine, for the real client: enough of its HTTP to resolve, list and download."""

import hashlib
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any


class FakeHub:
    """`commits`: file contents by commit. `branches`: commits by branch. `requests`: what the client requested, and
    `tokens`, the token that it sent each time. `gate`: the status (401, 403) with which the repository is refused.
    `elsewhere`: the address of another host that large files are sent to.

    `faults`: file name -> "cut" (the connection ends halfway), "cut once" (after which the rest is sent on request),
    "flip" (one wrong bit), "short" (half of it, honestly announced), "slow" (seconds go by), "500", "500 once",
    "elsewhere" (redirected), "loop" (to itself), "drip" (a byte now and then, without end). `etags`: file name -> the
    ETag that is sent instead of the content's sha256. `described`: what the description of a commit holds instead of
    the right values.
    """

    def __init__(self, identifier: str = "owner/name") -> None:
        self.identifier = identifier
        self.commits: dict[str, dict[str, bytes]] = {}
        self.branches: dict[str, str] = {}
        self.faults: dict[str, str] = {}
        self.etags: dict[str, str] = {}
        self.described: dict[str, Any] = {}
        self.gate: int | None = None
        self.elsewhere = ""
        self.requests: list[str] = []
        self.tokens: list[str | None] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                hub.respond(self, with_body=False)

            def do_GET(self) -> None:
                hub.respond(self, with_body=True)

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> "FakeHub":
        Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.server.shutdown()
        self.server.server_close()

    def respond(self, handler: BaseHTTPRequestHandler, *, with_body: bool) -> None:
        path = handler.path.split("?")[0]
        self.requests.append(f"{handler.command} {path}")
        self.tokens.append(handler.headers.get("Authorization"))
        steps = path.strip("/").split("/")
        if self.gate is not None:
            self._refuse(handler, self.gate, "GatedRepo")
        elif path.startswith(f"/api/models/{self.identifier}"):
            self._describe(handler, steps[5] if len(steps) > 5 else "main")
        elif path.startswith(f"/{self.identifier}/resolve/"):
            self._send(handler, steps[3], "/".join(steps[4:]), with_body)
        else:
            self._refuse(handler, 404, "RepoNotFound")

    def _describe(self, handler: BaseHTTPRequestHandler, revision: str) -> None:
        commit = self.branches.get(revision, revision)
        if commit not in self.commits:
            return self._refuse(handler, 404, "RevisionNotFound")
        siblings = [{"rfilename": name} for name in self.commits[commit]]
        described = {"id": self.identifier, "modelId": self.identifier, "sha": commit, "siblings": siblings}
        body = json.dumps(described | self.described).encode()
        self._reply(handler, 200, {"Content-Type": "application/json", "Content-Length": str(len(body))}, body)
        return None

    def _send(self, handler: BaseHTTPRequestHandler, revision: str, name: str, with_body: bool) -> None:
        commit = self.branches.get(revision, revision)
        content = self.commits.get(commit, {}).get(name)
        if content is None:
            return self._refuse(handler, 404, "EntryNotFound")
        fault = self.faults.get(name) if with_body else None
        if self.faults.get(name) in ("elsewhere", "loop"):
            host = self.elsewhere if self.faults[name] == "elsewhere" else self.address
            return self._redirect(handler, host, commit, name, content)
        if fault is not None and fault.endswith("once"):
            del self.faults[name]
        if fault in ("500", "500 once"):
            return self._refuse(handler, 500, "")
        if fault == "slow":
            time.sleep(3)
        headers = {
            "ETag": f'"{self.etags.get(name, hashlib.sha256(content).hexdigest())}"',
            "X-Repo-Commit": commit,
            "Content-Length": str(len(content)),
        }
        status = 200
        if fault == "drip":
            return self._drip(handler, headers)
        if fault == "flip":
            content = bytes([content[0] ^ 1]) + content[1:]
        if fault == "short":
            content = content[: len(content) // 2]
            headers["Content-Length"] = str(len(content))
        range_header = handler.headers.get("Range")
        if fault in ("cut", "cut once"):
            content = content[: len(content) // 2]
        elif range_header is not None:
            start = int(range_header.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            content = content[start:]
            headers["Content-Length"] = str(len(content))
            status = 206
        self._reply(handler, status, headers, content if with_body else b"")
        handler.close_connection = handler.close_connection or fault in ("cut", "cut once")
        return None

    def _drip(self, handler: BaseHTTPRequestHandler, headers: dict[str, str]) -> None:
        self._reply(handler, 200, {**headers, "Content-Length": "1000000"}, b"")
        try:
            while True:
                handler.wfile.write(b".")
                time.sleep(0.2)
        except OSError:  # the client went away
            handler.close_connection = True

    def _redirect(self, handler: BaseHTTPRequestHandler, host: str, commit: str, name: str, content: bytes) -> None:
        headers = {
            "Location": f"{host}/{self.identifier}/resolve/{commit}/{name}",
            "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Linked-Size": str(len(content)),
            "X-Repo-Commit": commit,
            "Content-Length": "0",
        }
        self._reply(handler, 302, headers, b"")

    def _refuse(self, handler: BaseHTTPRequestHandler, status: int, code: str) -> None:
        self._reply(handler, status, {"X-Error-Code": code, "Content-Length": "0"}, b"")

    def _reply(self, handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
        handler.send_response(status)
        for key, value in headers.items():
            handler.send_header(key, value)
        handler.end_headers()
        handler.wfile.write(body)
