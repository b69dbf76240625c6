"""Turns the vendor's raw items into typed columns: texts in, one frame of ``schema.RECORD`` out.

The dtypes never depend on the texts, and bad content never raises: what cannot be read is null, on its own
row only. Nothing is lost by that, because the raw text itself stays in the store.
"""

from __future__ import annotations

from buena_pipeline.flatten.record import flatten

__all__ = ["flatten"]
