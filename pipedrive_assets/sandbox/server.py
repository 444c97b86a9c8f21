"""A sandbox that runs: the model, the application, and uvicorn on a loopback port in a thread."""

from __future__ import annotations

import functools
import socket
import threading
from types import TracebackType
from typing import Any

import uvicorn

from pipedrive_assets.sandbox.account import Account
from pipedrive_assets.sandbox.app import Api
from pipedrive_assets.sandbox.clock import ServerClock
from pipedrive_assets.sandbox.collection import ARCHIVED, DELETED, LIVE
from pipedrive_assets.sandbox.config import SandboxConfig
from pipedrive_assets.sandbox.control import control_app
from pipedrive_assets.sandbox.faults import Faults
from pipedrive_assets.sandbox.limits import Limits
from pipedrive_assets.sandbox.log import RequestLog
from pipedrive_assets.sandbox.routes import all_routes
from pipedrive_assets.sandbox.routing import Router
from pipedrive_assets.sandbox.views import View

START_SECONDS, STOP_SECONDS = 30.0, 10.0


class Sandbox:
    """A Pipedrive look-alike; use ``Sandbox.start(config)``, or as a context manager.

    ``account`` is the model to edit and ask, ``log`` what was requested, ``faults`` what goes wrong,
    ``clock`` the server's time, ``limits`` the token ledger.
    """

    def __init__(self, config: SandboxConfig | None = None) -> None:
        self.config = config or SandboxConfig()
        self.clock = ServerClock(self.config.now, frozen=self.config.frozen)
        self.account = Account(self.config, self.clock)
        self.limits = Limits(self.config, self.clock)
        self.faults = Faults(self.config.seed)
        self.log = RequestLog()
        self._api = Api(self.config, self.account, Router(all_routes()), self.limits, self.faults, self.log)
        self._control = control_app(self)
        self._socket: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._port = self.config.port

    @classmethod
    def start(cls, config: SandboxConfig | None = None) -> Sandbox:
        """Generate an account and serve it; returns when the port answers."""
        sandbox = cls(config)
        sandbox.run()
        return sandbox

    @property
    def url(self) -> str:
        """Scheme, host and port; clients add ``/api/v2`` and ``/api/v1``."""
        return f"http://{self.config.host}:{self._port}"

    @property
    def token(self) -> str:
        """A valid API token."""
        return self.config.tokens[0]

    def rows(self, entity: str) -> list[dict[str, Any]]:
        """What a complete copy of ``entity`` holds; see ``Account.rows``."""
        return self.account.rows(entity)

    def warm(self) -> None:
        """Make and write out every record now, so that a benchmark measures the client and not generation.

        It is the view with all optional fields that is kept; another one is written when asked for.
        """
        with self.account.lock:
            for entity, collection in self.account.collections.items():
                view = View(entity)
                for n in collection.numbers((LIVE, ARCHIVED, DELETED)):
                    collection.shown.text(n, view, functools.partial(view.text, self.account))

    async def app(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """The ASGI application: control API or Pipedrive API, by path.

        A plain function and not a Starlette router, because faults break connections below ``send``,
        which Starlette would have wrapped.
        """
        application: Any = self._control if scope["path"].startswith("/sandbox") else self._api
        await application(scope, receive, send)

    def bind(self) -> socket.socket:
        """Take the port; port 0 takes a free one."""
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((self.config.host, self.config.port))
        self._port = bound.getsockname()[1]
        return bound

    def server(self) -> uvicorn.Server:
        """The uvicorn server, not yet running."""
        return uvicorn.Server(
            uvicorn.Config(
                self.app,
                log_level="error",
                access_log=False,
                lifespan="off",
                interface="asgi3",
                proxy_headers=False,
                ws="none",
                date_header=False,
                server_header=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=1,
            )
        )

    def run(self) -> None:
        """Serve in a thread."""
        self._socket = self.bind()
        self._server = self.server()
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="pipedrive-sandbox", daemon=True
        )
        self._thread.start()
        waited = threading.Event()
        for _ in range(int(START_SECONDS * 200)):
            if self._server.started:
                return
            if not self._thread.is_alive():
                break
            waited.wait(0.005)
        raise RuntimeError("the sandbox did not start")

    def stop(self) -> None:
        """Stop serving and close the port; open connections are cut after a second."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)
        if self._socket is not None:
            self._socket.close()
        self._server = self._thread = self._socket = None

    def __enter__(self) -> Sandbox:
        if self._thread is None:
            self.run()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
