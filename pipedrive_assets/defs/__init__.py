"""What Dagster sees: resources, partitions, assets, checks, jobs, schedules, sensors.

Thin callers of ``sync.session``: everything that fetches or stores lives further up. ``build.py`` puts the
parts together; ``partitions.py`` and ``pricing.py`` are pure arithmetic.
"""
