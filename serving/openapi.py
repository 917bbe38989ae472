"""The OpenAPI 3.1 document of the service, made of the same operations that the gateway enforces."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from pydantic.json_schema import models_json_schema

from patron import __version__
from serving.operations import Operation
from serving.problems import MEDIA_TYPE

REFERENCE = "#/components/schemas/{model}"
ALWAYS = (400, 401, 403, 405, 429, 500, 503)
PAGES = {
    "/livez": ("livez", "The process answers.", "application/json"),
    "/readyz": (
        "readyz",
        "What is loaded and missing; 503 while nothing can be answered.",
        "application/json",
    ),
    "/metrics": ("metrics", "Counters in the Prometheus text format.", "text/plain"),
    "/docs.json": ("docs", "This document.", "application/json"),
}
PLAIN = r"[^\x00-\x1f\x7f-\x9f]"
PATH_ID = {
    "type": "string",
    "minLength": 1,
    "maxLength": 200,
    "pattern": rf"^{PLAIN}*[^\s\x00-\x1f\x7f-\x9f]{PLAIN}*$",
}
TEXTS = ("type", "title", "detail", "code", "request_id", "instance")
PROBLEM = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "required": [*TEXTS, "status"],
    "properties": {
        **{
            name: {"type": "string"} for name in ("type", "title", "detail", "code", "request_id", "instance")
        },
        "status": {"type": "integer"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The whole document."""
    schemas = models(operations)
    paths: dict[str, dict[str, Any]] = {path: {"get": page(*facts)} for path, facts in PAGES.items()}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = operation(each)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Patron",
            "version": __version__,
            "description": "Customer intelligence.",
        },
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Problem": PROBLEM},
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}},
        },
    }


def models(operations: Sequence[Operation]) -> dict[str, Any]:
    wanted: list[Any] = [(each.answer, "serialization") for each in operations]
    wanted += [(each.request, "validation") for each in operations if each.request]
    return dict(models_json_schema(wanted, ref_template=REFERENCE)[1]["$defs"])


def operation(each: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": each.name,
        "summary": each.summary,
        "description": f"Scope: {' or '.join(sorted(each.scopes))}.",
        "security": [{"key": []}],
        "parameters": parameters(each),
        "responses": {
            str(each.status): {
                "description": HTTPStatus(each.status).phrase,
                "content": content(each.answer.__name__),
            },
            **{str(status): problem(status) for status in sorted({*ALWAYS, *each.problems})},
        },
    }
    if each.request:
        found["requestBody"] = {"required": True, "content": content(each.request.__name__)}
    return found


def parameters(each: Operation) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in each.path.split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": PATH_ID} for name in names]


def content(name: str, media_type: str = "application/json") -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": REFERENCE.format(model=name)}}}


def problem(status: int) -> dict[str, Any]:
    return {"description": HTTPStatus(status).phrase, "content": content("Problem", MEDIA_TYPE)}


def page(name: str, summary: str, media_type: str) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": "OK", "content": {media_type: {}}}}
    if name == "readyz":
        responses["503"] = problem(503)
    return {"operationId": name, "summary": summary, "security": [], "responses": responses}
