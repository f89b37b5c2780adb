"""The answer to `/jollor status`."""

from __future__ import annotations

from bridge.content import StatusAnswer, StatusFact
from slack_app import blocks as b
from slack_app.blocks import Element, RenderedMessage
from slack_app.markup import escaped
from slack_app.names import clean, clean_text

_MAX_FACTS = 25
_MAX_LABEL = 80
_MAX_VALUE = 700


def status_answer(answer: StatusAnswer) -> RenderedMessage:
    """One line for each fact, its sign before it, and the verdict on top."""
    facts = answer.facts[:_MAX_FACTS]
    wrong = sum(not fact.is_fine for fact in facts)
    verdict = (
        "✅ All is well"
        if wrong == 0
        else f"⚠️ {wrong} {'thing needs' if wrong == 1 else 'things need'} a look"
    )
    parts: list[Element] = [b.section_of(b.run(verdict, bold=True))]
    if facts:
        parts.append(b.list_of(_line(fact) for fact in facts))
    said = "\n".join(f"{_label(fact)}: {_value(fact)}" for fact in facts)
    return b.message(escaped(f"{verdict}\n{said}".strip()), [b.rich_text(*parts)])


def _line(fact: StatusFact) -> Element:
    sign = "✅" if fact.is_fine else "⚠️"
    return b.section_of(b.run(f"{sign} "), b.run(_label(fact), bold=True), b.run(f": {_value(fact)}"))


def _label(fact: StatusFact) -> str:
    return b.clip(clean(fact.label), _MAX_LABEL) or "?"


def _value(fact: StatusFact) -> str:
    return b.clip(clean_text(fact.value).strip(), _MAX_VALUE) or "?"
