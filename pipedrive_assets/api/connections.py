"""Sessions of ``requests`` that obey a deadline and know whether they had to open a connection.

The timeouts of ``requests`` bound each wait for bytes and not the sum of them: a server that sends one byte
now and then, in the headers or in the body, never times out. So every read from the socket is given no
longer than what is left of the call, and so is every attempt to connect, of which a host with several
addresses takes several. Only looking up those addresses is the system's affair, and without bound here.
"""

from __future__ import annotations

import http.client
import io
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family

TimeLeft = Callable[[], float]
"""Seconds until the deadline of the request under way; zero or less when it has passed."""


class TimedSession(requests.Session):
    """For one thread at a time; ``time_left`` is asked before each read from the network."""

    def __init__(self, time_left: TimeLeft) -> None:
        super().__init__()
        self._adapter = _TimedAdapter(time_left)
        self.mount("https://", self._adapter)
        self.mount("http://", self._adapter)

    @property
    def connected(self) -> bool:
        """Whether the last request opened a connection."""
        return self._adapter.connected


class _TimedAdapter(HTTPAdapter):
    """Makes timed connections, and remembers how many a pool had opened before the last request."""

    _pool: HTTPConnectionPool | None = None
    _opened = 0

    def __init__(self, time_left: TimeLeft) -> None:
        self._time_left = time_left
        super().__init__()

    def get_connection_with_tls_context(self, *args: Any, **named: Any) -> Any:
        """The pool for a request, as ever, but for the kind of its connections."""
        pool: Any = super().get_connection_with_tls_context(*args, **named)
        pool.ConnectionCls = _TimedHTTPS if pool.scheme == "https" else _TimedHTTP
        pool.conn_kw["time_left"] = self._time_left
        self._pool, self._opened = pool, _opened(pool)
        return pool

    def close(self) -> None:
        """Close the connections; urllib3 leaves that to the end of the pool's life.

        Which would never come: it keeps the connections for it, each knows its session, and that this pool.
        """
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()
        super().close()

    @property
    def connected(self) -> bool:
        return self._pool is not None and _opened(self._pool) > self._opened


class _TimedHTTP(HTTPConnection):
    """A connection that is made, and read from, within the time that is left."""

    def __init__(self, *args: Any, time_left: TimeLeft, **named: Any) -> None:
        super().__init__(*args, **named)
        self._time_left = time_left
        self.response_class = partial(_TimedResponse, time_left)  # type: ignore[assignment]

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that answers, with the exceptions of urllib3."""
        try:
            family = allowed_gai_family()
            places = socket.getaddrinfo(self._dns_host.strip("[]"), self.port, family, socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as unknown:
            raise NameResolutionError(self.host, self, socket.gaierror(*unknown.args)) from unknown
        failure = OSError("the host has no address")
        for family, kind, protocol, _, address in places:
            try:
                return self._connected(socket.socket(family, kind, protocol), address)
            except OSError as error:
                failure = error
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(self, f"no connection to {self.host} in time") from failure
        raise NewConnectionError(self, f"no connection to {self.host}: {failure}") from failure

    def _connected(self, made: socket.socket, address: Any) -> socket.socket:
        try:
            for option in self.socket_options or ():
                made.setsockopt(*option)
            made.settimeout(self._shorter(self.timeout))
            if self.source_address:
                made.bind(self.source_address)
            made.connect(address)
            # What is left now is for the TLS handshake.
            made.settimeout(self._shorter(self.timeout))
        except BaseException:
            made.close()
            raise
        return made

    def _shorter(self, timeout: Any) -> float:
        left = self._time_left()
        if left <= 0:
            raise TimeoutError("the deadline passed while the connection was being made")
        return min(left, timeout) if isinstance(timeout, int | float) else left


class _TimedHTTPS(_TimedHTTP, HTTPSConnection):
    """The same over TLS."""


class _TimedResponse(http.client.HTTPResponse):
    """An answer whose status line, headers and body are read through a :class:`TimedReader`."""

    def __init__(self, time_left: TimeLeft, sock: socket.socket, *args: Any, **named: Any) -> None:
        super().__init__(sock, *args, **named)
        self.fp = io.BufferedReader(TimedReader(sock, self.fp.detach(), time_left))


class TimedReader(io.RawIOBase):
    """Waits for bytes as long as the socket's timeout says, but not beyond the deadline."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, time_left: TimeLeft) -> None:
        self._socket = sock
        self._raw = raw
        self._time_left = time_left

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Fill ``buffer`` with what arrives in the time that is left; ``TimeoutError`` where nothing does."""
        left = self._time_left()
        if left <= 0:
            raise TimeoutError("the deadline passed while the answer was being read")
        timeout = self._socket.gettimeout()
        if timeout is not None and timeout <= left:
            return self._raw.readinto(buffer)
        self._socket.settimeout(left)
        try:
            return self._raw.readinto(buffer)
        finally:
            # The next request on this connection has a deadline of its own.
            self._socket.settimeout(timeout)

    def close(self) -> None:
        """Close the stream; the socket is its owner's."""
        self._raw.close()
        super().close()


def _opened(pool: HTTPConnectionPool) -> int:
    return pool.num_connections
