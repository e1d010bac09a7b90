"""index.html: one page about all experiments of a batch, with a link to the report of each run.

It needs no network and runs no script at all; its style is that of report.html.
"""

from __future__ import annotations

from urllib.parse import quote

from chaoskit.batch import Batch, ranked
from chaoskit.report import html, wording


def render(batch: Batch) -> str:
    """The text of index.html."""
    page = html.environment()
    page.filters.update(lasting=wording.lasting, doubts=wording.doubts, ranked=wording.ranked, url=quote)
    return page.get_template("index.html.j2").render(
        batch=batch,
        verdict=batch.verdict,
        sentence=batch.sentence,
        parts=ranked(batch.parts),
        unhealed=[(result.experiment, *left) for result in batch.results for left in result.unhealed],
        about=about(batch),
        css=html.asset(page, "report.css"),
        own_css=html.asset(page, "index.css"),
    )


def about(batch: Batch) -> list[tuple[str, str]]:
    lasted = wording.lasting(max(0.0, batch.ended_unix - batch.began_unix))
    clusters = dict.fromkeys(f"{r.cluster.provider} {r.cluster.context} {r.cluster.version}" for r in batch.results)
    found = [
        ("began", wording.moment(batch.began_unix)),
        ("lasted", lasted if batch.over else f"{lasted} so far"),
        ("cluster", ", ".join(clusters)),
        ("exit code", str(batch.exit_code) if batch.over else ""),
        ("runs", str(len(batch.results))),
    ]
    return [(name, wording.one_line(value)) for name, value in found if value]
