"""Where the time of a training goes."""

import re
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from pytorch_lightning.profilers import PassThroughProfiler, SimpleProfiler

ROWS = 15
NOTHING: AbstractContextManager[None] = nullcontext()


class NoProfile(PassThroughProfiler):
    """Lightning's, which measures nothing, without a new generator for each of the 60 actions of a step."""

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        return NOTHING


class Profile(SimpleProfiler):
    """Lightning's, as a table of 80 columns at the end of each command, kept in profile.txt of the run folder."""

    def summary(self) -> str:
        """The actions that took longest; some happen within others, so shares do not add up."""
        actions = sorted(self.recorded_durations.items(), key=lambda action: -sum(action[1]))
        whole = time.perf_counter() - self.start_time
        lines = [f"{'seconds':>9} {'share':>6} {'calls':>7} {'ms a call':>10}  action"]
        for action, durations in actions[:ROWS]:
            total = sum(durations)
            per_call = 1000 * total / len(durations)
            lines.append(f"{total:9.2f} {total / whole:6.1%} {len(durations):7d} {per_call:10.2f}  {short(action)}")
        return "\n".join(lines) + "\n"

    def describe(self) -> None:
        if self._local_rank in (None, 0) and self.recorded_durations and self.dirpath:
            table = self.summary()
            Path(self.dirpath, "profile.txt").write_text(table, encoding="utf-8")
            print(table, end="")


def short(action: str) -> str:
    """[Callback]ModelCheckpoint{'monitor': ...}.on_fit_end -> ModelCheckpoint.on_fit_end."""
    return re.sub(r"\[\w+\]|{.*}", "", action)[:44]
