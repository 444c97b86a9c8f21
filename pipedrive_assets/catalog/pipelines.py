"""Pipelines and stages: the ways a deal goes."""

from __future__ import annotations

from pipedrive_assets.catalog.columns import flag, integer, references, text, timestamp
from pipedrive_assets.catalog.spec import EntitySpec, Tier
from pipedrive_assets.catalog.streams import V2_SORT, cursor_list

PIPELINES = EntitySpec(
    name="pipelines",
    description="Sales pipelines.",
    group="sales",
    tier=Tier.DAILY,
    key=("id",),
    update_column="update_time",
    columns=(
        integer("id", "Id of the pipeline", required=True),
        text("name", "Name of the pipeline", required=True),
        integer("order_nr", "Position among the pipelines; the lowest is the default one"),
        flag("is_deleted", "Whether the pipeline is deleted"),
        flag("is_deal_probability_enabled", "Whether deals in the pipeline have a probability"),
        timestamp("add_time", "When the pipeline was created (UTC)"),
        timestamp("update_time", "When the pipeline last changed (UTC)"),
    ),
    streams=(cursor_list("/pipelines", token_cost=5, sort_fields=V2_SORT),),
)

STAGES = EntitySpec(
    name="stages",
    description="Stages of the pipelines.",
    group="sales",
    tier=Tier.DAILY,
    key=("id",),
    update_column="update_time",
    columns=(
        integer("id", "Id of the stage", required=True),
        text("name", "Name of the stage", required=True),
        integer("pipeline_id", "Id of the pipeline the stage is in"),
        integer("order_nr", "Position within the pipeline"),
        integer("deal_probability", "Chance of success of deals in the stage, in percent"),
        flag("is_deal_rot_enabled", "Whether deals in the stage can become rotten"),
        integer("days_to_rotten", "Days without a change after which a deal is rotten"),
        flag("is_deleted", "Whether the stage is deleted"),
        timestamp("add_time", "When the stage was created (UTC)"),
        timestamp("update_time", "When the stage last changed (UTC)"),
    ),
    streams=(cursor_list("/stages", token_cost=5, sort_fields=(*V2_SORT, "order_nr")),),
    references=references(pipeline_id="pipelines"),
)

SPECS = (PIPELINES, STAGES)
