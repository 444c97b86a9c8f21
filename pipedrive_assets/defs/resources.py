"""Resource objects: the root ``pipedrive`` and its collaborators, thin factories around plain objects.

A collaborator's fields are overrides of settings, shown in the launchpad and empty by default: what is not
given there comes from the environment, which is read anew for each run. The root opens one session per run
and process on first use, so that setting up a run asks nobody anything (some commands of Dagster set up
resources twice). Secrets have no place in a run's configuration: the token comes from the environment.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field, PrivateAttr, ValidationError

from pipedrive_assets.clock import Clock, SystemClock
from pipedrive_assets.exceptions import PipedriveConfigException
from pipedrive_assets.settings import PipedriveSettings, load_settings
from pipedrive_assets.settings_problems import problem_lines

if TYPE_CHECKING:
    # A session brings duckdb, pyarrow and requests, which loading definitions has no use for.
    from pipedrive_assets.sync.session import Session

PREFIX = "PIPEDRIVE_"


class RateLimitManagerResource(dg.ConfigurableResource[Any]):
    """Tokens per day and requests per two seconds, counted for all processes that use the token."""

    rate_limiting_enabled: bool | None = Field(default=None, description="Off: only 429 is obeyed.")
    daily_token_budget: int | None = Field(default=None, description="Tokens to spend per day.")
    rate_limit_max_delay: float | None = Field(default=None, description="Longest own back-off, in seconds.")


class ErrorHandlerResource(dg.ConfigurableResource[Any]):
    """Classification of errors, retries of requests, circuit breaker."""

    max_retry_attempts: int | None = Field(default=None, description="Retries after a failed request.")
    circuit_breaker_threshold: int | None = Field(default=None, description="Failures in a row that open it.")
    circuit_breaker_timeout: float | None = Field(
        default=None, description="Seconds until it lets one through."
    )
    request_timeout: float | None = Field(default=None, description="Seconds to wait for bytes of an answer.")


class PaginatorResource(dg.ConfigurableResource[Any]):
    """Pages of a list, their size within the endpoint's limit."""

    adaptive_pagination: bool | None = Field(default=None, description="Smaller pages while memory is short.")
    min_batch_size: int | None = Field(default=None, description="Fewest rows to ask for in a page.")
    max_batch_size: int | None = Field(default=None, description="Most rows to ask for in a page.")


class MemoryManagerResource(dg.ConfigurableResource[Any]):
    """Watch over this process's memory between pages."""

    memory_threshold: int | None = Field(
        default=None, description="Percent of the limit that counts as short."
    )
    memory_limit_mb: int | None = Field(default=None, description="Limit in MB; else the container's.")
    force_gc: bool | None = Field(default=None, description="Collect garbage after each batch.")


class WarehouseResource(dg.ConfigurableResource[Any]):
    """Where rows land."""

    warehouse: str | None = Field(default=None, description="DuckDB file, or a string DuckDB can ATTACH.")
    warehouse_lock_timeout: float | None = Field(default=None, description="Seconds to wait for its lock.")
    warehouse_memory_limit_mb: int | None = Field(default=None, description="Memory DuckDB may use, in MB.")
    warehouse_threads: int | None = Field(default=None, description="Threads DuckDB may use.")


class PipedriveResource(dg.ConfigurableResource[Any]):
    """The one resource that assets ask for: a session with the account, opened when first used.

    ``token`` overrides ``PIPEDRIVE_TOKEN`` where definitions are built in code; leave it empty otherwise.
    """

    rate_limit_manager: RateLimitManagerResource
    error_handler: ErrorHandlerResource
    paginator: PaginatorResource
    memory_manager: MemoryManagerResource
    warehouse: WarehouseResource
    token: str = Field(default="", repr=False, description="API token; empty: PIPEDRIVE_TOKEN.")
    base_url: str = Field(default="", description="Scheme and host; empty: PIPEDRIVE_BASE_URL.")

    _run_id: str = PrivateAttr(default="")
    _session: Any = PrivateAttr(default=None)
    _exits: ExitStack = PrivateAttr(default_factory=ExitStack)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Remember which run this is; nothing is opened."""
        self._run_id = context.run.run_id if context.run is not None else ""

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Close the session, also after a failed run."""
        self._session = None
        self._exits.close()

    def settings(self) -> PipedriveSettings:
        """The environment's settings with what the launchpad overrides.

        Raises ``PipedriveConfigException`` for a wrong value.
        """
        overrides: dict[str, Any] = {}
        for part in (
            self.rate_limit_manager,
            self.error_handler,
            self.paginator,
            self.memory_manager,
            self.warehouse,
        ):
            overrides.update(_given(part))
        overrides.update({name: getattr(self, name) for name in ("token", "base_url") if getattr(self, name)})
        return overridden(load_settings(), overrides)

    def clock(self) -> Clock:
        """What runs tell the time by; a test that moves the time overrides it."""
        return SystemClock()

    def session(self) -> "Session":
        """The run's session; opened on first use, without asking the network or the warehouse.

        Raises ``PipedriveConfigException`` for a wrong or missing setting.
        """
        if self._session is None:
            from pipedrive_assets.sync.session import open_session

            self._session = self._exits.enter_context(
                open_session(self.settings(), run_id=self._run_id or None, clock=self.clock())
            )
        session: Session = self._session
        return session


def overridden(settings: PipedriveSettings, overrides: Mapping[str, Any]) -> PipedriveSettings:
    """``settings`` with some fields replaced and everything checked again."""
    if not overrides:
        return settings
    try:
        return PipedriveSettings(**{**settings.model_dump(), **overrides})
    except ValidationError as error:
        given = {PREFIX + name.upper(): str(value) for name, value in overrides.items() if name != "token"}
        raise PipedriveConfigException(
            problems=tuple(problem_lines(error, PipedriveSettings, given))
        ) from None


def build_resources() -> dict[str, Any]:
    """Root and collaborators, each collaborator one shared object.

    Registered and nested as the same ``configure_at_launch`` object: a nested resource that is already
    configured would be cloned for each parent.
    """
    collaborators: dict[str, Any] = {
        "rate_limit_manager": RateLimitManagerResource.configure_at_launch(),
        "error_handler": ErrorHandlerResource.configure_at_launch(),
        "paginator": PaginatorResource.configure_at_launch(),
        "memory_manager": MemoryManagerResource.configure_at_launch(),
        "warehouse": WarehouseResource.configure_at_launch(),
    }
    return {**collaborators, "pipedrive": PipedriveResource(**collaborators)}


def _given(part: dg.ConfigurableResource[Any]) -> dict[str, Any]:
    fields = ((name, getattr(part, name)) for name in type(part).model_fields)
    return {name: value for name, value in fields if value is not None}
