"""What the schedules cost a day, and how far they stretch to fit the day's budget.

A run in which nothing changed still asks every endpoint once, so the price of a schedule is known before it
ever runs. Where all of them together cost more than the budget, the slow tiers stretch first, up to a day;
the core tier stretches last and only as far as it must, and what is then left over goes back to the slow
ones. Pure functions: ``config`` shows the result, ``schedules.py`` runs by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pipedrive_assets.catalog import CATALOG, resolve_entities
from pipedrive_assets.catalog.price import incremental_price
from pipedrive_assets.catalog.spec import EntitySpec, Tier
from pipedrive_assets.settings import PipedriveSettings, daily_budget

MINUTES_PER_DAY = 1440
LADDER = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, MINUTES_PER_DAY)
"""Intervals in minutes that divide an hour or a day, and so can be written as a cron line."""
HEADROOM = 0.95
"""Share of the budget that idle schedules may plan for; the rest pays for what changes."""
FIELDS_GROUP = "fields"

CORE = "core"
HOURLY = "hourly"
CUSTOM_FIELDS = "custom_fields"
DAILY = "daily"
RHYTHM_NAMES = (CORE, HOURLY, CUSTOM_FIELDS, DAILY)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """One schedule: which entities it syncs, how often, at what price when nothing has changed.

    ``tier`` narrows entities that have a stream of another tier to the streams of this one; None: all.
    """

    name: str
    entities: tuple[str, ...]
    tier: Tier | None
    wanted_minutes: int
    interval_minutes: int
    tokens_per_run: int
    enabled: bool = True

    @property
    def tokens_per_day(self) -> int:
        """Tokens of an idle day; zero where the schedule is off."""
        return self._tokens_every(self.interval_minutes) if self.enabled else 0

    @property
    def stretched(self) -> bool:
        """Whether the schedule runs less often than the settings ask."""
        return self.enabled and self.interval_minutes > self.wanted_minutes

    def every(self, minutes: int) -> Rhythm:
        """The same schedule at another interval."""
        return replace(self, interval_minutes=minutes)

    def _tokens_every(self, minutes: int) -> int:
        return self.tokens_per_run * (MINUTES_PER_DAY // minutes)


@dataclass(frozen=True, slots=True)
class SchedulePlan:
    """Every schedule with the interval it gets, and what that costs of ``budget`` tokens a day."""

    rhythms: tuple[Rhythm, ...]
    budget: int
    budget_origin: str

    @property
    def tokens_per_day(self) -> int:
        """Tokens of a day in which nothing changes."""
        return sum(rhythm.tokens_per_day for rhythm in self.rhythms)

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each schedule that had to give way, and one if even that does not help."""
        hint = (
            f"the budget is {self.budget:,} tokens a day ({self.budget_origin}); "
            "see PIPEDRIVE_PLAN and PIPEDRIVE_SEATS"
        )
        lines = [
            f"the {rhythm.name} schedule runs every {span(rhythm.interval_minutes)} instead of every "
            f"{span(rhythm.wanted_minutes)}: {hint}"
            for rhythm in self.rhythms
            if rhythm.stretched
        ]
        if self.tokens_per_day > self.budget:
            lines.append(f"the schedules cost {self.tokens_per_day:,} tokens a day even so: {hint}")
        return tuple(lines)

    def __getitem__(self, name: str) -> Rhythm:
        return next(rhythm for rhythm in self.rhythms if rhythm.name == name)

    def to_dict(self) -> Mapping[str, object]:
        """Plain JSON types, for ``config --json``."""
        return {
            "budget": self.budget,
            "budget_origin": self.budget_origin,
            "tokens_per_day": self.tokens_per_day,
            "schedules": [
                {
                    "name": rhythm.name,
                    "enabled": rhythm.enabled,
                    "entities": list(rhythm.entities),
                    "wanted_minutes": rhythm.wanted_minutes,
                    "interval_minutes": rhythm.interval_minutes,
                    "tokens_per_run": rhythm.tokens_per_run,
                    "tokens_per_day": rhythm.tokens_per_day,
                }
                for rhythm in self.rhythms
            ],
            "warnings": list(self.warnings),
        }


