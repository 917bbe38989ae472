"""The service as a process: what it must not load, how it is reached, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from patron.settings import Settings
from serving.keys import create, revoke
from tests.serving.conftest import Client
from tests.serving.server import COMMAND, Running, environment, free_port, running

ASKED = {
    "recommendations": {"customer_id": "ann"},
    "similar-products": {"product_id": "p00"},
    "churn-scores": {"customer_ids": ["ann"]},
    "lifetime-values": {"customer_ids": ["ann"]},
    "next-best-offers": {"customer_id": "ann"},
}


def test_everything_is_answered_without_training_libraries_and_nothing_is_unpickled(
    client: Client, service: Running
) -> None:
    for endpoint, body in ASKED.items():
        assert client.post(endpoint, body).status_code == 200, endpoint
    assert client.get("/v1/customers/ann").status_code == 200
    assert Path(f"{service.audit}.started").read_text().split()  # the audit was on
    assert not service.audit.exists(), service.audit.read_text()


def test_a_key_is_revoked_without_a_restart(client: Client, shop: Settings) -> None:
    path = shop.home / "keys.json"
    key, record = create(path, "short-lived", ["crm"])
    time.sleep(1.1)
    assert client.get("/v1/customers/ann", key=key).status_code == 200
    assert client.post("recommendations", {}, key=key).status_code == 403
    revoke(path, record.lookup)
    time.sleep(1.1)
    assert client.get("/v1/customers/ann", key=key).status_code == 401


def test_ids_and_keys_stay_out_of_the_log(client: Client, service: Running) -> None:
    client.post("churn-scores", {"customer_ids": ["very-secret-customer"], "wrong": 1})
    client.get("/v1/customers/very-secret-customer")
    log = service.log.read_text()
    assert "very-secret" not in log and client.key not in log and "Traceback" not in log


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /readyz HTTP/1.1\r\nHost: \xff\xfe\r\nConnection: close\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nHost: a/b?c#d\r\nConnection: close\r\n\r\n",
        b"GET /readyz HTTP/1.0\r\n\r\n",
        b"GET /v1/customers/%ff%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST /v1/churn-scores HTTP/1.1\r\nHost: x\r\nX-API-Key: \xff\r\nConnection: close\r\n\r\n",
        b"POST /v1/churn-scores HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\nConnection: close\r\n\r\n",
        b"NONSENSE\r\n\r\n",
    ],
)
def test_malformed_requests_are_refused_not_failed(service: Running, request_bytes: bytes) -> None:
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=10) as connection:
        connection.sendall(request_bytes)
        answer = connection.recv(4096)
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 401")), answer


def test_a_port_in_use_is_said(service: Running, shop: Settings, tmp_path: Path) -> None:
    port = service.url.rpartition(":")[2]
    found = subprocess.run(
        [sys.executable, "-c", COMMAND, "serve", "--port", port],
        env=environment(shop, tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 1 and "--port" in found.stderr and "Traceback" not in found.stderr


def test_several_workers_share_the_port_and_the_counters_and_all_end(
    shop: Settings, key: str, tmp_path: Path
) -> None:
    with running(shop, tmp_path, "--workers", "2") as found:
        children = psutil.Process(found.pid).children(recursive=True)
        assert len(children) == 2
        for _ in range(8):
            with httpx.Client() as fresh:  # a connection of its own: either worker may take it
                fresh.get(f"{found.url}/v1/customers/ann", headers={"X-API-Key": key}, timeout=60)
        text = httpx.get(f"{found.url}/metrics").text
        assert 'patron_requests_total{operation="customer",status="200"} 8.0' in text
        assert all(line.startswith(("#", "patron_")) for line in text.splitlines())
        children[0].kill()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and len(alive(found.pid)) < 2:
            time.sleep(0.1)
        assert len(alive(found.pid)) == 2
        left = alive(found.pid)
    assert not [each for each in left if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    assert not (tmp_path / "audit.txt").exists()


def test_an_event_and_an_update_count_on_every_worker_within_a_second(shop: Settings, tmp_path: Path) -> None:
    """Each request comes on a connection of its own, so that both workers are among those that answer."""
    admin = {"X-API-Key": create(shop.home / "keys.json", "two-workers", ["storefront", "crm"])[0]}
    with running(shop, tmp_path, "--workers", "2") as found:
        visitor = {"session_id": "of-two-workers", "limit": 30, "explain": True}

        def asked() -> list[dict[str, Any]]:
            answers = []
            for _ in range(12):
                with httpx.Client() as fresh:
                    url = f"{found.url}/v1/recommendations"
                    answers.append(fresh.post(url, json=visitor, headers=admin, timeout=60).json())
            return answers

        assert {each["fallback"] for each in asked()} == {"popular"}
        event = {
            "event_id": "seen-on-one-worker",
            "occurred_at": datetime.now(UTC).isoformat(),
            "name": "view_item",
            "session_id": "of-two-workers",
            "product_id": "p00",
        }
        sent = httpx.post(f"{found.url}/v1/events", json={"events": [event]}, headers=admin, timeout=60)
        assert sent.status_code == 202
        for answer in asked():
            assert answer["fallback"] == "session" and answer["items"][0]["product_id"] == "p01"
            assert answer["items"][0]["reasons"][0]["product_id"] == "p00"
        gone = {"in_stock": False}
        httpx.put(f"{found.url}/v1/products/p01", json=gone, headers=admin, timeout=60).raise_for_status()
        for answer in asked():
            assert "p01" not in {each["product_id"] for each in answer["items"]}
        back = {"in_stock": True}
        httpx.put(f"{found.url}/v1/products/p01", json=back, headers=admin, timeout=60).raise_for_status()


def alive(pid: int) -> list[psutil.Process]:
    found = psutil.Process(pid).children()
    return [each for each in found if each.status() != psutil.STATUS_ZOMBIE]


def test_ctrl_c_ends_it_cleanly_also_while_it_loads(shop: Settings, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "serve", "--port", str(free_port()), "--json"],
        env=environment(shop, tmp_path) | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode in (0, 130) and b"Traceback" not in err, err
