"""Puts the rooms together for one run: from settings to something that can sync.

Commands and Dagster's resource open a :class:`Session`; it is built from parts so that a resource may bring its
own. Nothing is asked of the network, and no warehouse is touched, before the first use of ``account``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from uuid import uuid4

from pipedrive_assets.api.auth import ApiTokenAuth, Auth, token_fingerprint
from pipedrive_assets.api.client import PipedriveClient
from pipedrive_assets.api.memory import PipedriveMemoryManager
from pipedrive_assets.api.paginator import PipedrivePaginator
from pipedrive_assets.catalog import spec as spec_of
from pipedrive_assets.clock import Clock, SystemClock
from pipedrive_assets.exceptions import PipedriveConfigException
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.state.accounts import AccountIdentity
from pipedrive_assets.state.store import StateStore
from pipedrive_assets.sync.context import Progress, SyncContext, ignore_progress
from pipedrive_assets.sync.entity import sync_entity
from pipedrive_assets.sync.options import SyncOptions
from pipedrive_assets.sync.result import SyncResult
from pipedrive_assets.warehouse.store import Warehouse
