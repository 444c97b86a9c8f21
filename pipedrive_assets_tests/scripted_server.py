"""An HTTP server that answers by script, also badly: cut off, reset, silent. It keeps every request."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

SELF_SIGNED = Path(__file__).with_name("self_signed.pem")
"""A certificate that nobody vouches for, with its key: made for these tests, of use nowhere else."""


class Fault(StrEnum):
    """Ways not to answer."""

    RESET = "reset"
    RESET_BODY = "reset_body"
    """The headers and half of the body, then a reset."""
    TRUNCATE = "truncate"
    HANG = "hang"
    HANG_BODY = "hang_body"
    """The headers and half of the body, then nothing more."""
    TRICKLE = "trickle"
    TRICKLE_HEADERS = "trickle_headers"


@dataclass(frozen=True)
class Reply:
    """What the server does with one request; ``body`` that is no bytes becomes JSON."""

    status: int = 200
    body: Any = b'{"success":true,"data":[]}'
    headers: dict[str, str] = field(default_factory=dict)
    fault: Fault | None = None
    compressed: bool = False
    chunked: bool = False

    @property
    def content(self) -> bytes:
        content = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return gzip.compress(content) if self.compressed else content


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: bytes
    client: tuple[str, int]


Script = Callable[[Seen], Reply]


class ScriptedServer:
    """Runs ``script`` for each request; the script may be exchanged at any time."""

    def __init__(self, script: Script, *, certificate: Path | None = None) -> None:
        self.script = script
        self.seen: list[Seen] = []
        self.released = threading.Event()
        handler = type("Handler", (_Handler,), {"owner": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        # The threads of hanging requests end when their client goes away.
        self._http.block_on_close = False
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # The handshake happens in the thread of the connection, or one client could hold up all others.
            self._http.socket = context.wrap_socket(
                self._http.socket, server_side=True, do_handshake_on_connect=False
            )
            scheme = "https"
        self.url = f"{scheme}://127.0.0.1:{self._http.server_port}"

    def replies(self, *replies: Reply) -> None:
        """Answer with ``replies`` in order, the last one for ever."""
        queue = list(replies)
        self.script = lambda _: queue.pop(0) if len(queue) > 1 else queue[0]

    @contextmanager
    def running(self) -> Iterator[ScriptedServer]:
        thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.released.set()
            self._http.shutdown()
            self._http.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    owner: ScriptedServer
    protocol_version = "HTTP/1.1"
    # Buffered, so that headers and body leave in one write: Nagle would hold back the second of two.
    wbufsize = -1

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, ssl.SSLError):
            self.close_connection = True

    def do(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        seen = Seen(
            self.command,
            parts.path,
            dict(parse_qsl(parts.query)),
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(length),
            self.client_address,
        )
        self.owner.seen.append(seen)
        self._answer(self.owner.script(seen))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do  # noqa: N815 - names of http.server

    def _answer(self, reply: Reply) -> None:
        if reply.fault is Fault.RESET:
            self._reset()
            return
        if reply.fault is Fault.HANG:
            self._hang()
            return
        content = reply.content
        if "Date" in reply.headers:
            self.send_response_only(reply.status)
        else:
            self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        if reply.compressed:
            self.send_header("Content-Encoding", "gzip")
        if reply.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            content = b"".join(b"1\r\n%c\r\n" % byte for byte in content) + b"0\r\n\r\n"
        else:
            self.send_header("Content-Length", str(len(content)))
        if reply.fault is Fault.TRICKLE_HEADERS:
            self.wfile.flush()
            self._trickle(b"X-Slow: " + b"z" * 1000)
            return
        self.end_headers()
        if reply.fault is Fault.TRICKLE:
            self._trickle(content)
            return
        if reply.fault in (Fault.TRUNCATE, Fault.RESET_BODY, Fault.HANG_BODY):
            content = content[: len(content) // 2]
            self.close_connection = True
        self.wfile.write(content)
        self.wfile.flush()
        if reply.fault is Fault.RESET_BODY:
            # The client shall have read the first half: a reset discards what is still under way.
            self.owner.released.wait(0.02)
            self._reset()
        if reply.fault is Fault.HANG_BODY:
            self._hang()

    def _reset(self) -> None:
        # Lingering for zero seconds makes the kernel send a reset instead of an orderly end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _hang(self) -> None:
        self.owner.released.wait(10)
        self.close_connection = True

    def _trickle(self, content: bytes) -> None:
        for byte in content:
            self.wfile.write(bytes((byte,)))
            self.wfile.flush()
            if self.owner.released.wait(0.05):
                break
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Nothing: the test reads ``seen``."""
