"""throughput.csv: apart from metrics.csv, which ends the same to the last bit after a kill, and a clock does not."""

from pathlib import Path

from ..saving.atomic import write_text
from ..saving.rows import is_whole, read

COLUMNS = ("step", "seconds", "samples_per_second", "tokens_per_second", "mfu")


class ThroughputFile:
    """The rows of throughput.csv. A training that goes on adds to those before its checkpoint, and cuts the others.

    Args:
        run: the run's folder.
        first_step: the step with which the training begins.
    """

    def __init__(self, run: Path, first_step: int) -> None:
        self.path = run / "throughput.csv"
        rows = [row for row in read(self.path)[1] if is_whole(row) and row.get("seconds")]
        before = [row for row in rows if int(row["step"]) < first_step]
        self._lines = [",".join(row.get(column) or "" for column in COLUMNS) for row in before]
        self._seconds = float(before[-1]["seconds"]) if before else 0.0
        self._is_cut = False

    def add(self, step: int, seconds: float, rates: dict[str, float]) -> None:
        """Add the rates of the seconds until a step; the file has the sum of all seconds so far."""
        self._seconds += seconds
        values = [f"{rates[column]:.6g}" if column in rates else "" for column in COLUMNS[2:]]
        line = ",".join([str(step), f"{self._seconds:.3f}", *values])
        if self._is_cut:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")
        else:
            write_text(self.path, "\n".join([",".join(COLUMNS), *self._lines, line, ""]))
            self._is_cut, self._lines = True, []
