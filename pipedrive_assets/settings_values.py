"""Kinds of values that settings take: what each allows, and what is said of one that is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, SecretStr


def _queue_name(value: str) -> str:
    # A run tag's value; Dagster takes no others.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", value):
        raise ValueError("must be 1 to 63 letters, digits, dots, dashes or underscores")
    return value


def _clock_time(value: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ValueError("must be a time of day between 00:00 and 23:59")
    return value


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError("must be a time zone of the IANA database, such as Europe/Berlin") from error
    return value


def _company_domain(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", value):
        raise ValueError("must be the part before .pipedrive.com: lower-case letters, digits and dashes")
    return value


def _base_url(value: str) -> str:
    parts = urlsplit(value)
    try:
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.username is not None or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must be scheme and host only, such as https://acme.pipedrive.com")
    return f"{parts.scheme}://{parts.netloc}"


def _json_mapping(example: str) -> BeforeValidator:
    """Reads a mapping from JSON; ``example`` is what the message shows."""

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"must be JSON, such as {example}") from error

    return BeforeValidator(read)


def _token_costs(value: Mapping[str, int]) -> Mapping[str, int]:
    for key, cost in value.items():
        if not re.fullmatch(r"[a-z_]+|v[12]:/[A-Za-z0-9/{}_-]+", key) or not 0 <= cost <= 1000:
            raise ValueError("must map entities or v1:/path, v2:/path to 0 to 1000 tokens")
    return value


RESERVED_LANES = ("push", "repair", "incremental")
"""Lanes that less urgent ones leave tokens to; nothing comes after a backfill."""


def _lane_reserves(value: Mapping[str, int]) -> Mapping[str, int]:
    wrong = not set(value) <= set(RESERVED_LANES) or any(not 0 <= share <= 100 for share in value.values())
    if wrong or sum(value.values()) > 90:
        raise ValueError(
            f"must map {', '.join(RESERVED_LANES[:-1])} or {RESERVED_LANES[-1]} to 0 to 100 percent,"
            " 90 in sum at most"
        )
    return value


def _token(value: SecretStr) -> SecretStr:
    # It becomes a header: anything else would be refused by the HTTP library with the token in its message.
    if not re.fullmatch(r"[A-Za-z0-9._-]+", value.get_secret_value()):
        raise ValueError("must be letters and digits; look for quotes or spaces that came along")
    return value


ALERT_CONDITIONS = (
    "circuit_breaker_open",
    "high_failure_rate",
    "memory_threshold",
    "rate_limit_exhaustion",
    "api_unhealthy",
    "run_failure",
)
"""Names of what alerts can be given of."""


def _alert_conditions(value: str) -> str:
    wanted = [name.strip() for name in value.split(",")]
    if wanted != ["all"] and not set(wanted) <= set(ALERT_CONDITIONS):
        raise ValueError(f"must be all, or names separated by commas: {', '.join(ALERT_CONDITIONS)}")
    return value


QueueName = Annotated[str, AfterValidator(_queue_name)]
LaneReserves = Annotated[
    Mapping[str, int],
    _json_mapping('{"push": 5, "repair": 5, "incremental": 50}'),
    AfterValidator(_lane_reserves),
]
TokenCosts = Annotated[
    Mapping[str, int], _json_mapping('{"deals": 10, "v2:/deals/archived": 20}'), AfterValidator(_token_costs)
]
Token = Annotated[SecretStr, AfterValidator(_token)]
CompanyDomain = Annotated[str, AfterValidator(_company_domain)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
ClockTime = Annotated[str, AfterValidator(_clock_time)]
TimeZone = Annotated[str, AfterValidator(_timezone)]
AlertConditions = Annotated[str, AfterValidator(_alert_conditions)]
