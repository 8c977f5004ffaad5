"""Apply prefect.yaml and automations.yaml to a Prefect server: `python -m deployments.apply`.

Safe to repeat.

Creates the process work pool, then runs `prefect deploy --all` unless the server already holds
this very version: a look takes milliseconds, deploying six seconds. Prefect is not imported here.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import subprocess
import sys
from typing import Final

import yaml

from config.settings import load_settings
from deployments.automations import apply_automations
from deployments.steps import ROOT, deployed_version
from ifd.errors import EnvironmentProblemError, IfdError
from runtime.prefect_services import PrefectApi, api_url

DEPLOY_SECONDS: Final = 180.0


@dataclasses.dataclass(frozen=True, slots=True)
class Applied:
    """What was done: `changed` is False when the server held this version already."""

    work_pool: str
    deployments: tuple[str, ...]
    version: str
    changed: bool

    def __str__(self) -> str:
        done = "applied" if self.changed else "already applied"
        return (
            f"{', '.join(self.deployments)} {done} to work pool {self.work_pool} "
            f"(version {self.version})"
        )


def apply(api: PrefectApi, *, again: bool = False) -> Applied:
    """Bring the server's deployments to what prefect.yaml says.

    Parameters
    ----------
    again : bool
        Deploy although the server holds this version.

    Raises
    ------
    EnvironmentProblemError
        If the server is away or refuses, quoting it.
    """
    pool, names = declared()
    version = deployed_version()
    api.ensure_work_pool(pool)
    held = api.deployed_versions(pool)
    changed = again or any(held.get(name) != version for name in names)
    if changed:
        _deploy_all(api.url)
    apply_automations(api, load_settings().slack_webhook_url)
    return Applied(pool, names, version, changed)


def declared() -> tuple[str, tuple[str, ...]]:
    """Return the work pool and the names of the deployments of prefect.yaml."""
    document = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    deployments = document["deployments"]
    return deployments[0]["work_pool"]["name"], tuple(each["name"] for each in deployments)


def _deploy_all(url: str) -> None:
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    environment = {**os.environ, "PREFECT_API_URL": url, "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEPLOY_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentProblemError(
            f"`prefect deploy --all` was not done after {DEPLOY_SECONDS:.0f} s: "
            "look into the log of the Prefect server"
        ) from error
    if done.returncode != 0:
        words = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise EnvironmentProblemError(f"`prefect deploy --all` failed: {' '.join(words[-3:])}")


def main() -> int:
    """Apply, print what was done, return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deployments.apply", description=__doc__)
    parser.add_argument("--wait-server", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--again", action="store_true", help="deploy although nothing changed")
    arguments = parser.parse_args()
    try:
        api = PrefectApi(os.environ.get("PREFECT_API_URL") or api_url(load_settings()))
        api.wait_healthy(timeout_seconds=arguments.wait_server)
        sys.stdout.write(f"{apply(api, again=arguments.again)}\n")
    except IfdError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
