"""One shop and one running service for all tests of this room."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from patron.settings import Settings
from serving.keys import create
from tests.serving.server import Running, running
from tests.serving.shop import open_shop


def pytest_configure(config: pytest.Config) -> None:
    """The serving framework's own deprecations."""
    for message in ("GitWildMatchPattern", "The `__get_pydantic_core_schema__` method"):
        config.addinivalue_line("filterwarnings", f"ignore:{message}:DeprecationWarning")


@dataclass(frozen=True)
class Client:
    """Speaks to the service with a key of all that today's endpoints ask for."""

    url: str
    key: str

    def post(self, endpoint: str, body: Any = None, key: str | None = None, **more: Any) -> httpx.Response:
        headers = {"X-API-Key": self.key if key is None else key, **more.pop("headers", {})}
        given = {"json": body} if body is not None else {}
        return httpx.post(f"{self.url}/v1/{endpoint}", headers=headers, timeout=30, **given, **more)

    def get(self, path: str, key: str | None = None, **more: Any) -> httpx.Response:
        headers = {"X-API-Key": self.key if key is None else key, **more.pop("headers", {})}
        return httpx.get(f"{self.url}{path}", headers=headers, timeout=30, **more)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return open_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="session")
def key(shop: Settings) -> str:
    return create(shop.home / "keys.json", "tests", ["storefront", "crm"])[0]


@pytest.fixture(scope="session")
def service(shop: Settings, key: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder: Path = tmp_path_factory.mktemp("service")
    with running(shop, folder, "--json") as found:
        yield found


@pytest.fixture(scope="session")
def client(service: Running, key: str) -> Client:
    return Client(service.url, key)
