"""What a person sees in the Dagster UI, in a real browser.

Run with ``PICTURES=docs/images`` in the environment, the tests also write the pictures of the README.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import dagster as dg
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from pipedrive_assets.defs.build import calendar_of
from pipedrive_assets.defs.entities import entity_key
from pipedrive_assets.defs.health import HEALTH_KEY, metadata_of
from pipedrive_assets.defs.run_tags import range_tags
from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets.settings import load_settings
from pipedrive_assets.sync.options import SyncMode, SyncOptions
from pipedrive_assets.sync.session import open_session
from pipedrive_assets_tests.e2e.deployment import LAUNCH, Deployment, deployed, ended

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 60_000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


PICTURES = os.environ.get("PICTURES")
SCALE: Literal["tiny", "small"] = "small" if PICTURES else "tiny"
ENTITIES = (
    "default" if PICTURES else "users,pipelines,stages,deal_fields,persons,deals,deal_products,activities"
)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    home = tmp_path_factory.mktemp("browser_home")
    with (
        Sandbox.start(SandboxConfig(scale=SCALE, seed=7)) as sandbox,
        deployed(home, sandbox, start_date="2026-01-01", enabled_entities=ENTITIES) as running,
    ):
        _materialize_everything(running)
        yield running


def _materialize_everything(deployment: Deployment) -> None:
    settings = load_settings(deployment.env)
    launched = deployment.ask(
        LAUNCH,
        {
            "selector": {
                "repositoryLocationName": "pipedrive_assets",
                "repositoryName": "__repository__",
                "pipelineName": "sync_pipedrive_entity",
            },
            "executionMetadata": {
                "tags": [
                    {"key": key, "value": value}
                    for key, value in range_tags(
                        calendar_of(settings).range_from(None, datetime.now(UTC))
                    ).items()
                ]
            },
        },
    )
    assert launched["__typename"] == "LaunchRunSuccess", launched
    with dg.DagsterInstance.from_config(deployment.env["DAGSTER_HOME"]) as instance:
        assert ended(instance, launched["run"]["runId"]) is dg.DagsterRunStatus.SUCCESS


@pytest.fixture(scope="module")
def page(deployment: Deployment) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = browser.new_context(viewport={"width": 1600, "height": 1000}, device_scale_factor=1)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        yield page
        browser.close()


def _picture(page: Page, name: str) -> None:
    if PICTURES:
        page.wait_for_timeout(2500)
        Path(PICTURES).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(PICTURES) / name))


def test_the_lineage_shows_every_group_below_the_account(deployment: Deployment, page: Page) -> None:
    page.goto(f"{deployment.url}/asset-groups")
    for group in ("sales", "contacts", "activities", "fields"):
        expect(page.get_by_text(group, exact=True).first).to_be_visible(timeout=PATIENCE_MS)
    _picture(page, "groups.png")
    page.goto(f"{deployment.url}/locations/pipedrive_assets/asset-groups/sales/lineage")
    for asset in ("deals", "deal_products", "pipelines", "stages"):
        expect(page.get_by_text(asset, exact=True).first).to_be_visible(timeout=PATIENCE_MS)
    _picture(page, "lineage.png")


def test_an_asset_page_shows_rows_tokens_and_checks(deployment: Deployment, page: Page) -> None:
    page.goto(f"{deployment.url}/assets/pipedrive/deals?view=overview")
    for text in ("row_count", "tokens", "requests"):
        expect(page.get_by_text(text).first).to_be_visible(timeout=PATIENCE_MS)
    _picture(page, "asset.png")


def test_the_partitions_of_an_asset_are_all_materialized(deployment: Deployment, page: Page) -> None:
    page.goto(f"{deployment.url}/assets/pipedrive/deals?view=partitions")
    expect(page.get_by_text("2026-01").first).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("Materialized").first).to_be_visible(timeout=PATIENCE_MS)
    _picture(page, "partitions.png")


def test_the_health_of_the_api_is_plotted_over_time(deployment: Deployment, page: Page) -> None:
    _check_health_again_and_again(deployment)
    page.goto(f"{deployment.url}/assets/pipedrive/api_health?view=overview")
    for text in ("latency_ms", "failure_percent", "tokens_left", "memory_percent"):
        expect(page.get_by_text(text).first).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_text("Plots", exact=True).click()
    expect(page.locator("canvas").nth(3)).to_be_attached(timeout=PATIENCE_MS)
    _picture(page, "health.png")


def test_a_failed_check_says_what_is_wrong(deployment: Deployment, page: Page) -> None:
    limits = deployment.sandbox.limits
    limits.set_budget(limits.budget - limits.remaining + 1)
    with open_session(load_settings(deployment.env)) as session:
        # Any answer tells that the day is used up.
        session.health.check(force=True)
    _check_deals(deployment)
    page.goto(f"{deployment.url}/assets/pipedrive/deals?view=checks&checkDetail=budget_is_sufficient")
    expect(page.get_by_text("budget_is_sufficient").first).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("Failed").first).to_be_visible(timeout=PATIENCE_MS)
    _picture(page, "failed-check.png")


def _check_health_again_and_again(deployment: Deployment) -> None:
    """What the sensor does every five minutes, between syncs and with some answers that are errors."""
    with (
        open_session(load_settings(deployment.env)) as session,
        dg.DagsterInstance.from_config(deployment.env["DAGSTER_HOME"]) as instance,
    ):
        for number in range(6):
            deployment.sandbox.faults.add("status", status=500, count=number % 3)
            session.sync("users", SyncOptions(mode=SyncMode.FULL))
            deployment.sandbox.faults.clear()
            report = session.health.check(force=True)
            event = dg.AssetMaterialization(asset_key=HEALTH_KEY, metadata=metadata_of(report))
            instance.report_runless_asset_event(event)


def _check_deals(deployment: Deployment) -> None:
    key = {"path": list(entity_key("deals").path)}
    launched = deployment.ask(
        LAUNCH,
        {
            "selector": {
                "repositoryLocationName": "pipedrive_assets",
                "repositoryName": "__repository__",
                "pipelineName": "__ASSET_JOB",
                "assetSelection": [],
                "assetCheckSelection": [{"assetKey": key, "name": "budget_is_sufficient"}],
            },
        },
    )
    assert launched["__typename"] == "LaunchRunSuccess", launched
    with dg.DagsterInstance.from_config(deployment.env["DAGSTER_HOME"]) as instance:
        assert ended(instance, launched["run"]["runId"]) is dg.DagsterRunStatus.SUCCESS


def test_the_token_is_nowhere_on_the_pages(deployment: Deployment, page: Page) -> None:
    for path in (
        "/assets/pipedrive/deals",
        "/assets/pipedrive/account",
        "/assets/pipedrive/api_health",
        "/locations/pipedrive_assets/resources",
    ):
        page.goto(f"{deployment.url}/{path}")
        page.wait_for_load_state("load")
        page.wait_for_timeout(1000)
        assert deployment.sandbox.token not in page.content()
