"""JUnit XML: one testcase for each expectation, as CI servers show them.

A failed expectation is a `<failure>`, an inconclusive one an `<error>`: it is no answer about the app. What a verdict
rests on becomes a testcase only where it is not in order.
"""

from __future__ import annotations

# Only written here, never parsed.
from xml.etree import ElementTree

from chaoskit.model import Evidence, Finding, Verdict
from chaoskit.report import evidencetext, wording
from chaoskit.result import Result

LONGEST = 16_000
"""Characters of system-out a testcase: CI servers cut longer ones, some refuse the whole file."""


def render(result: Result) -> str:
    """The text of junit.xml."""
    suite = ElementTree.Element("testsuite", name=wording.one_line(result.experiment))
    _properties(suite, result)
    for name, finding in _named([*result.asked, *wording.doubts(result)]):
        _testcase(suite, result, name, finding)
    _unhealed(suite, result)
    _count(suite, result)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _properties(suite: ElementTree.Element, result: Result) -> None:
    cluster = result.cluster
    told = {
        "run": result.run,
        "seed": str(result.seed),
        "verdict": result.verdict.value,
        "exit_code": str(result.exit_code),
        "namespace": result.namespace,
        "cluster": f"{cluster.provider} {cluster.context} {cluster.version} {cluster.profile}",
        **{f"version.{name}": version for name, version in result.versions.items()},
    }
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in told.items():
        ElementTree.SubElement(properties, "property", name=wording.one_line(name), value=wording.one_line(value))


def _named(findings: list[Finding]) -> list[tuple[str, Finding]]:
    """Names made unique: servers take two testcases of one name for one."""
    seen: dict[str, int] = {}
    named = []
    for finding in findings:
        name = wording.one_line(finding.name)
        seen[name] = seen.get(name, 0) + 1
        named.append((name if seen[name] == 1 else f"{name} ({seen[name]})", finding))
    return named


def _testcase(suite: ElementTree.Element, result: Result, name: str, finding: Finding) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=wording.one_line(result.experiment), name=name, time="0")
    if finding.verdict is not Verdict.PASSED:
        tag = "failure" if finding.verdict is Verdict.FAILED else "error"
        problem = ElementTree.SubElement(
            case, tag, type=wording.one_line(finding.kind), message=wording.one_line(_message(finding))
        )
        problem.text = wording.clean(_full(finding))
    out = ElementTree.SubElement(case, "system-out")
    out.text = wording.shortened(wording.clean(_full(finding) + _evidence(finding.evidence)), LONGEST)


def _message(finding: Finding) -> str:
    """What was measured, where anything was, and why."""
    if finding.verdict is Verdict.INCONCLUSIVE or finding.value is None:
        return finding.reason
    return f"measured {wording.measured(finding)}, limit {finding.limit}; {finding.reason}"


def _full(finding: Finding) -> str:
    lines = [
        f"{finding.verdict.mark} {finding.verdict.value}: {finding.name}",
        f"measured: {wording.measured(finding)}",
        f"limit: {finding.limit or '–'}",
        f"margin: {wording.margin(finding) or '–'}",
        f"reason: {finding.reason}",
    ]
    return "\n".join(lines) + "\n"


def _evidence(found: tuple[Evidence, ...]) -> str:
    return "".join(
        f"\n{piece.title}\n" + "".join(f"  {line}\n" for line in evidencetext.lines(piece)) for piece in found
    )


def _unhealed(suite: ElementTree.Element, result: Result) -> None:
    if not result.unhealed:
        return
    case = ElementTree.SubElement(
        suite, "testcase", classname=wording.one_line(result.experiment), name="everything is put back", time="0"
    )
    what = "; ".join(f"{left}; type: {fix}" for left, fix in result.unhealed)
    ElementTree.SubElement(case, "error", type="unhealed", message=wording.one_line(what))


def _count(suite: ElementTree.Element, result: Result) -> None:
    if suite.find("testcase") is None:
        case = ElementTree.SubElement(
            suite, "testcase", classname=wording.one_line(result.experiment), name="the run", time="0"
        )
        ElementTree.SubElement(case, "error", type=wording.one_line(result.how), message=wording.one_line(result.error))
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(c.find("failure") is not None for c in cases)))
    suite.set("errors", str(sum(c.find("error") is not None for c in cases)))
    suite.set("skipped", "0")
    suite.set("time", f"{result.seconds:.3f}")
    suite.set("timestamp", wording.stamp(result.started_unix))
