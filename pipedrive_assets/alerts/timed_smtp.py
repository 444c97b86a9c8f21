"""An SMTP conversation that ends by a deadline, whatever the server does.

The timeout of :mod:`smtplib` bounds each address and each wait for bytes, not the sum of them: a name with
several unreachable addresses, or a server that sends one byte now and then, would hold a sensor's tick for as
long as it likes. Here each wait is given no longer than what is left of the whole.
"""

from __future__ import annotations

import io
import smtplib
import socket
import ssl

from pipedrive_assets.api.connections import TimedReader, TimeLeft

_SHORTEST_SECONDS = 0.001


class TimedSMTP(smtplib.SMTP):
    """Connects at once, in TLS if ``tls`` is given; errors are those of ``smtplib`` and ``OSError``.

    The look-up of names, the server's and this machine's own, is the system's and is not bounded here.
    """

    def __init__(self, host: str, port: int, *, time_left: TimeLeft, tls: ssl.SSLContext | None) -> None:
        self._time_left = time_left
        self._tls = tls
        super().__init__(host, port, timeout=_still(time_left))

    def _get_socket(self, host: str, port: int, _timeout: float) -> socket.socket:
        """Named by ``smtplib``, whose own variant over TLS replaces it too."""
        connection = _connected(host, port, self._time_left)
        if self._tls is None:
            return connection
        try:
            # A handshake's timeout is that of the whole handshake.
            connection.settimeout(_still(self._time_left))
            return self._tls.wrap_socket(connection, server_hostname=host)
        except BaseException:
            connection.close()
            raise

    def send(self, s: bytes | str) -> None:  # type: ignore[override]  # the stubs ask for any buffer
        """Send no longer than is left."""
        if self.sock is not None:
            self.sock.settimeout(_still(self._time_left))
        super().send(s)

    def getreply(self) -> tuple[int, bytes]:
        """Wait for an answer no longer than is left."""
        if self.file is None and self.sock is not None:
            raw = self.sock.makefile("rb", buffering=0)
            self.file = io.BufferedReader(TimedReader(self.sock, raw, self._time_left))
        reply = super().getreply()
        if self.sock is not None:
            # A handshake may come next. What was answered was answered in time, however late it is now.
            self.sock.settimeout(max(_SHORTEST_SECONDS, self._time_left()))
        return reply


def _connected(host: str, port: int, time_left: TimeLeft) -> socket.socket:
    """A connection to the first address that takes one; each may take its share of the time that is left."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for still_to_try, (family, kind, protocol, _, address) in zip(
        range(len(addresses), 0, -1), addresses, strict=True
    ):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(_still(time_left) / still_to_try)
            connection.connect(address)
            return connection
        except OSError:
            connection.close()
            if still_to_try == 1:
                raise
    raise OSError(f"{host} has no address")


def _still(time_left: TimeLeft) -> float:
    left = time_left()
    if left <= 0:
        raise TimeoutError("it was not done in time")
    return left
