"""The catalog assembled: every entity in sync order, its version, and look-up by name."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from types import MappingProxyType

from pipedrive_assets.catalog import (
    activities,
    company,
    deals,
    fields,
    leads,
    mail,
    notes,
    people,
    pipelines,
    products,
    projects,
    users,
)
from pipedrive_assets.catalog.spec import EntitySpec
from pipedrive_assets.exceptions import PipedriveConfigException

_SPECS: tuple[EntitySpec, ...] = (
    *users.SPECS,
    *company.SPECS,
    *fields.SPECS,
    *pipelines.SPECS,
    *people.CONTACTS,
    *products.SPECS,
    *deals.SPECS,
    *leads.SPECS,
    *activities.SPECS,
    *notes.SPECS,
    *projects.SPECS,
    *mail.SPECS,
    *people.CHILDREN,
    *products.CHILDREN,
)

CATALOG: Mapping[str, EntitySpec] = MappingProxyType({entity.name: entity for entity in _SPECS})
"""Every entity by name, parents before children, in the order in which entities are synced."""

_DEFAULT_WORD = "default"
_ALL_WORD = "all"


def fingerprint(specs: Iterable[EntitySpec]) -> str:
    """Twelve hex digits that change with anything that changes what is fetched or how it is stored.

    Descriptions do not count: correcting one must not invalidate stored positions.
    """
    plain = [_without_descriptions(asdict(entity)) for entity in specs]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]


def _without_descriptions(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_descriptions(inner) for key, inner in value.items() if key != "description"}
    if isinstance(value, (list, tuple)):
        return [_without_descriptions(inner) for inner in value]
    return value


CATALOG_VERSION: str = fingerprint(_SPECS)
"""Version of the catalog, stored with each position: a position of another version is not resumed."""


def spec(name: str) -> EntitySpec:
    """The entity called ``name``; raises ``PipedriveConfigException`` with near matches if there is none."""
    try:
        return CATALOG[name]
    except KeyError:
        raise PipedriveConfigException(_unknown(name)) from None


def default_entities() -> tuple[str, ...]:
    """Names of the entities that are on unless settings say otherwise, in sync order."""
    return tuple(name for name, entity in CATALOG.items() if entity.default)


def resolve_entities(text: str) -> tuple[str, ...]:
    """Names that a value of ``PIPEDRIVE_ENABLED_ENTITIES`` selects, in sync order.

    A comma-separated list of entity names and the words ``default`` and ``all``, read from left to right;
    ``+name`` adds, ``-name`` takes away, a plain name adds. A list that begins with a signed name starts
    from ``default``. Empty selects none. Raises ``PipedriveConfigException`` that names every unknown
    entity with near matches.
    """
    items = [item.strip() for item in text.split(",") if item.strip()]
    selected: set[str] = set()
    if items and items[0][0] in "+-":
        selected.update(default_entities())
    problems: list[str] = []
    for item in items:
        name = item.lstrip("+-").strip()
        if name == _DEFAULT_WORD:
            chosen = set(default_entities())
        elif name == _ALL_WORD:
            chosen = set(CATALOG)
        elif name in CATALOG:
            chosen = {name}
        else:
            problems.append(f"PIPEDRIVE_ENABLED_ENTITIES: {_unknown(name)}")
            continue
        selected = selected - chosen if item.startswith("-") else selected | chosen
    if problems:
        raise PipedriveConfigException(problems=tuple(problems))
    return tuple(name for name in CATALOG if name in selected)


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, [*CATALOG, _DEFAULT_WORD, _ALL_WORD], n=3, cutoff=0.6)
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    return f"Pipedrive has no entity {name!r}{hint}"
