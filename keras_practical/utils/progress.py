"""A progress bar for the loops that Keras's own bar doesn't cover."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


def track(
    items: Iterable[Item], description: str, total: int | None, *, show: bool
) -> Iterator[Item]:
    """Yield `items` under a progress bar that goes away when it's done."""
    with progress_bar(description, total, show=show) as advance:
        for item in items:
            yield item
            advance(1)


@contextmanager
def progress_bar(
    description: str, total: int | None, *, show: bool, unit: str | None = None
) -> Iterator[Callable[..., None]]:
    """Show a bar while the block runs; it's given a function to call with each step's size.

    A text that is passed with the size is shown beside the description. With a `unit`, such as
    `"images"`, the bar says how many of them a second there are.
    """
    from rich import get_console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class SpeedColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.0f} {unit}/s" if unit and task.speed else "")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        SpeedColumn(),
        TimeRemainingColumn(),
    )
    console = get_console()
    # Without a terminal or a notebook there is nobody to see it move, only a log to clutter.
    hidden = not show or not (console.is_terminal or console.is_jupyter)
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task(description, total=total)

        def advance(count: int, note: str = "") -> None:
            progress.update(task, advance=count, description=f"{description} {note}".rstrip())

        yield advance
