"""The Bento: one service whose bases are the endpoints, behind the gateway wherever it is started from.

`patron serve` runs it; `bentoml serve serving.service:service` and a containerized Bento do as well, with the
same gateway, since it is part of the service's own ASGI app.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from typing import Any

import bentoml

from serving.bootstrap import Parts
from serving.endpoints import customers
from serving.endpoints.churn_scores import ChurnScores
from serving.endpoints.lifetime_values import LifetimeValues
from serving.endpoints.next_best_offers import NextBestOffers
from serving.endpoints.recommendations import Recommendations
from serving.endpoints.similar_products import SimilarProducts
from serving.operations import operations

THREADS = 4
"""Threads a worker that handlers run in, so that a slow answer blocks neither the others nor /livez."""
KNOBS: dict[str, Any] = {
    "metrics": {"enabled": False},
    "logging": {"access": {"enabled": False}},
}
"""What the framework does by default and the gateway does instead."""


def build(open_parts: Callable[[], Parts]) -> bentoml.Service[Any]:
    """The service over `open_parts`, which is called once, when the service starts."""
    shared = functools.cache(open_parts)

    class Guarded(bentoml.Service):
        """A service whose ASGI app is the gateway."""

        def to_asgi(self, is_main: bool = True) -> Any:
            from serving.gateway import Gateway
            from serving.metrics import Metrics
            from serving.pages import pages

            known = [*operations(self), customers.OPERATION]
            metrics = Metrics()
            app = trimmed(super().to_asgi(is_main))
            return Gateway(app, known, pages(shared, known, metrics), shared, metrics)

    class Patron(Recommendations, SimilarProducts, ChurnScores, LifetimeValues, NextBestOffers):
        def __init__(self) -> None:
            self.parts = shared()
            self.parts.warm()
            settle()

    found = bentoml.service(name="patron", service_class=Guarded, threads=THREADS, **KNOBS)(Patron)
    found.mount_asgi_app(customers.app(shared), path="/", name="customers")
    return found


def trimmed(app: Any) -> Any:
    """The framework's app without its timeout and tracing, which cost time even when they do nothing.

    The gateway has a timeout of its own.
    """
    app.user_middleware = [each for each in app.user_middleware if each.cls.__name__ == "ContextMiddleware"]
    return app


def settle() -> None:
    """Keep what was loaded out of the garbage collector's way."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)


def deployed() -> Parts:
    from patron.settings import load_settings
    from serving.bootstrap import parts

    return parts(load_settings())


service = build(deployed)
