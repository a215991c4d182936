"""What the user sees while the stages run: a bar for each in a terminal, plain lines elsewhere."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from scripts.times import clock

_ALL = "in all"


class Display:
    """Shows which stage runs, how far it is, what remains and how long that may take.

    Args:
        stages: title and expected cost of each stage, in any unit.
        console: where to; default standard output.
    """

    def __init__(self, stages: dict[str, float], console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._costs = stages
        self._bars = self.console.is_terminal
        self._progress = Progress(
            TextColumn("{task.fields[mark]} {task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %  {task.fields[time]:>7}  {task.fields[text]}"),
            console=self.console,
            disable=not self._bars,
        )
        self._tasks: dict[str, TaskID] = {}
        self._session_begun = self._begun = time.monotonic()
        self._done_before = 0.0  # cost that was done when this session began: it says nothing about this one's speed
        self._before = dict.fromkeys(stages, 0.0)
        self._fractions = dict.fromkeys(stages, 0.0)
        self._said = ""

    def __enter__(self) -> "Display":
        for title in [*self._costs, _ALL]:
            mark = " " if title == _ALL else "·"
            self._tasks[title] = self._progress.add_task(title, total=1.0, mark=mark, time="", text="")
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def skip(self, title: str) -> None:
        """A stage that an earlier run finished."""
        self._fractions[title] = 1.0
        self._done_before += self._costs[title]
        self._show(title, mark="✓", text="done before")
        self._say(f"{title}: done before")

    def begin(self, title: str) -> None:
        """A stage starts."""
        self._begun, self._said = time.monotonic(), ""
        place = list(self._costs).index(title) + 1
        self._show(title, mark="▶", text="starting")
        self._say(f"{title} ({place} of {len(self._costs)}) ...")

    def update(self, title: str, fraction: float, text: str, before: float = 0.0) -> None:
        """How far the running stage is, from 0 to 1, what it does, and how far an interrupted run had brought it."""
        self._done_before += (before - self._before[title]) * self._costs[title]
        self._before[title], self._fractions[title] = before, fraction
        self._show(title, mark="▶", text=text)
        phase = text.partition(",")[0]
        if phase != self._said:
            self._said = phase
            self._say(f"  {text}, {self.remaining()}")

    def end(self, title: str) -> float:
        """A stage has finished; its seconds."""
        seconds = time.monotonic() - self._begun
        self._fractions[title] = 1.0
        self._show(title, mark="✓", text="")
        self._say(f"  finished in {clock(seconds)}, {self.remaining()}")
        return seconds

    def remaining(self) -> str:
        """The time that the rest may take, by the speed since this session began."""
        done = sum(self._costs[title] * fraction for title, fraction in self._fractions.items())
        elapsed, gained = time.monotonic() - self._session_begun, done - self._done_before
        total = sum(self._costs.values())
        if gained < 0.02 * total or elapsed < 10:
            return "remaining time not known yet"
        return f"about {clock(elapsed / gained * (total - done))} remaining"

    def _show(self, title: str, mark: str, text: str) -> None:
        if not self._bars:
            return
        seconds = clock(time.monotonic() - self._begun) if text != "done before" else ""
        self._progress.update(self._tasks[title], completed=self._fractions[title], mark=mark, text=text, time=seconds)
        share = sum(self._costs[each] * part for each, part in self._fractions.items()) / sum(self._costs.values())
        whole = clock(time.monotonic() - self._session_begun)
        self._progress.update(self._tasks[_ALL], completed=share, time=whole, text=self.remaining())

    def _say(self, line: str) -> None:
        if not self._bars:
            self.console.print(line, markup=False)
