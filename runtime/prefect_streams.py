"""Streams as Prefect's server sees them: start one again, and mend states nobody is left to set.

A stopped worker leaves its runs Running for ever, a cancelled run without a worker Cancelling. The
run's row knows better.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy.engine import Engine
from sqlmodel import Session, select

from ifd.clock import Clock
from ifd.errors import EnvironmentProblemError
from ifd.units import NANOS_PER_SECOND
from models.operations import StreamRunRow
from models.runs import is_local
from runtime.orphans import serves_flow_run
from runtime.prefect_services import STREAM_DEPLOYMENT, FlowRun, PrefectApi

ATTEMPTS: Final = 3
"""A flow run that ends before it has a row is followed by another, so often."""
REPORTING_NS: Final = 30 * NANOS_PER_SECOND
"""A flow publishes its summary and reports its state after its row has ended."""


class PrefectRestarts:
    """Starts streams through a Prefect server; `newest` is the flow run that was asked for last."""

    def __init__(self, api: PrefectApi) -> None:
        self._api = api
        self.newest: FlowRun | None = None

    def was_cancelled(self, run: StreamRunRow) -> bool:
        """Return True when the run's flow run was cancelled in Prefect.

        Raises
        ------
        EnvironmentProblemError
            If the server is away: then nobody knows.
        """
        if run.flow_run_id is None:
            return False
        found = self._api.find_flow_run(run.flow_run_id)
        return found is not None and found.state_type in ("CANCELLING", "CANCELLED")

    def restart(self, run: StreamRunRow) -> None:
        """Ask for a flow run of the shard; a repeat for the same run asks for nothing more.

        Raises
        ------
        EnvironmentProblemError
            If the server is away, or every flow run ended before it streamed.
        """
        parameters = {"shard": run.shard, "profile": run.profile}
        for attempt in range(1, ATTEMPTS + 1):
            key = f"restart-{run.shard}-{run.started_ns}-{attempt}"
            self.newest = found = self._api.create_run(STREAM_DEPLOYMENT, parameters, key=key)
            if not found.has_ended:
                return
        raise EnvironmentProblemError(
            f"{ATTEMPTS} flow runs ended before they streamed, the last as {found.state_name}: "
            f"see {self._api.page_of(found)}"
        )


def mend_states(engine: Engine, api: PrefectApi, *, clock: Clock) -> Iterator[str]:
    """End the flow runs whose stream has ended and whose process is gone; say each.

    Raises
    ------
    EnvironmentProblemError
        If the server is away.
    """
    deployment = STREAM_DEPLOYMENT.partition("/")[2]
    for flow_run in api.unended_runs(deployment):
        with Session(engine) as session:
            run = session.exec(
                select(StreamRunRow).where(StreamRunRow.flow_run_id == flow_run.id)
            ).first()
        if run is None or run.ended_ns is None or not is_local(run):
            continue
        silent = clock.now_ns() >= run.ended_ns + REPORTING_NS
        if silent and not serves_flow_run(flow_run.id):
            state = "CANCELLED" if flow_run.state_type == "CANCELLING" else "CRASHED"
            told = f"its process was gone; the stream {run.status}: {run.error or run.stop_reason}"
            api.force_state(flow_run, state, told)
            yield f"{flow_run.name} was still {flow_run.state_name} in Prefect: set to {state}"
