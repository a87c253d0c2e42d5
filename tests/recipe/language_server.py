"""A small client of a language server: what an editor does with a YAML file, over standard input and output."""

import json
import subprocess
from itertools import count
from pathlib import Path
from typing import Any

_SETTINGS = {"yaml": {"schemaStore": {"enable": False}, "validate": True, "completion": True}}
_CAPABILITIES = {"textDocument": {"publishDiagnostics": {}, "completion": {"completionItem": {}}}}


class LanguageServer:
    """Runs `command` until `close`. Files are given as text and never written; each has a name of its own, since the
    server remembers what it was shown."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._folder = folder
        self._numbers = count(1)
        self._marked: dict[str, list[dict[str, Any]]] = {}
        self._request("initialize", {"processId": None, "rootUri": None, "capabilities": _CAPABILITIES})
        self._send({"method": "initialized", "params": {}})
        self._send({"method": "workspace/didChangeConfiguration", "params": {"settings": _SETTINGS}})

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def marked(self, text: str) -> list[tuple[int, str]]:
        """(line from 0, message) of each mistake that is marked in a file."""
        return [(fault["range"]["start"]["line"], fault["message"]) for fault in self._marked[self._open(text)]]

    def offered(self, text: str) -> list[str]:
        """What is offered for completion where the text has a `|`."""
        before, _, after = text.partition("|")
        uri = self._open(before + after)
        position = {"line": before.count("\n"), "character": len(before.rpartition("\n")[2])}
        found = self._request("textDocument/completion", {"textDocument": {"uri": uri}, "position": position})
        return [item["label"] for item in (found["items"] if isinstance(found, dict) else found)]

    def _open(self, text: str) -> str:
        uri = (self._folder / f"file{next(self._numbers)}.yaml").as_uri()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        while uri not in self._marked:
            self._take(self._receive())
        return uri

    def _request(self, method: str, params: dict[str, Any]) -> Any:
        number = next(self._numbers)
        self._send({"id": number, "method": method, "params": params})
        while True:
            message = self._receive()
            if message.get("id") == number and "method" not in message:
                return message["result"]
            self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("method") == "textDocument/publishDiagnostics":
            self._marked[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif "method" in message and "id" in message:  # a question to the editor, which has nothing to say
            self._send({"id": message["id"], "result": None})

    def _send(self, message: dict[str, Any]) -> None:
        content = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(content) + content)
        self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        stream = self._process.stdout
        assert stream is not None
        length = 0
        while line := stream.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        assert length, "the language server has stopped"
        return json.loads(stream.read(length))
