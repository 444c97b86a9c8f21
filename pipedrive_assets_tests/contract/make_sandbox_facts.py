"""Write ``pipedrive_assets/sandbox/facts.json``: what the sandbox checks and charges per operation.

Run it after ``make_contract.py``. The sandbox must work where the tests are not installed, so it carries
its own copy of prices, parameters and write bodies, made from the OpenAPI facts and from nothing else.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LEFT_OUT = ("/channels", "/meetings", "/oauth", "/billing", "/projects/phases", "/projects/boards")


def sandbox_facts(here: Path) -> dict[str, dict[str, Any]]:
    """Cost, status, query parameters and body schema of every operation, keyed ``METHOD version path``."""
    found: dict[str, dict[str, Any]] = {}
    for version in ("v1", "v2"):
        facts = json.loads((here / f"{version}.json").read_text(encoding="utf-8"))
        for fact in facts.values():
            if not fact["path"].startswith(LEFT_OUT) and fact["cost"] is not None:
                kept = {name: fact[name] for name in ("cost", "status", "params", "body") if fact.get(name)}
                found[f"{fact['method']} {version} {fact['path']}"] = kept
    return found


def main() -> None:
    """Write the file, one operation a line."""
    here = Path(__file__).parent
    lines = [
        f"{json.dumps(key)}: {json.dumps(value, sort_keys=True, separators=(',', ':'))}"
        for key, value in sorted(sandbox_facts(here).items())
    ]
    target = here.parent.parent / "pipedrive_assets" / "sandbox" / "facts.json"
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
