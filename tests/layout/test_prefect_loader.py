"""Three traps of Prefect's loader, held off.

For `flows/stream.py:stream_market` Prefect puts `flows/` first on the import path and leaves it
there, and it runs the file under the name `stream`. So a flow file must not bear a name that
anything else may import, and must hold nothing that exists once: no class, table, error or state.
"""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
FLOW_FILES = sorted(path for path in (ROOT / "flows").glob("*.py") if path.stem != "__init__")
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load((ROOT / "prefect.yaml").read_text())[
    "deployments"
]

LOAD_ALL = """
import importlib, json, sys
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

found = {}
for entrypoint in json.loads(sys.argv[1]):
    flow = load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)
    schema = parameter_schema(flow)
    found[entrypoint] = {
        "name": flow.name,
        "parameters": {
            name: value.get("description") for name, value in schema.properties.items()
        },
    }
    # The second name of the same file must not define a table twice.
    importlib.import_module(entrypoint.partition(":")[0].replace("/", ".").removesuffix(".py"))
print(json.dumps(found))
"""


def test_every_flow_file_has_a_deployment_and_every_deployment_a_flow_file() -> None:
    entrypoints = [each["entrypoint"].partition(":")[0] for each in DEPLOYMENTS]

    assert sorted(entrypoints) == [str(path.relative_to(ROOT)) for path in FLOW_FILES]


@pytest.mark.parametrize("path", FLOW_FILES, ids=lambda path: path.stem)
def test_a_flow_file_shadows_no_other_module(path: Path) -> None:
    folders = {each.name for each in ROOT.iterdir() if each.is_dir()}
    installed = set(importlib.metadata.packages_distributions())

    assert path.stem not in sys.stdlib_module_names
    assert path.stem not in installed
    assert path.stem not in folders


@pytest.mark.parametrize("path", FLOW_FILES, ids=lambda path: path.stem)
def test_a_flow_file_holds_functions_and_imports_only(path: Path) -> None:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef)

    assert ast.get_docstring(ast.Module(body, [])), "a module says what it is for"
    strangers = [ast.unparse(node) for node in body[1:] if not isinstance(node, allowed)]
    assert strangers == []


def test_a_flow_file_fits_on_a_screen() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in FLOW_FILES}

    assert {name: length for name, length in lengths.items() if length > 100} == {}


def test_prefect_loads_every_entrypoint_and_finds_its_parameters_described(
    tmp_path: Path,
) -> None:
    entrypoints = [each["entrypoint"] for each in DEPLOYMENTS]
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD_ALL, json.dumps(entrypoints)],
        cwd=ROOT,
        env={**os.environ, "PREFECT_HOME": str(tmp_path), "DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert loaded.returncode == 0, loaded.stderr
    found = json.loads(loaded.stdout.splitlines()[-1])

    for deployment in DEPLOYMENTS:
        flow = found[deployment["entrypoint"]]
        given = set(deployment.get("parameters", {}))
        for schedule in deployment["schedules"]:
            given |= set(schedule.get("parameters", {}))
        assert flow["name"] == f"ifd-{deployment['name']}"
        assert given <= set(flow["parameters"])
        undescribed = [name for name, words in flow["parameters"].items() if not words]
        assert undescribed == [], deployment["name"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda each: each["name"])
def test_a_deployment_says_what_people_must_know(deployment: dict[str, Any]) -> None:
    assert deployment["description"]
    assert deployment["tags"]
    assert deployment["work_pool"]["name"] == "ifd"
    for schedule in deployment["schedules"]:
        assert schedule["slug"], "without a slug, deploying again would add the schedule again"
        assert schedule["timezone"] == "America/New_York"


def test_the_stream_has_no_concurrency_limit() -> None:
    # The lease of a limit kills a stream when the server is away for five minutes.
    stream = next(each for each in DEPLOYMENTS if each["name"] == "stream")

    assert "concurrency_limit" not in stream


def test_no_path_of_a_machine_is_committed() -> None:
    text = (ROOT / "prefect.yaml").read_text(encoding="utf-8")

    assert str(ROOT) not in text
    assert sys.executable not in text
    assert "/home/" not in text