def plan_schedules(settings: PipedriveSettings, *, header_limit: int | None = None) -> SchedulePlan:
    """The schedules that ``settings`` ask for, stretched to the budget.

    ``header_limit`` is the budget the API last named, if it is known. Raises ``PipedriveConfigException``
    for an unknown entity.
    """
    specs = [CATALOG[name] for name in resolve_entities(settings.enabled_entities)]
    budget = daily_budget(settings, header_limit)
    rhythms = (
        _rhythm(
            CORE,
            [spec for spec in specs if _has_stream(spec, Tier.CORE) and spec.group != FIELDS_GROUP],
            Tier.CORE,
            settings.incremental_schedule_minutes,
            settings.incremental_schedule_enabled,
        ),
        _rhythm(
            HOURLY,
            [spec for spec in specs if _has_stream(spec, Tier.HOURLY) and spec.group != FIELDS_GROUP],
            Tier.HOURLY,
            60,
            settings.hourly_schedule_enabled,
        ),
        _rhythm(
            CUSTOM_FIELDS,
            [spec for spec in specs if spec.group == FIELDS_GROUP],
            None,
            settings.custom_fields_scheduler_frequency * 60,
            settings.custom_fields_scheduler_enabled,
        ),
        _rhythm(
            DAILY,
            [spec for spec in specs if _in_daily_run(spec, settings)],
            None,
            settings.scheduler_frequency * 60,
            settings.scheduler_enabled,
        ),
    )
    return SchedulePlan(stretch(rhythms, int(budget.tokens * HEADROOM)), budget.tokens, budget.origin)


def stretch(rhythms: Sequence[Rhythm], budget: int) -> tuple[Rhythm, ...]:
    """The same schedules at intervals that cost at most ``budget`` tokens a day, if any do.

    The daily schedule keeps its interval: it runs at a time somebody chose.
    """
    if sum(rhythm.tokens_per_day for rhythm in rhythms) <= budget:
        return tuple(rhythms)
    fitted = {
        rhythm.name: rhythm if rhythm.name == DAILY else rhythm.every(MINUTES_PER_DAY) for rhythm in rhythms
    }
    # Core comes first: it gets the shortest interval that fits beside the others at their slowest.
    for name in (CORE, HOURLY, CUSTOM_FIELDS):
        if name in fitted:
            others = sum(rhythm.tokens_per_day for other, rhythm in fitted.items() if other != name)
            fitted[name] = _shortest(fitted[name], budget - others)
    return tuple(fitted[rhythm.name] for rhythm in rhythms)


def snapped(minutes: int) -> int:
    """The shortest interval of the ladder that is not shorter than ``minutes``."""
    return next((step for step in LADDER if step >= minutes), MINUTES_PER_DAY)


def span(minutes: int) -> str:
    """``minutes`` for people, to be read after "every": ``20 minutes``, ``hour``, ``6 hours``, ``day``."""
    for unit, length in (("day", MINUTES_PER_DAY), ("hour", 60), ("minute", 1)):
        if minutes % length == 0:
            count = minutes // length
            return unit if count == 1 else f"{count} {unit}s"
    raise ValueError(f"{minutes} is no number of minutes")


def _shortest(rhythm: Rhythm, budget: int) -> Rhythm:
    for minutes in LADDER:
        if minutes >= rhythm.wanted_minutes and rhythm.every(minutes).tokens_per_day <= budget:
            return rhythm.every(minutes)
    return rhythm.every(MINUTES_PER_DAY)


def _rhythm(name: str, specs: Iterable[EntitySpec], tier: Tier | None, minutes: int, enabled: bool) -> Rhythm:
    chosen = tuple(specs)
    wanted = snapped(minutes)
    return Rhythm(
        name=name,
        entities=tuple(spec.name for spec in chosen),
        tier=tier,
        wanted_minutes=wanted,
        interval_minutes=wanted,
        tokens_per_run=incremental_price(chosen, tier=tier),
        enabled=enabled and bool(chosen),
    )


def _has_stream(spec: EntitySpec, tier: Tier) -> bool:
    return any((stream.tier or spec.tier) is tier for stream in spec.streams)


def _in_daily_run(spec: EntitySpec, settings: PipedriveSettings) -> bool:
    # Entities on demand cost tokens per record: they run when somebody asks.
    if spec.tier is Tier.ON_DEMAND:
        return False
    return spec.group != FIELDS_GROUP or settings.scheduler_sync_custom_fields
