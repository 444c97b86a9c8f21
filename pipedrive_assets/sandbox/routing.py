"""Which function answers which request: routes by method, version and path template."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pipedrive_assets.sandbox.account import Account
from pipedrive_assets.sandbox.answers import Answer
from pipedrive_assets.sandbox.facts import OperationFacts, facts

Json = Any


@dataclass(slots=True)
class Request:
    """A checked request: its route's template, the values in its path, its query, its JSON body."""

    method: str
    version: str
    path: str
    operation: OperationFacts
    places: dict[str, str]
    params: dict[str, str]
    body: Json = None


Handler = Callable[[Account, Request], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """One operation that the sandbox serves."""

    method: str
    version: str
    path: str
    handler: Handler
    search: bool = False
    is_list: bool = False

    @property
    def operation(self) -> OperationFacts:
        """Price, parameters and body schema."""
        return facts(self.method, self.version, self.path)


@dataclass
class _Node:
    """One path segment of the routing tree."""

    literal: dict[str, _Node] = field(default_factory=dict)
    place: tuple[str, _Node] | None = None
    routes: dict[str, Route] = field(default_factory=dict)


class Router:
    """All routes; literal segments win over placeholders."""

    def __init__(self, routes: list[Route]) -> None:
        self.routes = routes
        self._roots: dict[str, _Node] = {"v1": _Node(), "v2": _Node()}
        for route in routes:
            node = self._roots[route.version]
            for segment in route.path.strip("/").split("/"):
                if segment.startswith("{"):
                    if node.place is None:
                        node.place = (segment.strip("{}"), _Node())
                    node = node.place[1]
                else:
                    node = node.literal.setdefault(segment, _Node())
            node.routes[route.method] = route

    def find(self, version: str, path: str) -> tuple[dict[str, Route], list[str]] | None:
        """Routes of a path by method, and the path's values in order; None if no path fits."""
        return _walk(self._roots[version], path.strip("/").split("/"), [])


def _walk(node: _Node, segments: list[str], values: list[str]) -> tuple[dict[str, Route], list[str]] | None:
    if not segments:
        return (node.routes, values) if node.routes else None
    head, rest = segments[0], segments[1:]
    if head in node.literal and (found := _walk(node.literal[head], rest, values)):
        return found
    if node.place is not None:
        return _walk(node.place[1], rest, [*values, head])
    return None


def places(path: str, values: list[str]) -> dict[str, str]:
    """The placeholders of a template with their values."""
    names = [segment.strip("{}") for segment in path.strip("/").split("/") if segment.startswith("{")]
    return dict(zip(names, values, strict=True))
