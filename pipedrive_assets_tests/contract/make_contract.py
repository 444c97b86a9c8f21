"""Write the contract facts ``v1.json`` and ``v2.json`` from Pipedrive's OpenAPI files.

Run ``python make_contract.py OPENAPI_V1.yaml OPENAPI_V2.yaml`` after fetching newer files; the diff of the
two JSON files then shows what changed in the API. One operation is one line, keyed ``METHOD /path``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

METHODS = ("get", "post", "put", "patch", "delete")
KEPT = ("type", "format", "enum", "default", "minimum", "maximum", "maxLength", "minLength", "maxItems")

Json = dict[str, Any]


def merged(schema: Json) -> Json:
    """One schema in which every ``allOf`` is folded into its parent."""
    result = {key: value for key, value in schema.items() if key != "allOf"}
    properties: Json = {}
    required: list[str] = []
    for part in [merged(each) for each in schema.get("allOf", [])] + [result]:
        for name, value in part.get("properties", {}).items():
            properties[name] = _both(properties[name], value) if name in properties else value
        required += [name for name in part.get("required", []) if name not in required]
        for key, value in part.items():
            if key not in ("properties", "required"):
                result.setdefault(key, value)
    if properties:
        result["properties"] = properties
    if required:
        result["required"] = required
    return result


def _both(first: Json, second: Json) -> Json:
    """Two descriptions of one property, as ``allOf`` parts repeat them."""
    return merged({"allOf": [first, second]})


def fact(schema: Json) -> Json:
    """What the tests compare of a schema: types, nullability, formats, enums and everything nested."""
    schema = merged(schema)
    out: Json = {key: schema[key] for key in KEPT if key in schema}
    if schema.get("nullable"):
        out["nullable"] = True
    for word in ("oneOf", "anyOf"):
        if word in schema:
            out["any"] = [fact(each) for each in schema[word]]
    if "properties" in schema:
        out["properties"] = {name: fact(each) for name, each in schema["properties"].items()}
        out.setdefault("type", "object")
    if "required" in schema and isinstance(schema["required"], list):
        out["required"] = sorted(schema["required"])
    if isinstance(schema.get("items"), dict):
        out["items"] = fact(schema["items"])
    if schema.get("additionalProperties") or (out.get("type") == "object" and not out.get("properties")):
        out["free"] = True
    return out


def row_place(data: Json) -> tuple[list[str], Json | None]:
    """Path below the body to the rows (or the single record), and the schema of one row."""
    if data.get("type") == "array" or "items" in data:
        return ["data"], data.get("items")
    for name in ("items", "goals"):
        inner = data.get("properties", {}).get(name, {})
        if inner.get("type") == "array":
            return ["data", name], inner.get("items")
    return ["data"], data or None


def example_rows(example: Any, path: list[str]) -> list[Json]:
    """Records shown in an operation's example, at ``path``."""
    for name in path:
        example = example.get(name) if isinstance(example, dict) else None
    rows = example if isinstance(example, list) else [example]
    return [row for row in rows if isinstance(row, dict)]


def paging(parameters: set[str]) -> str:
    """Style of paging that the query parameters show."""
    if "cursor" in parameters:
        return "cursor"
    return "offset" if "start" in parameters else "none"


def operation(path: str, method: str, spec: Json) -> Json:
    """The facts of one operation."""
    query: Json = {}
    for parameter in spec.get("parameters", []):
        if parameter["in"] == "query":
            entry = fact(parameter.get("schema", {}))
            if parameter.get("required"):
                entry["required"] = True
            query[parameter["name"]] = entry
    status = next((code for code in spec["responses"] if str(code).startswith("2")), None)
    content = spec["responses"][status].get("content", {}) if status else {}
    answer = content.get("application/json", {})
    out: Json = {
        "cost": spec.get("x-token-cost"),
        "deprecated": bool(spec.get("deprecated")),
        "method": method.upper(),
        "paging": paging(set(query)),
        "params": query,
        "path": path,
        "scopes": sorted({s for each in spec.get("security", []) for s in each.get("oauth2", [])}),
        "status": int(status) if status else None,
    }
    if method == "get" and "schema" in answer:
        body = fact(answer["schema"])
        place, row = row_place(body.get("properties", {}).get("data", {}))
        out["rows_path"], out["row"] = place, row
        out["is_list"] = body.get("properties", {}).get("data", {}).get("type") == "array" or len(place) > 1
        rows = example_rows(answer.get("example", {}), place)
        out["example_properties"] = sorted({key for each in rows for key in each})
        out["envelope"] = {k: v for k, v in body.get("properties", {}).items() if k != "data"}
    request = spec.get("requestBody", {}).get("content", {})
    if request:
        media, described = next(iter(request.items()))
        out["body"] = {"media": media, **fact(described.get("schema", {}))}
    return out


def contract(document: Json) -> dict[str, Json]:
    """All operations of one OpenAPI document, sorted by key."""
    found = {
        f"{method.upper()} {path}": operation(path, method, item[method])
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    }
    return dict(sorted(found.items()))


def write(facts: dict[str, Json], target: Path) -> None:
    """One operation a line, so that diffs read well."""
    lines = [
        f"{json.dumps(key)}: {json.dumps(value, sort_keys=True, separators=(',', ':'), default=str)}"
        for key, value in facts.items()
    ]
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main(openapi_v1: str, openapi_v2: str) -> None:
    """Write both files beside this script."""
    here = Path(__file__).parent
    for version, source in (("v1", openapi_v1), ("v2", openapi_v2)):
        document = yaml.load(Path(source).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        write(contract(document), here / f"{version}.json")


if __name__ == "__main__":
    main(*sys.argv[1:3])
