"""JUnit XML as a CI server reads it."""

from dataclasses import replace
from xml.etree import ElementTree

import story

from chaoskit.report import junit


def suite_of(result):
    root = ElementTree.fromstring(junit.render(result))  # noqa: S314 - our own text
    assert root.tag == "testsuites"
    (suite,) = root
    return suite


def test_one_testcase_for_each_expectation_and_its_failure():
    told = story.failing()
    suite = suite_of(told.result)
    cases = suite.findall("testcase")
    assert [c.get("name") for c in cases] == [f.name for f in told.result.asked]
    assert {c.get("classname") for c in cases} == {"the shop survives losing a pod"}
    (failed,) = [c for c in cases if c.find("failure") is not None]
    assert "outage" in failed.get("name")
    assert "measured 0.81" in failed.find("failure").get("message")
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == (str(len(cases)), "1", "0")


def test_inconclusive_is_an_error_with_its_reason_and_what_it_rests_on_is_told():
    suite = suite_of(story.inconclusive().result)
    errors = {c.get("name"): c.find("error") for c in suite.findall("testcase") if c.find("error") is not None}
    assert errors["ready_fronts >= 3 during “lose a pod” at the end"].get("message").endswith("no data in the window")
    assert "97 % of a core" in errors["the load's own processes kept up"].get("message")
    assert suite.get("errors") == str(len(errors))


def test_evidence_stands_in_the_output():
    suite = suite_of(story.passing().result)
    out = "\n".join(c.findtext("system-out") for c in suite.findall("testcase"))
    assert "query: sum(rate(refapp_requests_total" in out
    assert "replacement in endpoints" in out
    assert "requests due: 1500" in out


def test_properties_tell_how_to_do_it_again():
    suite = suite_of(story.passing().result)
    told = {p.get("name"): p.get("value") for p in suite.find("properties")}
    assert told["seed"] == "7"
    assert told["run"].startswith("20260921")
    assert "embedded" in told["cluster"]


def test_what_is_left_broken_is_an_error():
    suite = suite_of(story.unhealed().result)
    (case,) = [c for c in suite.findall("testcase") if c.get("name") == "everything is put back"]
    assert "kubectl uncordon node-2" in case.find("error").get("message")


def test_hostile_texts_stay_texts():
    told = story.hostile().result
    text = junit.render(told)
    assert "\x1b" not in text
    assert text.encode()  # no lone surrogate is left
    suite = suite_of(told)
    assert "<script>" in suite.find("testcase").get("name")


def test_expectations_of_the_same_name_are_told_apart():
    told = story.passing().result
    twice = replace(told, findings=(told.asked[0], told.asked[0]))
    names = [c.get("name") for c in suite_of(twice).findall("testcase")]
    assert names == [told.asked[0].name, f"{told.asked[0].name} (2)"]


def test_a_run_without_findings_is_an_error_and_not_an_empty_success():
    told = replace(story.unstarted().result, findings=())
    suite = suite_of(told)
    assert (suite.get("tests"), suite.get("errors")) == ("1", "1")
