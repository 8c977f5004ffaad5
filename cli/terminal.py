"""What a person sees: progress on stderr where somebody looks at it, tables as wide as needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from runtime.wording import market_time as market_time
from runtime.wording import money as money

if TYPE_CHECKING:
    from rich.table import Table


_WIDER_THAN_ANY_TABLE: Final = 400


class Advance(Protocol):
    """Says how far a command has come."""

    def __call__(self, path: Path, records: int) -> None:
        """Note that so many more records of a file are done."""
        ...


@contextmanager
def record_progress(files: Sequence[Path]) -> Iterator[Advance]:
    """Show which file is read and how many records are done, until the block ends."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.completed:,} records, {task.speed:,.0f}/s"),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("reading", total=None)
        place = {path: number for number, path in enumerate(files, start=1)}

        def advance(path: Path, records: int) -> None:
            bar.update(
                task,
                advance=records,
                description=f"{path.name} ({place.get(path, 0)} of {len(files)})",
            )

        yield advance


@contextmanager
def share_progress(description: str) -> Iterator[Callable[[float], None]]:
    """Show how far a long work is; give what is called with the share that is done (0..1)."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=1.0)
        yield lambda share: bar.update(task, completed=share)


def plain_table(*headings: str, numbers: Sequence[str] = ()) -> Table:
    """Return a table without frames: columns of words, then columns of numbers to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def print_table(table: Table) -> None:
    """Print a table; into a pipe as wide as it is, since what is cut there is lost."""
    from rich.console import Console

    Console(width=None if Console().is_terminal else _WIDER_THAN_ANY_TABLE).print(table)
