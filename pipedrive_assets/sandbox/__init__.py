"""A Pipedrive look-alike: demo, tests, benchmarks.

Written from the API reference and the OpenAPI files alone; it imports nothing of the package, so that it
cannot share a mistake with the client it is there to test.
"""

from pipedrive_assets.sandbox.config import SandboxConfig
from pipedrive_assets.sandbox.server import Sandbox

__all__ = ["Sandbox", "SandboxConfig"]
