"""The table of errors that people read."""

from __future__ import annotations

from pipedrive_assets.api.error_handler import Failure
from pipedrive_assets.api.error_table import markdown
from pipedrive_assets.settings import PipedriveSettings


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]


def line(text: str, beginning: str) -> list[str]:
    (found,) = [row for row in cells(text) if row[0].startswith(beginning)]
    return found


def test_every_class_of_errors_has_a_line_of_the_same_shape() -> None:
    rows = cells(markdown())
    assert len(rows) == 2 + len(Failure)
    assert {len(row) for row in rows} == {7}
    assert len({row[0] for row in rows}) == len(rows)


def test_the_lines_say_what_the_requirements_ask_for() -> None:
    text = markdown()
    assert line(text, "503")[2:] == ["4, 8, 16", "no", "yes", "yes", "no"]
    assert line(text, "408, 500")[2:] == ["1, 2, 4", "no", "yes", "yes", "no"]
    assert line(text, "429 of")[2:] == ["2, 4", "yes", "no", "no", "yes"]
    assert line(text, "429 with")[2:] == ["not retried", "no", "no", "no", "no"]
    assert line(text, "401")[2:] == ["not retried", "no", "no", "no", "no"]
    assert line(text, "certificate")[2:] == ["not retried", "no", "no", "yes", "no"]


def test_the_waits_follow_the_settings() -> None:
    patient = PipedriveSettings(max_retry_attempts=5, rate_limit_max_delay=6)
    assert line(markdown(patient), "408, 500")[2] == "1, 2, 4, 6, 6"
    assert line(markdown(patient), "429 of")[2] == "2, 4", "three in a row are the most"
    assert line(markdown(PipedriveSettings(max_retry_attempts=0)), "408, 500")[2] == "not retried"
