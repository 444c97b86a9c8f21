"""A setting that changes nothing is a promise broken: each has a test that shows what its value changes.

A new setting comes with its test, and with a line here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from pipedrive_assets.settings import PipedriveSettings

TESTS = Path(__file__).parents[1]

BEHAVIOUR = "integration/test_settings_behaviour.py"
PACE = "integration/test_settings_pace.py"
CLIENT = "integration/test_client.py"
COMMANDS = "integration/test_cli.py"
QUEUES = "integration/test_run_queues.py"
HEALTH = "integration/test_health.py"
MONITORING = "e2e/test_dagster_monitoring.py"
RATE_LIMIT = "unit/test_rate_limit.py"
DEFINITIONS = "unit/test_defs_build.py"
PRICING = "unit/test_defs_pricing.py"
ALERTS = "integration/test_alerts.py"
ALERT_CHANNELS = "integration/test_alert_channels.py"
ALERT_SENSORS = "e2e/test_alert_sensors.py"
SCHEDULES = "unit/test_defs_schedules.py"

SHOWN_BY: Mapping[str, str] = {
    # Connection
    "auth_method": f"{BEHAVIOUR}::test_auth_method_is_told_and_another_is_refused_before_anything_is_asked",
    "token": f"{COMMANDS}::test_a_wrong_token_is_one_clear_line_with_what_to_do_and_no_warehouse",
    "company_domain": f"{BEHAVIOUR}::test_company_domain_is_the_host_that_is_called",
    "base_url": f"{BEHAVIOUR}::test_base_url_is_the_server_that_is_called",
    "request_timeout": f"{BEHAVIOUR}::test_request_timeout_is_how_long_an_answer_is_waited_for",
    "request_deadline": f"{PACE}::test_request_deadline_is_how_long_one_call_goes_on_trying",
    # Storage
    "dagster_home": f"{BEHAVIOUR}::test_dagster_home_is_where_warehouse_and_state_lie",
    "warehouse": f"{BEHAVIOUR}::test_warehouse_is_where_rows_land",
    "warehouse_lock_timeout": (
        f"{BEHAVIOUR}::test_warehouse_lock_timeout_is_how_long_another_process_is_waited_for"
    ),
    "warehouse_memory_limit_mb": f"{BEHAVIOUR}::test_warehouse_memory_limit_mb_is_what_a_query_may_use",
    "warehouse_threads": f"{BEHAVIOUR}::test_warehouse_threads_is_how_many_threads_a_query_gets",
    "state_url": f"{BEHAVIOUR}::test_state_url_is_where_spending_is_remembered",
    # Scope
    "enabled_entities": f"{DEFINITIONS}::test_enabled_entities_are_a_setting",
    "start_date": f"{BEHAVIOUR}::test_start_date_and_partition_granularity_cut_the_partitions",
    "partition_granularity": f"{BEHAVIOUR}::test_start_date_and_partition_granularity_cut_the_partitions",
    "sync_overlap": f"{BEHAVIOUR}::test_sync_overlap_is_how_much_of_the_newest_time_is_read_again",
    # Budget
    "plan": f"{RATE_LIMIT}::test_the_plans_burst_limit_is_kept",
    "seats": f"{BEHAVIOUR}::test_seats_multiply_the_plans_budget",
    "rate_limiting_enabled": (
        f"{RATE_LIMIT}::test_switched_off_it_neither_refuses_nor_waits_but_counts_and_obeys_a_429"
    ),
    "daily_token_budget": f"{COMMANDS}::test_when_the_days_budget_is_gone_nothing_more_is_tried",
    "lane_reserves": "unit/test_lane_reserves.py::test_lane_reserves_are_what_a_backfill_must_leave",
    "rate_limit_max_delay": f"{PACE}::test_rate_limit_max_delay_caps_the_waits_between_tries",
    "rate_limit_jitter": f"{PACE}::test_rate_limit_jitter_draws_the_waits_between_tries",
    "burst_margin_ms": f"{RATE_LIMIT}::test_the_margin_is_a_setting",
    "token_costs": f"{CLIENT}::test_a_configured_price_prevails_over_the_published_one",
    # Errors
    "max_retry_attempts": f"{CLIENT}::test_retries_and_delays_follow_the_settings",
    "circuit_breaker_threshold": (
        f"{PACE}::test_circuit_breaker_threshold_is_how_many_failures_close_the_door"
    ),
    "circuit_breaker_timeout": f"{PACE}::test_circuit_breaker_timeout_is_how_long_the_door_stays_closed",
    # Memory
    "adaptive_pagination": (
        f"{PACE}::test_pages_shrink_to_min_batch_size_above_memory_limit_mb_unless_adaptive_pagination_is_off"
    ),
    "memory_threshold": f"{PACE}::test_memory_threshold_is_where_memory_counts_as_short",
    "memory_alert_threshold": f"{PACE}::test_memory_alert_threshold_is_where_a_warning_is_given",
    "memory_critical_threshold": (
        f"{PACE}::test_memory_critical_threshold_is_where_a_sync_ends_between_two_batches"
    ),
    "min_batch_size": (
        f"{PACE}::test_pages_shrink_to_min_batch_size_above_memory_limit_mb_unless_adaptive_pagination_is_off"
    ),
    "max_batch_size": f"{PACE}::test_max_batch_size_is_what_a_page_asks_for",
    "force_gc": f"{PACE}::test_force_gc_collects_garbage_after_each_batch",
    "memory_limit_mb": (
        f"{PACE}::test_pages_shrink_to_min_batch_size_above_memory_limit_mb_unless_adaptive_pagination_is_off"
    ),
    # Health
    "health_monitoring_enabled": (
        f"{DEFINITIONS}::test_health_monitoring_switched_off_takes_asset_and_sensor_away_and_nothing_else"
    ),
    "health_check_interval": (
        f"{DEFINITIONS}::test_the_health_sensor_ticks_at_the_check_interval_and_runs_with_a_token"
    ),
    "health_endpoint": f"{HEALTH}::test_the_endpoint_is_the_one_configured_at_its_price",
    "health_check_timeout": f"{HEALTH}::test_a_probe_that_gets_no_answer_ends_after_its_timeout",
    "health_failure_threshold": (
        f"{HEALTH}::test_failed_probes_in_a_row_make_it_unhealthy_and_one_answer_makes_it_well"
    ),
    "health_degradation_threshold": (
        f"{HEALTH}::test_slow_answers_degrade_it_and_halve_the_requests_per_window"
    ),
    "health_cache_ttl": (f"{HEALTH}::test_a_verdict_is_good_for_its_time_to_live_and_formed_anew_on_demand"),
    # Monitoring
    "monitoring_enabled": (
        f"{DEFINITIONS}::test_monitoring_switched_off_takes_its_checks_away_and_nothing_else"
    ),
    "performance_logging": (
        f"{MONITORING}::test_performance_logging_switched_off_removes_exactly_its_output"
    ),
    "failure_rate_threshold": f"{HEALTH}::test_failures_above_the_threshold_degrade_it",
    # Alerts
    "alerting_enabled": f"{ALERT_SENSORS}::test_the_sensors_exist_where_alerting_is_enabled",
    "alert_conditions": f"{ALERTS}::test_a_condition_that_is_not_chosen_is_not_told",
    "alert_runbook_url": f"{ALERTS}::test_the_link_leads_to_the_runbook_of_the_setting",
    "alert_mail_enabled": f"{ALERT_CHANNELS}::test_channels_are_those_that_are_enabled_and_can_work",
    "alert_mail_to": f"{ALERT_CHANNELS}::test_a_mail_goes_to_the_receivers_over_the_server_of_the_settings",
    "alert_mail_from": f"{ALERT_CHANNELS}::test_without_a_sender_the_first_receiver_is_it",
    "alert_smtp_host": f"{ALERT_CHANNELS}::test_a_mail_goes_to_the_receivers_over_the_server_of_the_settings",
    "alert_smtp_port": f"{ALERT_CHANNELS}::test_a_mail_goes_to_the_receivers_over_the_server_of_the_settings",
    "alert_smtp_security": f"{ALERT_CHANNELS}::test_the_way_is_encrypted_before_the_user_logs_in",
    "alert_smtp_username": f"{ALERT_CHANNELS}::test_the_way_is_encrypted_before_the_user_logs_in",
    "alert_smtp_password": f"{ALERT_CHANNELS}::test_the_way_is_encrypted_before_the_user_logs_in",
    "alert_slack_enabled": f"{ALERT_CHANNELS}::test_channels_are_those_that_are_enabled_and_can_work",
    "alert_slack_webhook": f"{ALERT_CHANNELS}::test_channels_are_those_that_are_enabled_and_can_work",
    "alert_slack_channel": (
        f"{ALERT_CHANNELS}::test_a_post_arrives_in_slack_with_what_slack_would_read_as_markup_escaped"
    ),
    "alert_log_enabled": f"{ALERT_CHANNELS}::test_channels_are_those_that_are_enabled_and_can_work",
    "alert_log_level": f"{ALERT_CHANNELS}::test_the_log_has_a_line_at_the_level_of_the_setting",
    # Runs
    "sync_queue": f"{QUEUES}::test_each_kind_of_run_waits_under_the_name_its_setting_gives",
    "webhook_queue": f"{QUEUES}::test_each_kind_of_run_waits_under_the_name_its_setting_gives",
    "retry_queue": f"{QUEUES}::test_what_dagster_repeats_does_not_wait_behind_other_syncs",
    "job_timeout": f"{SCHEDULES}::test_one_run_carries_queue_mode_source_lane_and_time_limit",
    "job_max_tries": f"{DEFINITIONS}::test_tries_of_a_step_are_a_setting",
    "prefer_async": f"{COMMANDS}::test_a_run_is_submitted_by_flag_or_setting_and_a_missing_daemon_is_named",
    "batch_processing": (
        "integration/test_cli_submit.py::test_without_batch_processing_each_entity_is_a_run_of_its_own"
    ),
    "executor": f"{BEHAVIOUR}::test_executor_is_what_runs_the_steps_of_every_job",
    # Schedules
    "scheduler_enabled": f"{SCHEDULES}::test_each_schedule_is_on_or_off_by_its_setting",
    "scheduler_frequency": f"{SCHEDULES}::test_cron_lines_follow_the_settings",
    "scheduler_time": f"{SCHEDULES}::test_cron_lines_follow_the_settings",
    "scheduler_timezone": f"{SCHEDULES}::test_schedules_keep_to_the_time_zone_of_the_settings",
    "scheduler_sync_custom_fields": (
        f"{PRICING}::test_custom_fields_are_left_out_of_the_daily_run_where_settings_say_so"
    ),
    "incremental_schedule_enabled": f"{SCHEDULES}::test_each_schedule_is_on_or_off_by_its_setting",
    "incremental_schedule_minutes": f"{SCHEDULES}::test_cron_lines_follow_the_settings",
    "hourly_schedule_enabled": f"{SCHEDULES}::test_each_schedule_is_on_or_off_by_its_setting",
    "custom_fields_scheduler_enabled": f"{SCHEDULES}::test_each_schedule_is_on_or_off_by_its_setting",
    "custom_fields_scheduler_frequency": f"{SCHEDULES}::test_cron_lines_follow_the_settings",
}


@cache
def functions_of(path: str) -> Mapping[str, str]:
    """Source of every test function of a file, with its decorators, by name."""
    text = (TESTS / path).read_text()
    lines = text.splitlines()
    found: dict[str, str] = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found[node.name] = "\n".join(lines[first - 1 : node.end_lineno])
    return found


def test_every_setting_has_a_test_that_shows_what_it_changes() -> None:
    assert sorted(SHOWN_BY) == sorted(PipedriveSettings.model_fields)


@pytest.mark.parametrize("setting", sorted(SHOWN_BY))
def test_the_test_of_a_setting_exists_and_sets_it(setting: str) -> None:
    path, _, name = SHOWN_BY[setting].partition("::")
    assert (TESTS / path).is_file(), f"{path} does not exist"
    assert name in functions_of(path), f"{path} has no {name}"
    # ``home`` is how the commands' tests set DAGSTER_HOME, which is Dagster's own variable.
    spoken_of = "home" if setting == "dagster_home" else setting
    sets = rf"(\b|pipedrive_){spoken_of}\b"
    assert re.search(sets, functions_of(path)[name], re.IGNORECASE), f"{name} does not set {setting}"
