"""Groups rows into people: the identity keys of every row in; people, their leads and their keys out."""

from __future__ import annotations

from buena_pipeline.people.describing import describe_people
from buena_pipeline.people.finding import person_key_cells, person_keys
from buena_pipeline.people.grouping import group_people

__all__ = ["describe_people", "group_people", "person_key_cells", "person_keys"]
