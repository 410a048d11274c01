"""The results of a reproduction as a table."""

from typing import Any

HEADER = (
    *("method", "return", "95 % interval", "sampled", "solved"),
    *("reached in training", "steps", "seconds"),
)


def table(rows: list[dict[str, Any]]) -> str:
    """The results of one environment as a table in Markdown, aligned for a terminal, too."""
    cells = [HEADER, *(_cells(row) for row in rows)]
    widths = [max(len(line[k]) for line in cells) for k in range(len(HEADER))]
    cells.insert(1, tuple("-" * width for width in widths))
    lines = (
        "| " + " | ".join(x.ljust(w) for x, w in zip(line, widths, strict=True)) + " |"
        for line in cells
    )
    return "\n".join(lines)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    low, high = row["ci95"]
    return (
        row["method"],
        f"{row['iqm']:.1f}",
        f"{low:.1f} to {high:.1f}",
        f"{row['sampled_iqm']:.1f}",
        "–" if row["solved"] is None else f"{row['solved']} of {row['seeds']}",
        _when(row),
        f"{min(row['steps']):,}",
        f"{row['seconds']:.0f}",
    )


def _when(row: dict[str, Any]) -> str:
    reached = row["reached"]
    if reached is None:
        return "–"
    of = f"{reached['seeds']} of {row['seeds']}"
    if not reached["seeds"]:
        return of
    episodes, steps = f"{reached['episodes']:,.0f} episodes", f"{reached['steps']:,.0f} steps"
    return f"{of}: {episodes}, {steps}, {reached['seconds']:.0f} s"
