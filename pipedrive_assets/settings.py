"""The settings of a process: ``PIPEDRIVE_*`` variables, checked, and read here and nowhere else.

Fields are declared in :mod:`pipedrive_assets.settings_fields`, names that do nothing (any more, or yet) in
:mod:`pipedrive_assets.settings_retired`. ``docs/configuration.md`` is generated from both.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import PrivateAttr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from pipedrive_assets.exceptions import PipedriveConfigException
from pipedrive_assets.logs import get_logger, log_event
from pipedrive_assets.redaction import register_secret
from pipedrive_assets.settings_alerts import channel_notices
from pipedrive_assets.settings_fields import (
    Alerts,
    Budget,
    Connection,
    Errors,
    Health,
    Memory,
    Monitoring,
    Runs,
    Schedules,
    Scope,
    Storage,
)
from pipedrive_assets.settings_problems import problem_lines, unknown_line
from pipedrive_assets.settings_retired import PREFIX, known_names, notice

TOKENS_PER_SEAT = 30_000
PLAN_FACTORS: Mapping[str, int] = {"lite": 1, "growth": 2, "premium": 5, "ultimate": 7}
FALLBACK_BUDGET = 10_000

_DEFAULT_HOST = "https://api.pipedrive.com"
_EMPTY_HAS_MEANING = frozenset({"PIPEDRIVE_ENABLED_ENTITIES"})
_log = get_logger(__name__)


class PipedriveSettings(
    Schedules,
    Runs,
    Alerts,
    Monitoring,
    Health,
    Memory,
    Errors,
    Budget,
    Scope,
    Storage,
    Connection,
    BaseSettings,
):
    """All settings; frozen. ``daily_token_budget`` is the variable ``PIPEDRIVE_DAILY_TOKEN_BUDGET``.

    ``warehouse``, ``state_url`` and ``base_url`` are always filled; ``dagster_home`` is where the first two
    lie by default.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, env_prefix=PREFIX, validate_default=True
    )

    dagster_home: Path = Path("dagster_home")
    _warnings: tuple[str, ...] = PrivateAttr(default=())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments only: settings built in code must not change with the machine's environment."""
        return (init_settings,)

    @model_validator(mode="before")
    @classmethod
    def _fill_places(cls, values: dict[str, Any]) -> dict[str, Any]:
        storage = Path(values.get("dagster_home") or "dagster_home").expanduser().absolute() / "storage"
        domain = values.get("company_domain")
        places = {
            "warehouse": str(storage / "warehouse.duckdb"),
            "state_url": f"sqlite:///{storage / 'pipedrive_state.db'}",
            "base_url": f"https://{domain}.pipedrive.com" if domain else _DEFAULT_HOST,
        }
        return {**values, **{name: place for name, place in places.items() if not values.get(name)}}

    @model_validator(mode="after")
    def _fit_together(self) -> PipedriveSettings:
        problems = []
        if self.min_batch_size > self.max_batch_size:
            problems.append(
                f"{PREFIX}MIN_BATCH_SIZE={self.min_batch_size}: must not be above"
                f" {PREFIX}MAX_BATCH_SIZE={self.max_batch_size}"
            )
        if self.memory_alert_threshold > self.memory_critical_threshold:
            problems.append(
                f"{PREFIX}MEMORY_ALERT_THRESHOLD={self.memory_alert_threshold}: must not be above"
                f" {PREFIX}MEMORY_CRITICAL_THRESHOLD={self.memory_critical_threshold} (percent)"
            )
        if self.request_deadline < self.request_timeout:
            problems.append(
                f"{PREFIX}REQUEST_DEADLINE={self.request_deadline:g}: must not be below"
                f" {PREFIX}REQUEST_TIMEOUT={self.request_timeout:g} (seconds)"
            )
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def storage_dir(self) -> Path:
        """Folder of everything this machine keeps: ``$DAGSTER_HOME/storage``, absolute."""
        return self.dagster_home.expanduser().absolute() / "storage"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What :func:`load_settings` warned of, one line each."""
        return self._warnings

    @property
    def plan_budget(self) -> int | None:
        """Daily tokens by plan and seats (reference section 2.1); None where the plan is not set."""
        return None if self.plan is None else TOKENS_PER_SEAT * self.seats * PLAN_FACTORS[self.plan]


class DailyBudget(NamedTuple):
    """Tokens per day, and where the figure comes from."""

    tokens: int
    origin: Literal["setting", "header", "plan", "fallback"]


def daily_budget(settings: PipedriveSettings, header_limit: int | None) -> DailyBudget:
    """The budget that holds: the setting, else the last response's header, else the plan's, else 10,000.

    A setting above the header's limit buys nothing: then the header holds.
    """
    setting = settings.daily_token_budget
    if setting is not None and (header_limit is None or setting <= header_limit):
        return DailyBudget(setting, "setting")
    if header_limit is not None:
        return DailyBudget(header_limit, "header")
    if settings.plan_budget is not None:
        return DailyBudget(settings.plan_budget, "plan")
    return DailyBudget(FALLBACK_BUDGET, "fallback")


def load_settings(env: Mapping[str, str] | None = None) -> PipedriveSettings:
    """Read and check every ``PIPEDRIVE_*`` variable of ``env`` (the process's environment by default).

    An empty value counts as not set, except for ``PIPEDRIVE_ENABLED_ENTITIES``. Raises
    :class:`PipedriveConfigException` with one line for each wrong value or unknown name. Variables that do
    nothing here give one warning each. Secrets are registered for redaction.
    """
    env = os.environ if env is None else env
    given = {
        name: value.strip()
        for name, value in env.items()
        if name.startswith(PREFIX) and (value.strip() or name in _EMPTY_HAS_MEANING)
    }
    names = variables()
    values: dict[str, Any] = {names[name]: value for name, value in given.items() if name in names}
    _hide_secrets(given)
    unknown = [
        unknown_line(name, value, names)
        for name, value in sorted(given.items())
        if name not in names and name not in known_names()
    ]
    if env.get("DAGSTER_HOME"):
        values["dagster_home"] = env["DAGSTER_HOME"]
    try:
        settings = PipedriveSettings(**values)
    except ValidationError as error:
        raise PipedriveConfigException(
            problems=(*problem_lines(error, PipedriveSettings, given), *unknown)
        ) from None
    if unknown:
        raise PipedriveConfigException(problems=tuple(unknown))
    settings._warnings = tuple(_notices(given, settings))
    for line in settings.warnings:
        log_event(_log, "setting_warning", logging.WARNING, reason=line)
    return settings


def variables() -> dict[str, str]:
    """Name of the variable → name of the field, for every setting that does something."""
    fields = PipedriveSettings.model_fields
    return {PREFIX + name.upper(): name for name in fields if name != "dagster_home"}


def _notices(given: Mapping[str, str], settings: PipedriveSettings) -> list[str]:
    lines = [line for name in sorted(given) if (line := notice(name))]
    url = urlsplit(settings.base_url)
    if url.scheme == "http" and url.hostname not in {"localhost", "127.0.0.1", "::1"}:
        lines.append(f"{PREFIX}BASE_URL={settings.base_url} sends the token unencrypted; use https")
    return [*lines, *channel_notices(settings)]


def _hide_secrets(given: Mapping[str, str]) -> None:
    for name, value in given.items():
        if name.endswith(("TOKEN", "SECRET", "PASSWORD", "SLACK_WEBHOOK")):
            register_secret(value)
    register_secret(urlsplit(given.get(f"{PREFIX}STATE_URL", "")).password)
    with suppress(ValueError):  # no address: the channel says so
        # HTTP libraries log the path alone, and it is the part that is secret.
        register_secret(urlsplit(given.get(f"{PREFIX}ALERT_SLACK_WEBHOOK", "")).path)
