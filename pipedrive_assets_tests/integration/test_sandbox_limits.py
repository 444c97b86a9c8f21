"""What the sandbox charges, when it refuses, and what its log and gateway say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests

from pipedrive_assets.sandbox import Sandbox, SandboxConfig

Start = Callable[..., tuple[Sandbox, requests.Session]]


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def run(**config: Any) -> tuple[Sandbox, requests.Session]:
            sandbox = stack.enter_context(Sandbox.start(SandboxConfig(scale="tiny", **config)))
            session = stack.enter_context(requests.Session())
            session.headers["x-api-token"] = sandbox.token
            return sandbox, session

        yield run


@pytest.mark.parametrize(
    ("plan", "burst"), [("lite", 20), ("growth", 40), ("premium", 100), ("ultimate", 120)]
)
def test_a_plan_allows_its_burst_and_refuses_the_next_request(start: Start, plan: str, burst: int) -> None:
    sandbox, session = start(plan=plan)
    answers = [session.get(f"{sandbox.url}/api/v1/users/me") for _ in range(burst + 1)]
    assert [answer.status_code for answer in answers[:burst]] == [200] * burst
    refused = answers[-1]
    assert refused.status_code == 429
    assert refused.json()["error"] == "request over limit"
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert int(refused.headers["x-daily-ratelimit-token-remaining"]) > 0
    assert int(refused.headers["retry-after"]) >= 1
    assert sandbox.log.max_in_window() == burst + 1


def test_searches_have_a_narrower_window(start: Start) -> None:
    sandbox, session = start()
    codes = [session.get(f"{sandbox.url}/api/v2/deals/search?term=deal").status_code for _ in range(11)]
    assert codes == [200] * 10 + [429]
    assert session.get(f"{sandbox.url}/api/v2/deals").status_code == 200


def test_the_daily_budget_stops_everything_until_midnight(start: Start) -> None:
    sandbox, session = start(daily_budget=25, now="2026-06-15T23:00:00Z")
    url = f"{sandbox.url}/api/v2/deals"
    assert [session.get(url).status_code for _ in range(3)] == [200, 200, 429]
    refused = session.get(f"{sandbox.url}/api/v2/deals/1")
    assert refused.status_code == 429
    assert refused.headers["x-daily-ratelimit-token-remaining"] == "0"
    assert "retry-after" not in refused.headers
    assert sandbox.log.tokens_by_day() == {"2026-06-15": 20}
    sandbox.clock.set("2026-06-16T00:00:00Z")
    again = session.get(url)
    assert again.status_code == 200 and again.headers["x-daily-ratelimit-token-remaining"] == "15"


def test_refused_requests_cost_tokens_except_401_and_429(start: Start) -> None:
    sandbox, session = start()
    session.get(f"{sandbox.url}/api/v2/deals?nope=1")
    session.get(f"{sandbox.url}/api/v2/deals/99999")
    assert sandbox.log.tokens == 11
    requests.get(f"{sandbox.url}/api/v2/deals", timeout=5).close()
    for status in (500, 503):
        sandbox.faults.add("status", path="/deals", status=status, count=1)
        session.get(f"{sandbox.url}/api/v2/deals")
    assert sandbox.log.tokens == 11


@pytest.mark.parametrize("headers", [{}, {"x-api-token": "wrong"}, {"Authorization": "Bearer x"}])
def test_without_a_valid_token_the_gateway_answers_401(start: Start, headers: dict[str, str]) -> None:
    sandbox, _ = start()
    response = requests.get(f"{sandbox.url}/api/v2/deals", headers=headers, timeout=5)
    assert response.status_code == 401
    assert response.headers["x-401-by-gw"] == "true" and response.headers["x-correlation-id"]
    assert response.json()["errorCode"] == 401
    assert "x-daily-ratelimit-token-remaining" not in response.headers


def test_a_token_in_the_query_works_on_v1_only(start: Start) -> None:
    sandbox, _ = start()
    for version, status in (("v1/users", 200), ("v2/deals", 401)):
        url = f"{sandbox.url}/api/{version}"
        assert requests.get(url, params={"api_token": sandbox.token}, timeout=5).status_code == status
    assert all(sandbox.token not in str(record) for record in sandbox.log)


def test_an_unknown_path_is_a_scope_mismatch_and_a_wrong_method_405(start: Start) -> None:
    sandbox, session = start()
    unknown = session.get(f"{sandbox.url}/api/v2/users/1")
    assert unknown.status_code == 403 and unknown.json()["error"] == "Scope and URL mismatch"
    assert session.get(f"{sandbox.url}/v2/deals").status_code in (403, 404)
    assert session.put(f"{sandbox.url}/api/v2/deals").status_code == 405


def test_both_prefixes_serve_v1(start: Start) -> None:
    sandbox, session = start()
    first, second = (session.get(sandbox.url + prefix + "/users").json() for prefix in ("/v1", "/api/v1"))
    assert first == second


def test_hammering_after_429_brings_the_cloudflare_page(start: Start) -> None:
    sandbox, session = start(burst_limit=1)
    answers = [session.get(f"{sandbox.url}/api/v1/users/me") for _ in range(60)]
    assert answers[-1].status_code == 403
    assert answers[-1].headers["content-type"].startswith("text/html")
    assert "Cloudflare" in answers[-1].text


def test_each_token_has_its_own_window_and_all_share_the_budget(start: Start) -> None:
    sandbox, session = start(tokens=("a" * 40, "b" * 40), burst_limit=3)
    url = f"{sandbox.url}/api/v1/users/me"
    for token in sandbox.config.tokens:
        session.headers["x-api-token"] = token
        assert [session.get(url).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert sandbox.log.tokens == 12


def test_the_log_tells_template_parameters_and_price(start: Start) -> None:
    sandbox, session = start()
    session.get(f"{sandbox.url}/api/v2/deals/5?include_fields=products_count")
    record = sandbox.log.for_path("/deals/{id}")[0]
    assert (record.method, record.version, record.status, record.cost) == ("GET", "v2", 200, 1)
    assert record.raw_path == "/api/v2/deals/5"
    assert record.params == {"include_fields": "products_count"}
    assert record.fault is None and sandbox.token not in str(record)
    sandbox.log.clear()
    assert len(sandbox.log) == 0
