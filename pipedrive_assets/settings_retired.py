"""Names of ``PIPEDRIVE_*`` variables that users bring along and that do nothing here, and why.

Setting one is no error, so that an existing environment can be carried over; each gives one warning.
"""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "PIPEDRIVE_"


@dataclass(frozen=True, slots=True)
class Retired:
    """A variable without a counterpart: ``why``, and what does its work now (may be empty)."""

    name: str
    why: str
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Later:
    """A variable of a feature that this version does not have yet."""

    name: str
    default: str
    meaning: str


_CACHE = "nothing is cached beside the warehouse"
_EVERYTHING = "a sync always reads every changed record and stores every newer one"
_LOGGING = "events go to Python's logging as named lines"
_UI_RIGHTS = "there are no pages of our own to open to anybody; the Dagster UI stands behind your proxy"

RETIRED: tuple[Retired, ...] = (
    Retired("AUTO_SYNC", "it never had any code behind it", "PIPEDRIVE_INCREMENTAL_SCHEDULE_ENABLED"),
    Retired("SCHEDULER_FORCE", _EVERYTHING),
    Retired("SCHEDULER_LIMIT", _EVERYTHING),
    Retired("SCHEDULER_FULL_DATA", _EVERYTHING, "sync-entities --full-data"),
    Retired("SCHEDULER_MEMORY_LIMIT", "pages are streamed", "PIPEDRIVE_MEMORY_LIMIT_MB"),
    Retired("CUSTOM_FIELDS_SCHEDULER_FORCE", _EVERYTHING),
    Retired("API_DELAY", "requests are paced by the limits themselves", "PIPEDRIVE_BURST_MARGIN_MS"),
    Retired(
        "API_DELAY_ENABLED", "requests are paced by the limits themselves", "PIPEDRIVE_RATE_LIMITING_ENABLED"
    ),
    Retired("TIMEOUT", "it never had any code behind it", "PIPEDRIVE_REQUEST_TIMEOUT"),
    Retired("RETRY_ATTEMPTS", "it never had any code behind it", "PIPEDRIVE_MAX_RETRY_ATTEMPTS"),
    Retired("DEBUG", "it never had any code behind it", "the option --verbose"),
    Retired("CACHE_ENABLED", _CACHE),
    Retired("CACHE_DRIVER", _CACHE),
    Retired("CACHE_CUSTOM_FIELDS_TTL", _CACHE, "PIPEDRIVE_CUSTOM_FIELDS_SCHEDULER_FREQUENCY"),
    Retired("CACHE_PIPELINES_TTL", _CACHE),
    Retired("CACHE_STAGES_TTL", _CACHE),
    Retired("CACHE_USERS_TTL", _CACHE),
    Retired("CACHE_AUTO_REFRESH", _CACHE),
    Retired("CACHE_PREFIX", _CACHE),
    Retired("MERGE_HEURISTIC_DETECTION", "merges are never guessed; only Pipedrive's own word counts"),
    Retired("MERGE_DETECTION_WINDOW", "merges are never guessed; only Pipedrive's own word counts"),
    Retired("WEBHOOK_LOGGING", _LOGGING),
    Retired("WEBHOOK_LOG_CHANNEL", _LOGGING),
    Retired("WEBHOOK_LOG_LEVEL", _LOGGING),
    Retired("AUTHORIZED_EMAILS", _UI_RIGHTS),
    Retired("AUTHORIZED_USER_IDS", _UI_RIGHTS),
    Retired("WEBHOOK_BASIC_AUTH_ENABLED", "it never had any code behind it", "PIPEDRIVE_WEBHOOK_BASIC_AUTH"),
    Retired("WEBHOOK_BASIC_AUTH_USERNAME", "it never had any code behind it", "PIPEDRIVE_WEBHOOK_USERNAME"),
    Retired("WEBHOOK_BASIC_AUTH_PASSWORD", "it never had any code behind it", "PIPEDRIVE_WEBHOOK_PASSWORD"),
)

LATER: tuple[Later, ...] = (
    Later("CLIENT_ID", "", "OAuth: id of the app"),
    Later("CLIENT_SECRET", "", "OAuth: secret of the app"),
    Later("REDIRECT_URL", "", "OAuth: address Pipedrive sends the user back to"),
    Later("WEBHOOKS_AUTO_SYNC", "true", "Webhooks: apply what they announce"),
    Later("WEBHOOKS_DETECT_CUSTOM_FIELDS", "true", "Webhooks: fetch definitions of unknown fields"),
    Later("WEBHOOK_PATH", "pipedrive/webhook", "Webhooks: path of the receiver"),
    Later("WEBHOOK_BASIC_AUTH", "false", "Webhooks: ask for user and password"),
    Later("WEBHOOK_USERNAME", "", "Webhooks: that user"),
    Later("WEBHOOK_PASSWORD", "", "Webhooks: that password"),
    Later("WEBHOOK_IP_WHITELIST", "false", "Webhooks: take them from known addresses only"),
    Later("WEBHOOK_SIGNATURE", "false", "Webhooks: ask for a signature"),
    Later("WEBHOOK_SECRET", "", "Webhooks: key of the signature"),
    Later("MERGE_AUTO_MIGRATE", "true", "Merges: move links to the surviving record"),
    Later("MERGE_STRATEGY", "keep_both", "Merges: what to do where both records are linked"),
)

_RETIRED_BY_NAME = {PREFIX + entry.name: entry for entry in RETIRED}
_LATER_BY_NAME = {PREFIX + entry.name: entry for entry in LATER}


def known_names() -> frozenset[str]:
    """Full names of all variables listed here."""
    return frozenset(_RETIRED_BY_NAME) | frozenset(_LATER_BY_NAME)


def notice(variable: str) -> str | None:
    """One line about a variable that is set and does nothing; None if it is not listed here."""
    if retired := _RETIRED_BY_NAME.get(variable):
        use = f"; use {retired.instead}" if retired.instead else ""
        return f"{variable} is not used: {retired.why}{use}"
    if later := _LATER_BY_NAME.get(variable):
        return f"{variable} has no effect in this version ({later.meaning})"
    return None
