"""JUnit XML: one testcase for each expectation, as CI servers show them.

A failed expectation is a `<failure>`, an inconclusive one an `<error>`: it is no answer about the app. What a verdict
rests on becomes a testcase only where it is not in order.
"""

from __future__ import annotations

# Only written here, never parsed.
from xml.etree import ElementTree

from chaoskit.batch import Batch, Part
from chaoskit.model import Evidence, Finding, Verdict
from chaoskit.report import evidencetext, wording
from chaoskit.result import Result

LONGEST = 16_000
"""Characters of system-out a testcase: CI servers cut longer ones, some refuse the whole file."""


def render(result: Result) -> str:
    """The text of junit.xml."""
    return _text([_suite(result)])


def render_all(batch: Batch) -> str:
    """One file for all runs of a batch. What could not be run is an error; what had no turn is skipped."""
    suites: list[ElementTree.Element] = []
    for part in batch.parts:
        suites += [_suite(done.result) for done in part.runs]
        if part.error:
            suites.append(
                _not_run(part, ElementTree.Element("error", type="not run", message=wording.one_line(part.error)))
            )
        elif not part.runs:
            why = batch.cut or ("" if batch.over else "its turn has not come yet")
            suites.append(_not_run(part, ElementTree.Element("skipped", message=wording.one_line(why or "not run"))))
    _tell_apart(suites)
    return _text(suites)


def _text(suites: list[ElementTree.Element]) -> str:
    root = ElementTree.Element("testsuites")
    root.extend(suites)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(result: Result) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name=wording.one_line(result.experiment))
    _properties(suite, result)
    for name, finding in _named([*result.asked, *wording.doubts(result)]):
        _testcase(suite, name, finding)
    _unhealed(suite, result)
    if suite.find("testcase") is None:
        case = _case(suite, "the run")
        ElementTree.SubElement(case, "error", type=wording.one_line(result.how), message=wording.one_line(result.error))
    _count(suite)
    suite.set("time", f"{result.seconds:.3f}")
    suite.set("timestamp", wording.stamp(result.started_unix))
    return suite


def _not_run(part: Part, why: ElementTree.Element) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name=wording.one_line(part.name))
    _case(suite, "the run").append(why)
    _count(suite)
    suite.set("time", "0")
    return suite


def _tell_apart(suites: list[ElementTree.Element]) -> None:
    """Numbers what has the name of an earlier one, as repetitions do: servers take two of one name for one."""
    seen: dict[str, int] = {}
    for suite in suites:
        name = suite.attrib["name"]
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            suite.set("name", f"{name} ({seen[name]})")
            for case in suite.findall("testcase"):
                case.set("classname", suite.attrib["name"])


def _case(suite: ElementTree.Element, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=suite.attrib["name"], name=name, time="0")


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


def _testcase(suite: ElementTree.Element, name: str, finding: Finding) -> None:
    case = _case(suite, name)
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
    case = _case(suite, "everything is put back")
    what = "; ".join(f"{left}; type: {fix}" for left, fix in result.unhealed)
    ElementTree.SubElement(case, "error", type="unhealed", message=wording.one_line(what))


def _count(suite: ElementTree.Element) -> None:
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(sum(case.find(tag) is not None for case in cases)))
