"""The Bento: one service whose bases are the endpoints, behind the gateway wherever it is started from.

`patron serve` runs it; `bentoml serve serving.service:service` and a containerized Bento do as well, with the
same gateway, since it is the service's own ASGI app.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bentoml

from serving.bootstrap import Parts
from serving.endpoints import customers, decisions, segments, updates
from serving.endpoints.churn_scores import ChurnScores
from serving.endpoints.events import Events
from serving.endpoints.lifetime_values import LifetimeValues
from serving.endpoints.next_best_offers import NextBestOffers
from serving.endpoints.rankings import Rankings
from serving.endpoints.recommendations import Recommendations
from serving.endpoints.retention_actions import RetentionActions
from serving.endpoints.similar_products import SimilarProducts
from serving.operations import operations
from serving.watcher import Holder

KNOBS: dict[str, Any] = {
    "metrics": {"enabled": False},
    "logging": {"access": {"enabled": False}},
}
"""What the framework does by default and the gateway does instead."""
ROUTES = (customers.OPERATION, segments.OPERATION, decisions.OPERATION, *updates.OPERATIONS)
"""Operations that are not POST, which the framework has no declaration for."""


def build(open_parts: Callable[[], Parts]) -> bentoml.Service[Any]:
    """The service over `open_parts`, which is called once, when the service starts."""
    holder = Holder(open_parts)

    class Guarded(bentoml.Service):
        """A service whose ASGI app is the gateway."""

        def to_asgi(self, is_main: bool = True) -> Any:
            from serving.gateway import Gateway
            from serving.metrics import Metrics
            from serving.pages import pages

            known = [*operations(self), *ROUTES]
            metrics = Metrics()
            app = super().to_asgi(is_main)
            return Gateway(app, known, pages(holder, known, metrics), holder, metrics)

    class Patron(
        Recommendations,
        SimilarProducts,
        Rankings,
        Events,
        ChurnScores,
        LifetimeValues,
        NextBestOffers,
        RetentionActions,
    ):
        def __init__(self) -> None:
            holder.open()

        @bentoml.on_shutdown
        def close(self) -> None:
            holder.close()

    return bentoml.service(name="patron", service_class=Guarded, **KNOBS)(Patron)


def deployed() -> Parts:
    from patron.settings import load_settings
    from serving.bootstrap import parts

    return parts(load_settings())


service = build(deployed)
