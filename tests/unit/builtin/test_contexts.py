"""`[[contexts]]`: what the tables accept, with a wildcard as abstract syntax too."""

from __future__ import annotations

from dcmrecv_builtin.contexts import ANY_CLASS, ContextsPlugin
from dcmrecv_core import Association, ProposedContext, Role, SupportedContext
from dcmrecv_core.config import context_tables
from dcmrecv_core.settings.settings import Settings
from support.uids import CT, EXPLICIT_LE, FIND, IMPLICIT_LE, JPEG, MR, PRIVATE_CLASS, VERIFICATION

PROPOSED = tuple(
    ProposedContext(2 * number + 1, uid, (IMPLICIT_LE,))
    for number, uid in enumerate((VERIFICATION, CT, FIND, PRIVATE_CLASS, CT))
)
ASSOCIATION = Association("A", "B", "192.0.2.1", 1, "1", PROPOSED)


def negotiate(*contexts: SupportedContext) -> tuple[SupportedContext, ...]:
    plugin = ContextsPlugin()
    plugin.configure(Settings(contexts=contexts).own("contexts"))
    return plugin.negotiate(ASSOCIATION)


def test_the_wildcard_is_the_one_of_the_file() -> None:
    assert context_tables.ANY_CLASS == ANY_CLASS


def test_the_wildcard_stands_for_each_storage_class_that_is_proposed() -> None:
    listed = SupportedContext(MR, (EXPLICIT_LE,))
    wildcard = SupportedContext(ANY_CLASS, (JPEG, EXPLICIT_LE), Role.SCU)
    expected = [SupportedContext(uid, (JPEG, EXPLICIT_LE), Role.SCU) for uid in (VERIFICATION, CT, PRIVATE_CLASS)]
    assert negotiate(listed, wildcard) == (listed, *expected)
    assert negotiate(wildcard, listed) == (*expected, listed)


def test_without_a_wildcard_the_answer_is_always_the_same_object() -> None:
    """Answers are cached by the identity of the contexts."""
    plugin = ContextsPlugin()
    plugin.configure(Settings(contexts=(SupportedContext(CT, None),)).own("contexts"))
    assert plugin.negotiate(ASSOCIATION) is plugin.negotiate(ASSOCIATION)
