"""What an alert says: enough to act on, with a link that leads somewhere, and no secret."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipedrive_assets.alerts.conditions import EXPLANATIONS, RULES
from pipedrive_assets.alerts.messages import LONGEST_DETAIL, compose, trial
from pipedrive_assets.redaction import register_secret
from pipedrive_assets.settings_values import ALERT_CONDITIONS
from pipedrive_assets.state.alerts import Kind, Message, Severity

ROOT = Path(__file__).parents[2]
AWKWARD = "Acme\r\nBcc: everybody@example.com"


def message(condition: str, *, kind: Kind = Kind.RAISED, detail: str = "five failed") -> Message:
    return Message(
        3, "mail", condition, kind, Severity.CRITICAL, 1_795_474_427.0, detail, 1_795_474_500.0, None, 1, ""
    )


def anchors() -> set[str]:
    """Anchors of the runbook's headings, as the forges make them."""
    text = re.sub(r"```.*?```", "", (ROOT / "docs" / "runbook.md").read_text(), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_every_condition_that_can_be_chosen_is_explained_and_observed() -> None:
    assert set(EXPLANATIONS) == set(ALERT_CONDITIONS)
    # That a run failed is observed by Dagster.
    assert set(RULES) == set(ALERT_CONDITIONS) - {"run_failure"}


@pytest.mark.parametrize("condition", ALERT_CONDITIONS)
def test_an_alert_says_what_since_when_what_it_affects_what_to_do_and_where_it_is_written(
    condition: str,
) -> None:
    text = compose(message(condition), account="Acme", runbook_url="https://wiki/runbook")
    meaning = EXPLANATIONS[condition]
    assert text.subject == f"[critical] {meaning.title} (Acme)"
    for said in (meaning.title, "five failed", "2026-11-23 22:53:47 UTC", meaning.affects, meaning.advice):
        assert said in text.body
    assert f"https://wiki/runbook#{meaning.anchor}" in text.body
    assert meaning.anchor in anchors()


def test_a_recovery_says_from_when_to_when_it_lasted() -> None:
    text = compose(
        message("api_unhealthy", kind=Kind.RECOVERED), account="Acme", runbook_url="docs/runbook.md"
    )
    assert text.subject.startswith("[recovered]")
    assert "Since: 2026-11-23 22:53:47 UTC" in text.body
    assert "Until: 2026-11-23 22:55:00 UTC" in text.body


def test_a_run_failure_names_its_job_and_is_explained_as_one() -> None:
    text = compose(message("run_failure:sync_pipedrive_core"), account="Acme", runbook_url="r")
    assert "run_failure:sync_pipedrive_core" in text.body
    assert EXPLANATIONS["run_failure"].advice in text.body


def test_no_secret_and_no_line_break_gets_into_subject_or_body() -> None:
    register_secret("hunter2hunter2")
    text = compose(
        message("run_failure:x", detail="api_token=abcdef123456 and hunter2hunter2"),
        account=AWKWARD,
        runbook_url="r",
    )
    assert "hunter2" not in text.body
    assert "abcdef123456" not in text.body
    assert len(text.subject.splitlines()) == 1
    assert "\nBcc:" not in text.body


def test_a_test_message_is_of_one_line_each_whatever_the_company_is_called() -> None:
    text = trial("mail", account=AWKWARD, runbook_url="r", now=1.0)
    assert len(text.subject.splitlines()) == 1
    assert len(text.body.splitlines()) == 4


def test_an_error_of_a_whole_page_is_cut() -> None:
    text = compose(message("run_failure:x", detail="<html>" * 9999), account="Acme", runbook_url="r")
    assert len(text.body) < LONGEST_DETAIL + 1000
