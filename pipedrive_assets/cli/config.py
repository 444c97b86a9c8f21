"""``config``: the settings in force, the enabled entities, and what the schedules cost."""

from __future__ import annotations

from typing import Any

import click

from pipedrive_assets.api.disagreements import disagreements
from pipedrive_assets.catalog import CATALOG, resolve_entities
from pipedrive_assets.cli.output import Output, json_option, shown
from pipedrive_assets.clock import SystemClock
from pipedrive_assets.defs.known_budget import last_limits, store_exists
from pipedrive_assets.defs.pricing import plan_schedules, span
from pipedrive_assets.exceptions import PipedriveException
from pipedrive_assets.redaction import redact_value
from pipedrive_assets.settings import PipedriveSettings, load_settings, variables
from pipedrive_assets.settings_problems import is_secret
from pipedrive_assets.state.store import StateStore
from pipedrive_assets.warehouse.store import Warehouse


@click.command()
@click.option("--entities", "only_entities", is_flag=True, help="Show the entities alone.")
@json_option
@click.pass_obj
def config(output: Output, only_entities: bool) -> None:
    """Show the settings in force, the enabled entities, and what the schedules cost a day."""
    settings = load_settings()
    limits = last_limits(settings)
    plan = plan_schedules(settings, header_limit=limits.daily)
    enabled = resolve_entities(settings.enabled_entities)
    advice = [
        *plan.warnings,
        *disagreements(settings, limits.daily, limits.burst),
        *unusable_places(settings),
    ]
    if output.as_json:
        output.emit(
            {
                "settings": values_shown(settings),
                "entities": {name: name in enabled for name in CATALOG},
                "schedules": plan.to_dict(),
                "warnings": [*settings.warnings, *advice],
            }
        )
        return
    if not only_entities:
        default = values_shown(PipedriveSettings(dagster_home=settings.dagster_home))
        output.table(
            ("setting", "value", ""),
            [
                (name, shown_setting(value), "" if value == default[name] else "set")
                for name, value in values_shown(settings).items()
            ],
        )
        output.say()
        output.table(
            ("schedule", "runs", "entities", "tokens a run", "tokens a day"),
            [
                (
                    rhythm.name,
                    f"every {span(rhythm.interval_minutes)}" if rhythm.enabled else "off",
                    len(rhythm.entities),
                    rhythm.tokens_per_run,
                    rhythm.tokens_per_day,
                )
                for rhythm in plan.rhythms
            ],
            foot=("a day without changes", "", None, None, plan.tokens_per_day),
        )
        output.say(f"Daily budget: {plan.budget:,} tokens ({plan.budget_origin})")
        output.say()
    output.table(
        ("entity", "group", "tier", "enabled"),
        [(name, spec.group, spec.tier.value, name in enabled) for name, spec in CATALOG.items()],
    )
    for line in advice:
        output.warn(line)


def unusable_places(settings: PipedriveSettings) -> list[str]:
    """What is wrong with the state store and the warehouse, if they exist; neither is created.

    A warehouse that somebody is writing to is in use, not wrong, and is not waited for.
    """
    clock = SystemClock()
    problems: list[str] = []
    if store_exists(settings.state_url):
        try:
            StateStore.open(settings.state_url, clock=clock).close()
        except PipedriveException as error:
            problems.append(error.explained)
    try:
        warehouse = Warehouse.from_settings(settings, clock, lock_timeout=0)
        try:
            warehouse.account()
        finally:
            warehouse.close()
    except PipedriveException as error:
        if not error.retryable:
            problems.append(error.explained)
    return problems


def values_shown(settings: PipedriveSettings) -> dict[str, Any]:
    """Variable → value as JSON, secrets masked."""
    fields = PipedriveSettings.model_fields
    plain = settings.model_dump(mode="json")
    return {
        variable: ("***" if getattr(settings, name) else None)
        if is_secret(fields[name])
        else redact_value(plain[name])
        for variable, name in variables().items()
    }


def shown_setting(value: Any) -> str:
    """A value as it would be written in the environment."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else shown(value)
