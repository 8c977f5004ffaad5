"""Automations as code: applied twice they are there once, and people may switch them off."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from deployments.automations import FILE, apply_automations
from ifd.errors import EnvironmentProblemError

WEBHOOK = SecretStr("https://hooks.slack.com/services/T/B/secret")
DECLARED: list[dict[str, Any]] = yaml.safe_load(FILE.read_text())
NAMES = tuple(each["name"] for each in DECLARED)


class Server:
    """Keeps automations and one block, as the server's API would."""

    def __init__(self) -> None:
        self.automations: dict[str, dict[str, Any]] = {}
        self.block: dict[str, Any] | None = None
        self.refuses_blocks = False

    def request(self, method: str, path: str, body: Any = None, *, passing: int = 0) -> Any:
        if path == "/automations/filter":
            wanted = body["automations"]["name"]["any_"]
            return [each for each in self.automations.values() if each["name"] in wanted]
        if path.startswith("/deployments/name/"):
            return {"id": f"deployment {path.removeprefix('/deployments/name/')}"}
        if path == "/automations/":
            key = f"a{len(self.automations)}"
            self.automations[key] = {"id": key, **body}
            return self.automations[key]
        if path.startswith("/automations/"):
            key = path.rpartition("/")[2]
            if method == "DELETE":
                del self.automations[key]
            else:
                self.automations[key] = {"id": key, **body}
            return None
        return self._blocks(method, path, body)

    def _blocks(self, method: str, path: str, body: Any) -> Any:
        if path.endswith("/block_documents/name/ifd-operators"):
            return self.block
        if path == "/block_schemas/filter":
            return [{"id": "schema"}]
        if path.startswith("/block_documents/"):
            if self.refuses_blocks:
                raise EnvironmentProblemError(f"refused {body}")
            self.block = {"id": "block", **body}
            return self.block
        assert (method, path) == ("GET", "/block_types/slug/slack-webhook")
        return {"id": "type"}


def apply(server: Server, webhook: SecretStr | None = WEBHOOK) -> tuple[str, ...]:
    return apply_automations(server, webhook)  # type: ignore[arg-type]


def test_applied_twice_every_automation_is_there_once() -> None:
    server = Server()

    assert apply(server) == NAMES
    assert apply(server) == NAMES

    assert [each["name"] for each in server.automations.values()] == list(NAMES)


def test_notifications_go_to_the_block_with_the_webhook() -> None:
    server = Server()
    apply(server)

    told = [
        action
        for each in server.automations.values()
        for action in each["actions"]
        if action["type"] == "send-notification"
    ]

    assert server.block is not None
    assert server.block["data"] == {"url": WEBHOOK.get_secret_value()}
    assert {action["block_document_id"] for action in told} == {"block"}
    assert len(told) == len([each for each in DECLARED if "notify" in each])


def test_without_a_webhook_only_what_acts_is_kept() -> None:
    server = Server()
    apply(server)

    kept = apply(server, None)

    assert kept == ("ifd: fill what is missing", "ifd: end zombies")
    assert [each["name"] for each in server.automations.values()] == list(kept)


def test_a_gap_that_was_found_starts_the_backfill_of_its_shard() -> None:
    server = Server()
    apply(server, None)

    (started,) = [
        action
        for each in server.automations.values()
        for action in each["actions"]
        if action["type"] == "run-deployment"
    ]

    assert started["deployment_id"] == "deployment ifd-backfill/backfill"
    assert started["parameters"]["shard"] == "{{ event.payload.shard }}"


def test_what_somebody_switched_off_stays_off() -> None:
    server = Server()
    apply(server)
    for each in server.automations.values():
        each["enabled"] = False

    apply(server)

    assert not any(each["enabled"] for each in server.automations.values())


def test_a_refusal_of_the_webhook_does_not_show_it() -> None:
    server = Server()
    server.refuses_blocks = True

    with pytest.raises(EnvironmentProblemError) as refused:
        apply(server)

    assert "secret" not in str(refused.value)


def test_a_run_is_a_zombie_only_long_after_any_outage_that_is_tolerated() -> None:
    zombies = next(each for each in DECLARED if each["name"] == "ifd: end zombies")

    assert zombies["trigger"]["within"] >= 600
