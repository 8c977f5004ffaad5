"""Bring the server's automations to what automations.yaml says; safe to repeat.

Prefect's own command adds a second automation of the same name each time. An automation that is
there is updated, and stays switched off where somebody switched it off.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import SecretStr

from ifd.errors import EnvironmentProblemError
from runtime.prefect_services import PrefectApi

FILE: Final = Path(__file__).resolve().parent / "automations.yaml"
BLOCK_TYPE: Final = "slack-webhook"
BLOCK: Final = "ifd-operators"

Json = dict[str, Any]
"""Objects as the server's API has them."""


def apply_automations(api: PrefectApi, webhook: SecretStr | None) -> tuple[str, ...]:
    """Return the names of the automations that the server holds now.

    Parameters
    ----------
    webhook : SecretStr, optional
        Slack webhook for notifications, kept encrypted by the server in a block.

    Raises
    ------
    EnvironmentProblemError
        If the server is away or refuses, quoting it.
    """
    declared: list[Json] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    block_id = None if webhook is None else _block(api, webhook.get_secret_value())
    held = _held(api, [each["name"] for each in declared])
    kept = []
    for each in declared:
        known = held.get(each["name"])
        actions = _actions(api, each, block_id)
        if actions:
            _upsert(api, each, actions, known)
            kept.append(each["name"])
        elif known is not None:
            api.request("DELETE", f"/automations/{known['id']}")
    return tuple(kept)


def _actions(api: PrefectApi, declared: Mapping[str, Any], block_id: str | None) -> list[Json]:
    actions: list[Json] = list(declared.get("actions", ()))
    if "run" in declared:
        started = declared["run"]
        found = api.request("GET", f"/deployments/name/{started['deployment']}")
        actions.append(
            {
                "type": "run-deployment",
                "source": "selected",
                "deployment_id": found["id"],
                "parameters": started["parameters"],
            }
        )
    if "notify" in declared and block_id is not None:
        told = declared["notify"]
        actions.append({"type": "send-notification", "block_document_id": block_id, **told})
    return actions


def _held(api: PrefectApi, names: list[str]) -> dict[str, Json]:
    body = {"automations": {"name": {"any_": names}}}
    return {each["name"]: each for each in api.request("POST", "/automations/filter", body)}


def _upsert(
    api: PrefectApi, declared: Mapping[str, Any], actions: list[Json], known: Json | None
) -> None:
    body = {
        "name": declared["name"],
        "description": declared["description"],
        "enabled": True if known is None else known["enabled"],
        "trigger": declared["trigger"],
        "actions": actions,
    }
    if known is None:
        api.request("POST", "/automations/", body)
    else:
        api.request("PUT", f"/automations/{known['id']}", body)


def _block(api: PrefectApi, url: str) -> str:
    """Return the id of the block that holds the webhook, created or brought up to date."""
    place = f"/block_types/slug/{BLOCK_TYPE}"
    found = api.request("GET", f"{place}/block_documents/name/{BLOCK}", passing=404)
    data = {"url": url}
    if found is not None:
        body = {"data": data, "merge_existing_data": False}
        _send_secret(api, "PATCH", f"/block_documents/{found['id']}", body)
        return str(found["id"])
    kind = api.request("GET", place)
    chosen = {"block_schemas": {"block_type_id": {"any_": [kind["id"]]}}, "limit": 1}
    (schema,) = api.request("POST", "/block_schemas/filter", chosen)
    body = {
        "name": BLOCK,
        "data": data,
        "block_type_id": kind["id"],
        "block_schema_id": schema["id"],
    }
    return str(_send_secret(api, "POST", "/block_documents/", body)["id"])


def _send_secret(api: PrefectApi, method: str, path: str, body: Json) -> Any:
    # Any: the JSON of an answer.
    try:
        return api.request(method, path, body)
    except EnvironmentProblemError:
        # The server may quote what it does not like, and that would be the webhook.
        raise EnvironmentProblemError(
            f"the Prefect server did not take the block {BLOCK} with SLACK_WEBHOOK_URL"
        ) from None
