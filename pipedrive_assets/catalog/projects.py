"""Projects, their boards, phases and templates, and tasks."""

from __future__ import annotations

from pipedrive_assets.catalog.columns import date, flag, integer, json, references, text, timestamp
from pipedrive_assets.catalog.spec import (
    Column,
    ColumnType,
    Computed,
    CustomFields,
    EntitySpec,
    PerParent,
    Tier,
    Version,
)
from pipedrive_assets.catalog.streams import cursor_list, whole_list

_BOARD = (
    integer("order_nr", "Position"),
    timestamp("add_time", "When it was created (UTC)"),
    timestamp("update_time", "When it last changed (UTC)"),
)

# Deleted projects are listed only when asked for (OpenAPI v2, GET /projects).
_PARAMS = (("status", "open,completed,canceled,deleted"),)

PROJECTS = EntitySpec(
    name="projects",
    description="Projects, archived and deleted ones included.",
    group="projects",
    tier=Tier.HOURLY,
    key=("id",),
    update_column="update_time",
    custom_fields=CustomFields.NESTED,
    columns=(
        integer("id", "Id of the project", required=True),
        text("title", "Title of the project", required=True),
        text("description", "Description of the project"),
        text("status", "open, completed, canceled or deleted"),
        integer("board_id", "Id of the board the project is on"),
        integer("phase_id", "Id of the phase the project is in"),
        integer("owner_id", "Id of the user who owns the project"),
        date("start_date", "Day on which the project starts"),
        date("end_date", "Day on which the project ends"),
        json("deal_ids", "Ids of the linked deals"),
        json("person_ids", "Ids of the linked persons"),
        json("org_ids", "Ids of the linked organizations"),
        json("label_ids", "Ids of the project's labels (options of the projects' label field)"),
        integer("health_status", "Health of the project, an option id of its project field"),
        Column(
            "is_archived",
            ColumnType.BOOLEAN,
            "Whether the project is archived: true for rows of the archived list",
            computed=Computed.ARCHIVED_STREAM,
        ),
        timestamp("add_time", "When the project was created (UTC)"),
        timestamp("update_time", "When the project last changed (UTC)"),
        timestamp("status_change_time", "When the project last changed its status (UTC)"),
        timestamp("archive_time", "When the project was archived (UTC)"),
    ),
    streams=(
        cursor_list("/projects", params=_PARAMS),
        cursor_list("/projects/archived", name="archived", params=_PARAMS),
    ),
    references=references(board_id="boards", phase_id="phases", owner_id="users"),
)

BOARDS = EntitySpec(
    name="boards",
    description="Boards on which projects are arranged; active ones only.",
    group="projects",
    tier=Tier.DAILY,
    key=("id",),
    update_column="update_time",
    columns=(
        integer("id", "Id of the board", required=True),
        text("name", "Name of the board", required=True),
        *_BOARD,
    ),
    streams=(whole_list("/boards", version=Version.V2, token_cost=10),),
)

PHASES = EntitySpec(
    name="phases",
    description="Phases of the project boards; active ones only.",
    group="projects",
    tier=Tier.DAILY,
    key=("id",),
    update_column="update_time",
    columns=(
        integer("id", "Id of the phase", required=True),
        integer("board_id", "Id of the board the phase is on", required=True),
        text("name", "Name of the phase", required=True),
        *_BOARD,
    ),
    streams=(whole_list("/phases", version=Version.V2, token_cost=10, fan=PerParent("boards", "board_id")),),
    references=references(board_id="boards"),
)

PROJECT_TEMPLATES = EntitySpec(
    name="project_templates",
    description="Templates from which projects can be made.",
    group="projects",
    tier=Tier.DAILY,
    key=("id",),
    update_column="update_time",
    columns=(
        integer("id", "Id of the template", required=True),
        text("title", "Title of the template", required=True),
        text("description", "Description of the template"),
        integer("projects_board_id", "Id of the board the template is for"),
        integer("owner_id", "Id of the user who owns the template"),
        timestamp("add_time", "When the template was created (UTC)"),
        timestamp("update_time", "When the template last changed (UTC)"),
    ),
    streams=(cursor_list("/projectTemplates"),),
    references=references(projects_board_id="boards", owner_id="users"),
)

TASKS = EntitySpec(
    name="tasks",
    description="Tasks of projects, milestones and sub-tasks included.",
    group="projects",
    tier=Tier.HOURLY,
    key=("id",),
    update_column="update_time",
    columns=(
        integer("id", "Id of the task", required=True),
        text("title", "Title of the task", required=True),
        text("description", "Description of the task"),
        integer("project_id", "Id of the project the task belongs to"),
        integer("parent_task_id", "Id of the task above; null for a task of the top level"),
        integer("creator_id", "Id of the user who created the task"),
        json("assignee_ids", "Ids of the users the task is assigned to"),
        flag("is_done", "Whether the task is done"),
        flag("is_milestone", "Whether the task is a milestone"),
        integer("priority", "Priority of the task"),
        date("start_date", "Day on which the task starts"),
        date("due_date", "Day on which the task is due"),
        timestamp("marked_as_done_time", "When the task was marked as done (UTC)"),
        timestamp("add_time", "When the task was created (UTC)"),
        timestamp("update_time", "When the task last changed (UTC)"),
    ),
    streams=(cursor_list("/tasks"),),
    references=references(project_id="projects", parent_task_id="tasks", creator_id="users"),
)

SPECS = (BOARDS, PHASES, PROJECT_TEMPLATES, PROJECTS, TASKS)
