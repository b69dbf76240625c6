"""A local server that speaks the vendor's contract, for demos, tests and other people's pipelines.

``Sandbox`` is the server, ``Fault`` what can go wrong with it, ``RateLimits`` what it allows.
"""

from buena_pipeline.sandbox.faults import Fault
from buena_pipeline.sandbox.limits import RateLimits
from buena_pipeline.sandbox.server import Sandbox

__all__ = ["Fault", "RateLimits", "Sandbox"]
