"""The definitions: they load anywhere, and say of each entity what a user needs to know."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from pipedrive_assets.catalog import CATALOG, CATALOG_VERSION
from pipedrive_assets.defs import run_tags
from pipedrive_assets.defs.build import build_defs
from pipedrive_assets.defs.checks import CHECKS
from pipedrive_assets.defs.entities import allowed_lag, entity_key
from pipedrive_assets.defs.monitoring_checks import MONITORING_CHECKS
from pipedrive_assets.defs.pricing import plan_schedules
from pipedrive_assets.defs.resources import PipedriveResource, build_resources, overridden
from pipedrive_assets.exceptions import PipedriveConfigException
from pipedrive_assets.settings import load_settings

ROOT = Path(__file__).parents[2]
TOKEN = "0123456789abcdef0123456789abcdef01234567"
DEFAULTS = {name for name, spec in CATALOG.items() if spec.default}


def defs_for(**variables: str) -> dg.Definitions:
    return build_defs(
        load_settings({f"PIPEDRIVE_{name.upper()}": value for name, value in variables.items()})
    )


def test_definitions_load_without_credentials() -> None:
    dg.Definitions.validate_loadable(defs_for())


def test_loading_imports_no_heavy_library_and_makes_no_file(tmp_path: Path) -> None:
    code = (
        "import sys, pipedrive_assets.definitions; "
        "print([name for name in ('duckdb', 'pyarrow', 'pandas', 'requests') if name in sys.modules])"
    )
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PIPEDRIVE_", "DAGSTER_"))}
    env |= {"PYTHONPATH": str(ROOT), "DAGSTER_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


def test_there_is_one_asset_for_each_enabled_entity_the_account_and_the_api() -> None:
    keys = defs_for().resolve_asset_graph().get_all_asset_keys()
    assert keys == {entity_key(name) for name in (*DEFAULTS, "account", "api_health")}


def test_enabled_entities_are_a_setting() -> None:
    keys = defs_for(enabled_entities="deals,deal_followers").resolve_asset_graph().get_all_asset_keys()
    assert {key.path[-1] for key in keys} == {"account", "api_health", "deals", "deal_followers"}


def test_no_enabled_entity_leaves_the_account_and_the_api() -> None:
    defs = defs_for(enabled_entities="")
    dg.Definitions.validate_loadable(defs)
    assert defs.resolve_asset_graph().get_all_asset_keys() == {
        entity_key("account"),
        entity_key("api_health"),
    }


def test_an_entity_depends_on_the_account_and_on_its_parent_only() -> None:
    graph = defs_for().resolve_asset_graph()
    for name in DEFAULTS:
        parents = {"account"} | ({CATALOG[name].parent} if CATALOG[name].parent else set())
        assert {key.path[-1] for key in graph.get(entity_key(name)).parent_keys} == parents


def test_an_asset_names_its_table_columns_owners_and_version() -> None:
    (node,) = [spec for spec in defs_for().resolve_all_asset_specs() if spec.key == entity_key("deals")]
    assert node.metadata["dagster/table_name"] == "pipedrive.deals"
    schema = node.metadata["dagster/column_schema"]
    schema = schema.value if isinstance(schema, dg.TableSchemaMetadataValue) else schema
    assert {column.name for column in CATALOG["deals"].columns} < {column.name for column in schema.columns}
    assert all(column.description for column in schema.columns)
    assert (node.code_version, node.kinds) == (CATALOG_VERSION, {"pipedrive", "duckdb"})
    assert node.owners and node.group_name == CATALOG["deals"].group
    assert node.freshness_policy is not None


def test_each_entity_has_every_check_that_applies_to_it() -> None:
    keys = defs_for().resolve_asset_graph().asset_check_keys
    of_deals = {key.name for key in keys if key.asset_key == entity_key("deals")}
    assert of_deals == set(CHECKS) | set(MONITORING_CHECKS)
    of_users = {key.name for key in keys if key.asset_key == entity_key("currencies")}
    assert of_users == (set(CHECKS) | set(MONITORING_CHECKS)) - {"references_are_known"}


def test_monitoring_switched_off_takes_its_checks_away_and_nothing_else() -> None:
    on, off = defs_for(), defs_for(monitoring_enabled="false")
    checks_on, checks_off = (
        {(key.asset_key, key.name) for key in each.resolve_asset_graph().asset_check_keys}
        for each in (on, off)
    )
    assert {name for _, name in checks_on - checks_off} == set(MONITORING_CHECKS)
    assert checks_off < checks_on
    assert _everything_but_checks(on) == _everything_but_checks(off)


def test_health_monitoring_switched_off_takes_asset_and_sensor_away_and_nothing_else() -> None:
    on, off = defs_for(), defs_for(health_monitoring_enabled="false")
    assert _everything_but_checks(on) - _everything_but_checks(off) == {"api_health", "pipedrive_health"}
    assert _everything_but_checks(off) < _everything_but_checks(on)


def test_the_health_sensor_ticks_at_the_check_interval_and_runs_with_a_token() -> None:
    for token, status in (("abc", dg.DefaultSensorStatus.RUNNING), ("", dg.DefaultSensorStatus.STOPPED)):
        repository = defs_for(health_check_interval="120", token=token).get_repository_def()
        sensor = repository.get_sensor_def("pipedrive_health")
        assert (sensor.minimum_interval_seconds, sensor.default_status) == (120, status)


def _everything_but_checks(defs: dg.Definitions) -> set[str]:
    """Names of assets, jobs, schedules and sensors."""
    names = {key.path[-1] for key in defs.resolve_asset_graph().get_all_asset_keys()}
    repository = defs.get_repository_def()
    names |= {job.name for job in repository.get_all_jobs()}
    names |= {schedule.name for schedule in repository.schedule_defs}
    return names | {sensor.name for sensor in repository.sensor_defs}


def test_jobs_carry_their_queue_and_their_time_limit() -> None:
    defs = defs_for(sync_queue="my-queue", job_timeout="120")
    for name in ("sync_pipedrive_entity", "sync_pipedrive_core", "sync_pipedrive_full"):
        tags = defs.resolve_job_def(name).tags
        assert (tags[run_tags.QUEUE], tags[run_tags.MAX_RUNTIME]) == ("my-queue", "120")
    assert defs.resolve_job_def("sync_pipedrive_full").tags[run_tags.MODE] == "full"
    assert defs.resolve_job_def("sync_pipedrive_core").tags[run_tags.TIER] == "core"


def test_the_executor_is_a_setting() -> None:
    assert defs_for().executor is dg.in_process_executor
    assert defs_for(executor="multiprocess").executor is dg.multiprocess_executor


def test_tries_of_a_step_are_a_setting() -> None:
    assets = defs_for(job_max_tries="5", enabled_entities="deals").assets or []
    policies = [asset.op.retry_policy for asset in assets if isinstance(asset, dg.AssetsDefinition)]
    assert [policy.max_retries for policy in policies if policy is not None] == [4]


def test_an_entity_may_lag_longer_where_the_budget_makes_its_schedule_slower() -> None:
    spec = CATALOG["deals"]
    roomy, tight = (
        plan_schedules(load_settings({"PIPEDRIVE_DAILY_TOKEN_BUDGET": budget})) for budget in ("90000", "500")
    )
    roomy_lag, tight_lag = allowed_lag(spec, roomy), allowed_lag(spec, tight)
    assert roomy_lag is not None and tight_lag is not None and roomy_lag < tight_lag
    assert allowed_lag(CATALOG["deal_followers"], roomy) is None


def test_collaborators_are_nested_as_the_objects_that_are_registered() -> None:
    resources = build_resources()
    defs = dg.Definitions(resources=resources, assets=[_asset_with_all()])
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process()
    assert result.output_for_node("same") is True


def test_a_resource_overrides_settings_and_checks_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPEDRIVE_MAX_BATCH_SIZE", "100")
    with dg.build_resources(
        build_resources(), resource_config={"paginator": {"config": {"min_batch_size": 50}}}
    ) as resources:
        settings = resources.pipedrive.settings()
    assert (settings.min_batch_size, settings.max_batch_size) == (50, 100)
    with pytest.raises(PipedriveConfigException, match="PIPEDRIVE_MAX_BATCH_SIZE"):
        overridden(load_settings({}), {"max_batch_size": 5000})


def test_a_token_given_to_the_resource_is_not_in_its_repr() -> None:
    resources = build_resources()
    parts = {name: part for name, part in resources.items() if name != "pipedrive"}
    assert TOKEN not in repr(PipedriveResource(**parts, token=TOKEN))


def test_dg_finds_the_definitions_by_itself() -> None:
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [str(Path(sys.executable).parent / "dg"), "check", "defs"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _asset_with_all() -> dg.AssetsDefinition:
    @dg.asset(required_resource_keys={"pipedrive", "paginator"})
    def same(context) -> bool:  # type: ignore[no-untyped-def]
        return context.resources.pipedrive.paginator is context.resources.paginator

    return same
