"""Faults on command, and the control API that sets them over HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import requests

from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets.sandbox.faults import STATUSES


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(SandboxConfig(scale="tiny", burst_limit=10_000)) as running:
        yield running


@pytest.fixture
def session(sandbox: Sandbox) -> Iterator[requests.Session]:
    with requests.Session() as opened:
        opened.headers["x-api-token"] = sandbox.token
        yield opened


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_fault_answers_that_status_once(
    sandbox: Sandbox, session: requests.Session, status: int
) -> None:
    sandbox.faults.add("status", path="/v2/deals", status=status, count=1, retry_after=7)
    first, second = (session.get(f"{sandbox.url}/api/v2/deals") for _ in range(2))
    assert (first.status_code, second.status_code) == (status, 200)
    assert first.headers["retry-after"] == "7" and first.json()["success"] is False
    assert [record.fault for record in sandbox.log] == ["status", None]


def test_the_nth_request_or_all_after_some_meet_the_fault(
    sandbox: Sandbox, session: requests.Session
) -> None:
    sandbox.faults.add("status", path="/deals", status=503, nth=2)
    sandbox.faults.add("status", path="/persons", status=403, after=1)
    assert [session.get(f"{sandbox.url}/api/v2/deals").status_code for _ in range(3)] == [200, 503, 200]
    assert [session.get(f"{sandbox.url}/api/v2/persons").status_code for _ in range(3)] == [200, 403, 403]
    sandbox.faults.clear()
    assert session.get(f"{sandbox.url}/api/v2/persons").status_code == 200


def test_bodies_are_spoiled_as_told(sandbox: Sandbox, session: requests.Session) -> None:
    url = f"{sandbox.url}/api/v2/deals?limit=5"
    sandbox.faults.add("html", status=502, count=1)
    html = session.get(url)
    assert html.status_code == 502 and html.headers["content-type"].startswith("text/html")
    sandbox.faults.add("invalid_json", count=1)
    with pytest.raises(requests.exceptions.JSONDecodeError):
        session.get(url).json()
    sandbox.faults.add("success_false", count=1)
    assert session.get(url).json()["success"] is False
    sandbox.faults.add("no_rate_headers", count=1)
    assert not [name for name in session.get(url).headers if "ratelimit" in name]
    sandbox.faults.add("extra_key", column="brand_new", value=1, count=1)
    assert session.get(url).json()["data"][0]["brand_new"] == 1
    sandbox.faults.add("bad_value", column="value", value="a lot", count=1)
    assert session.get(url).json()["data"][0]["value"] == "a lot"
    sandbox.faults.add("repeat_cursor", count=2)
    cursors = {session.get(url).json()["additional_data"]["next_cursor"] for _ in range(2)}
    assert len(cursors) == 1


def test_connections_break_as_told(sandbox: Sandbox, session: requests.Session) -> None:
    url = f"{sandbox.url}/api/v2/deals"
    sandbox.faults.add("reset", count=1)
    with pytest.raises(requests.exceptions.ConnectionError):
        session.get(url)
    sandbox.faults.add("truncate", count=1)
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
        session.get(url)
    sandbox.faults.add("hang", seconds=1.0, count=1)
    with pytest.raises(requests.exceptions.ReadTimeout):
        session.get(url, timeout=0.1)
    assert session.get(url).status_code == 200
    assert [record.fault for record in sandbox.log] == ["reset", "truncate", "hang", None]


def test_a_probable_fault_is_the_same_for_the_same_seed() -> None:
    outcomes = []
    for _ in range(2):
        with Sandbox.start(SandboxConfig(scale="tiny", seed=3)) as running, requests.Session() as session:
            session.headers["x-api-token"] = running.token
            running.faults.add("status", status=500, probability=0.5)
            outcomes.append([session.get(f"{running.url}/api/v1/users/me").status_code for _ in range(20)])
    assert outcomes[0] == outcomes[1] and set(outcomes[0]) == {200, 500}


def test_each_firing_remembers_the_request_and_its_place_in_the_list(
    sandbox: Sandbox, session: requests.Session
) -> None:
    sandbox.faults.add("no_rate_headers")
    places = []
    for path, size in (("v2/stages", 500), ("v2/activities", 30), ("v1/notes", 15)):
        cursor: str | None = None
        for start in range(0, 40, 15):
            params: dict[str, str] = {"limit": str(size)}
            if path.startswith("v1"):
                params["start"] = str(start)
            elif cursor:
                params["cursor"] = cursor
            body = session.get(f"{sandbox.url}/api/{path}", params=params).json()
            places.append(sandbox.faults.firings[-1].place)
            cursor = body["additional_data"].get("next_cursor")
            if not cursor and "pagination" not in body["additional_data"]:
                break
    assert places == ["only", "first", "middle", "last", "first", "middle", "last"]
    session.get(f"{sandbox.url}/api/v1/users/me")
    assert sandbox.faults.firings[-1].place is None
    sandbox.faults.clear()
    sandbox.faults.add("status", path="/notes", place="middle", status=503)
    statuses = [
        session.get(f"{sandbox.url}/api/v1/notes", params={"limit": "15", "start": str(start)}).status_code
        for start in (0, 15, 30)
    ]
    assert statuses == [200, 503, 200]
    fired = sandbox.faults.firings[-1]
    assert (fired.kind, fired.status, fired.path) == ("status", 503, "/api/v1/notes")
    assert fired.params["start"] == "15"


def test_the_control_api_steers_without_being_charged(sandbox: Sandbox, session: requests.Session) -> None:
    control = f"{sandbox.url}/sandbox"
    assert session.post(f"{control}/faults", json={"kind": "status", "path": "/deals", "status": 500}).ok
    assert session.get(f"{sandbox.url}/api/v2/deals").status_code == 500
    assert session.get(f"{control}/faults").json()[0]["fired"] == 1
    assert session.delete(f"{control}/faults").json() == []
    session.post(f"{control}/clock", json={"set": "2027-01-01T00:00:00Z", "frozen": True})
    assert session.get(f"{sandbox.url}/api/v1/users/me").headers["date"] == "Fri, 01 Jan 2027 00:00:00 GMT"
    made = session.post(f"{control}/records/deals", json={"fields": {"title": "x"}}).json()["id"]
    session.post(f"{control}/records/deals", json={"action": "archive", "id": made})
    assert [
        row["is_archived"] for row in session.get(f"{control}/rows/deals").json() if row["id"] == made
    ] == [True]
    assert session.post(f"{control}/records/deals", json={"action": "delete", "id": 10**9}).status_code == 404
    assert session.post(f"{control}/faults", json={"kind": "status", "status": 299}).status_code == 400
    assert session.post(f"{control}/budget", json={"tokens": 5}).json()["budget"] == 5
    assert session.get(f"{control}/rows/nothing").status_code == 404
    assert [row["path"] for row in session.get(f"{control}/log").json()] == ["/deals", "/users/me"]
    assert session.get(f"{control}/state").json()["requests"] == 2


def test_latency_is_applied() -> None:
    with Sandbox.start(SandboxConfig(scale="tiny", latency_ms=80)) as running, requests.Session() as session:
        session.headers["x-api-token"] = running.token
        started = time.monotonic()
        session.get(f"{running.url}/api/v1/users/me")
        assert time.monotonic() - started >= 0.08


def test_stopping_cuts_a_hanging_request_and_frees_the_port() -> None:
    sandbox = Sandbox.start(SandboxConfig(scale="tiny"))
    sandbox.faults.add("hang", seconds=60)
    with pytest.raises(requests.exceptions.RequestException):
        requests.get(f"{sandbox.url}/api/v1/users/me", headers={"x-api-token": sandbox.token}, timeout=0.1)
    started = time.monotonic()
    sandbox.stop()
    assert time.monotonic() - started < 5
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(sandbox.url, timeout=1)
