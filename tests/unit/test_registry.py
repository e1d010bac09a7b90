"""Actions and checks are found by themselves, also those of other distributions; a name given twice is an error."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from chaoskit.actions import ACTIONS
from chaoskit.actions.cordon_node import CordonNode
from chaoskit.checks import CHECKS
from chaoskit.contracts import Action, Check
from chaoskit.errors import UsageError
from chaoskit.registry import _loaded, discover


def test_every_action_and_check_is_there_under_its_own_name():
    assert list(ACTIONS) == sorted(ACTIONS)
    assert {"kill_pod", "kill_container", "cordon_node", "drain_node"} <= set(ACTIONS)
    assert {"recovery", "restart", "outage", "metric", "steady_state"} <= set(CHECKS)
    assert all(action.verb == verb for verb, action in ACTIONS.items())
    assert all(check.kind == kind for kind, check in CHECKS.items())


def test_every_action_and_check_says_what_it_is_for():
    for part in (*ACTIONS.values(), *CHECKS.values()):
        assert part.__doc__
        for key, field in part.model_fields.items():
            assert field.description, f"{part.__name__}.{key}"


MODULE = '''
from typing import ClassVar
from chaoskit.contracts import Action

class {name}(Action):
    """A test's own."""
    verb: ClassVar[str] = "{verb}"
'''


@pytest.fixture
def package(tmp_path, request):
    """A package of actions, as chaoskit.actions is one; the test gives its modules."""
    name = f"parts_{request.node.name}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    sys.path.insert(0, str(tmp_path))

    def found(**modules: str):
        for module, text in modules.items():
            (folder / f"{module}.py").write_text(text)
        return discover(name, [str(folder)], Action, lambda action: action.verb)

    yield found
    sys.path.remove(str(tmp_path))
    for module in [m for m in sys.modules if m.split(".")[0] == name]:
        del sys.modules[module]


def test_a_module_put_into_the_package_is_found(package):
    assert list(package(b=MODULE.format(name="B", verb="bb"), a=MODULE.format(name="A", verb="aa"))) == ["aa", "bb"]


def test_a_class_that_a_module_merely_imports_is_not_offered_twice(package):
    imported = "from chaoskit.actions.cordon_node import CordonNode\n" + MODULE.format(name="A", verb="aa")
    assert list(package(a=imported)) == ["aa"]


def test_a_name_given_twice_is_an_error(package):
    with pytest.raises(UsageError, match=r"two of .* are called 'aa'"):
        package(a=MODULE.format(name="A", verb="aa"), b=MODULE.format(name="B", verb="aa"))


def entry(value: str) -> EntryPoint:
    return EntryPoint("theirs", value, "chaoskit.actions")


def test_what_another_distribution_offers_is_loaded():
    assert _loaded(entry("chaoskit.actions.cordon_node:CordonNode"), Action) is CordonNode


@pytest.mark.parametrize("value", ["no.such.module:X", "chaoskit.actions.cordon_node:Nothing"])
def test_what_cannot_be_imported_is_named(value):
    with pytest.raises(UsageError, match=r"'theirs' cannot be imported") as caught:
        _loaded(entry(value), Action)
    assert value in str(caught.value)


def test_what_is_no_action_is_refused():
    with pytest.raises(UsageError, match="is no Check"):
        _loaded(entry("chaoskit.actions.cordon_node:CordonNode"), Check)
