"""HTTP and nothing else: one request out, one complete body in, or an exception of ``requests``.

What an answer means is the error handler's business, whether to ask again the client's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, LifoQueue
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError

from pipedrive_assets.api.auth import Auth
from pipedrive_assets.api.connections import TimedSession
from pipedrive_assets.clock import Clock

_CHUNK_BYTES = 1 << 16
_SHORTEST_TIMEOUT_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer; header names in lower case.

    ``sent``, ``answered`` (the headers were there) and ``received`` (all was) are monotonic seconds.
    ``warm``: the connection had been open before.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    wire_bytes: int
    sent: float
    answered: float
    received: float
    warm: bool


class Transport:
    """Keep-alive connections to one host, shared by any number of threads.

    ``requests.Session`` is not promised to be thread-safe, so each request borrows a session: there are as
    many as there were requests at once, and the one used last, whose connection is warmest, goes out first.
    """

    def __init__(
        self, base_url: str, auth: Auth, *, user_agent: str, timeout_seconds: float, clock: Clock
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._auth = _Credentials(auth)
        self._user_agent = user_agent
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._idle: LifoQueue[_Session] = LifoQueue()

    def url(self, path: str) -> str:
        """Absolute URL of ``path``, without query."""
        return self._base_url + path

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json_body: Any = None,
        deadline: float,
    ) -> Answer:
        """Send one request and read its body to the end; ``deadline`` is monotonic seconds.

        Connecting to an address and each wait for data take at most the timeout, all together no longer than
        the deadline; what looking up the host's addresses takes is up to the system.
        Errors raised: ``requests.RequestException``.
        """
        sent = self._clock.monotonic()
        timeout = max(_SHORTEST_TIMEOUT_SECONDS, min(self._timeout_seconds, deadline - sent))
        headers = {} if json_body is None else {"Content-Type": "application/json"}
        with (
            self._session(deadline) as session,
            session.request(
                method,
                self.url(path),
                params=params,
                data=None if json_body is None else orjson.dumps(json_body),
                headers=headers,
                timeout=(timeout, timeout),
                # A redirect would carry the token to wherever it points.
                allow_redirects=False,
                stream=True,
            ) as response,
        ):
            answered = self._clock.monotonic()
            body = _read(response)
            return Answer(
                status=response.status_code,
                headers={name.lower(): value for name, value in response.headers.items()},
                body=body,
                wire_bytes=response.raw.tell(),
                sent=sent,
                answered=answered,
                received=self._clock.monotonic(),
                warm=not session.connected,
            )

    def close(self) -> None:
        """Close every idle connection."""
        while True:
            try:
                self._idle.get_nowait().close()
            except Empty:
                return

    @contextmanager
    def _session(self, deadline: float) -> Iterator[_Session]:
        try:
            session = self._idle.get_nowait()
        except Empty:
            session = self._new_session()
        session.deadline = deadline
        try:
            yield session
        finally:
            self._idle.put(session)

    def _new_session(self) -> _Session:
        session = _Session(self._clock)
        session.headers.update(
            {"User-Agent": self._user_agent, "Accept": "application/json", "Accept-Encoding": "gzip"}
        )
        # As ``auth``, not as session headers: requests would otherwise let a .netrc entry stand beside it.
        session.auth = self._auth
        # Proxies and certificate bundles of the environment are honoured, but never for this machine itself.
        session.trust_env = not _is_loopback(self._base_url)
        return session


class _Session(TimedSession):
    """A borrowed session; ``deadline`` (monotonic seconds) is the borrower's."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(lambda: self.deadline - clock.monotonic())
        self.deadline = 0.0


class _Credentials(AuthBase):
    """Puts the headers of an :class:`Auth` on each request."""

    def __init__(self, auth: Auth) -> None:
        self._auth = auth

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._auth.headers())
        return request


def _read(response: requests.Response) -> bytes:
    # What has arrived is taken at once: iter_content would wait for full chunks.
    chunks = []
    try:
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            chunks.append(chunk)
    except HTTPError as failure:
        raise requests.ConnectionError(failure) from failure
    return b"".join(chunks)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
