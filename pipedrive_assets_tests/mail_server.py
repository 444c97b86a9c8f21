"""A real mail server on a loopback port that keeps what it is given, or refuses, or is silent."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from pipedrive_assets_tests.scripted_server import SELF_SIGNED


@dataclass
class Mailbox:
    """What arrived, and how the server behaves; ``refusals`` is how many mails it turns away first."""

    host: str = "127.0.0.1"
    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    refusals: int = 0
    unknown: tuple[str, ...] = ()

    async def handle_RCPT(  # noqa: N802 - named by aiosmtpd
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.unknown:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.refusals > 0:
            self.refusals -= 1
            return "451 try again later"
        content = cast("bytes", envelope.content)
        self.mails.append(cast("EmailMessage", message_from_bytes(content, policy=policy.default)))
        self.encrypted.append(session.ssl is not None)
        return "250 taken"

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        login = cast("LoginPassword", data)
        self.logins.append((login.login.decode(), login.password.decode()))
        return AuthResult(success=login.password == b"correct horse", handled=False)


@contextmanager
def mail_server(
    security: str = "none", *, login: bool = False, host: str = "127.0.0.1", port: int = 0
) -> Iterator[Mailbox]:
    """Run a server with no encryption, ``starttls`` or ``tls``; on some port if none is given.

    With ``login`` it asks for a password, which it does over ``starttls`` only.
    """
    box = Mailbox(host=host)
    context = None
    if security != "none":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(SELF_SIGNED)
    # A port of our own choice: the library's check of its start does not work with port 0.
    with socket.create_server((host, port)) as free:
        port = free.getsockname()[1]
    controller = Controller(
        box,
        hostname=host,
        port=port,
        ssl_context=context if security == "tls" else None,
        tls_context=context if security == "starttls" else None,
        require_starttls=security == "starttls",
        auth_required=login,
        authenticator=box.authenticate if login else None,
    )
    controller.start()
    box.port = port
    try:
        yield box
    finally:
        controller.stop()


@contextmanager
def silent_server(*, greeting: bytes = b"") -> Iterator[int]:
    """A port that takes connections, says ``greeting`` at most, and then nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        held: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                held.append(connection)
                connection.sendall(greeting)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            # Closing alone does not wake a thread that accepts.
            listening.shutdown(socket.SHUT_RDWR)
            for connection in held:
                connection.close()
            thread.join(5)


@contextmanager
def dripping_server(first: bytes, drop: bytes, *, every: float) -> Iterator[int]:
    """A port that says ``first``, and then ``drop`` every so many seconds for as long as anybody listens."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def talk() -> None:
            with suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    connection.sendall(first)
                    while not stop.wait(every):
                        connection.sendall(drop)

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            stop.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(5)


@contextmanager
def unreachable_addresses(count: int) -> Iterator[tuple[list[str], int]]:
    """Loopback addresses with one port that take no connection and refuse none; at most 250."""
    with ExitStack() as exits:
        port = 0
        hosts = [f"127.0.0.{number}" for number in range(2, count + 2)]
        for host in hosts:
            listening = exits.enter_context(socket.socket())
            listening.bind((host, port))
            port = listening.getsockname()[1]
            listening.listen(0)
            # The queue of one is full once somebody waits in it; the kernel then drops what comes.
            for _ in range(3):
                waiting = exits.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex((host, port))
        yield hosts, port
