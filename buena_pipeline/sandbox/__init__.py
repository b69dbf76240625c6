"""A local server that speaks the vendor's contract, for demos, tests and other people's pipelines.

``Sandbox`` is the server, ``Fault`` what can go wrong with it, ``RateLimits`` what it allows: the class by
which a client, too, knows its limits.
"""

from buena_pipeline.sandbox.faults import Fault
from buena_pipeline.sandbox.server import Sandbox
from buena_pipeline.settings import RateLimits

__all__ = ["Fault", "RateLimits", "Sandbox"]
