"""Puts the definitions together: the one place where Dagster's objects are made, for production and tests.

Building reads settings, the catalog and, where there is one, the state store: no network, no new files, no
token needed.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg

from pipedrive_assets.catalog import CATALOG, resolve_entities
from pipedrive_assets.defs.account import account
from pipedrive_assets.defs.alerting import build_alert_sensors
from pipedrive_assets.defs.checks import build_entity_checks
from pipedrive_assets.defs.entities import build_entity_asset
from pipedrive_assets.defs.health import api_health, build_health_sensor
from pipedrive_assets.defs.jobs import build_jobs
from pipedrive_assets.defs.known_budget import last_limits
from pipedrive_assets.defs.partitions import Calendar, Granularity
from pipedrive_assets.defs.pricing import plan_schedules
from pipedrive_assets.defs.resources import build_resources
from pipedrive_assets.defs.resume import build_resume_sensors
from pipedrive_assets.defs.schedules import build_schedules
from pipedrive_assets.defs.sensors import build_repair_sensor
from pipedrive_assets.logs import get_logger, log_event
from pipedrive_assets.settings import PipedriveSettings, load_settings

_log = get_logger(__name__)


def build_defs(
    settings: PipedriveSettings | None = None, *, resource_overrides: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """Every definition for ``settings`` (the environment's by default).

    ``resource_overrides`` replaces resources by key. A run reads its settings anew; what is fixed here is
    the set of entities, the partitions and the schedules. Raises ``PipedriveConfigException`` for a wrong
    setting.
    """
    settings = load_settings() if settings is None else settings
    calendar = calendar_of(settings)
    plan = plan_schedules(settings, header_limit=last_limits(settings).daily)
    if settings.token is not None:
        # Without a token no schedule runs, and nobody needs to be warned of its interval.
        for line in plan.warnings:
            log_event(_log, "schedule_stretched", logging.WARNING, reason=line)
    enabled = resolve_entities(settings.enabled_entities)
    specs = [CATALOG[name] for name in enabled]
    jobs = build_jobs(settings, plan, enabled)
    with warnings.catch_warnings():
        # Backfill policies count as beta; forty lines of that at each start hide the lines that matter.
        warnings.simplefilter("ignore", dg.BetaWarning)
        assets = [build_entity_asset(spec, calendar, settings, plan, enabled) for spec in specs]
    watched = settings.health_monitoring_enabled
    return dg.Definitions(
        assets=[account, *([api_health] if watched else []), *assets],
        asset_checks=[build_entity_checks(spec, plan, settings) for spec in specs],
        jobs=jobs,
        schedules=build_schedules(settings, plan, calendar, jobs),
        sensors=[
            build_repair_sensor(settings, calendar, enabled),
            *build_resume_sensors(settings, calendar, enabled, jobs),
            *([build_health_sensor(settings)] if watched else []),
            *build_alert_sensors(settings),
        ],
        resources={**build_resources(), **(resource_overrides or {})},
        executor=_executor(settings),
    )


def calendar_of(settings: PipedriveSettings) -> Calendar:
    """The partitions that ``settings`` ask for."""
    return Calendar(Granularity(settings.partition_granularity), settings.start_date)


def _executor(settings: PipedriveSettings) -> dg.ExecutorDefinition:
    # Steps wait for the network most of the time: a process for each costs more than it brings.
    return dg.multiprocess_executor if settings.executor == "multiprocess" else dg.in_process_executor
