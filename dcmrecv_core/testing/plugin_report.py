"""What `check_plugin` found: as fields, and as text."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Finding:
    """One mistake of a plugin: `where` is the line to change, as FILE:LINE; `hook` is where it shows; `text` says what
    happens and what to do; `cases` are the instances with which it happens, none if that does not depend on them."""

    where: str
    hook: str
    kind: str
    text: str
    cases: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        more = f" and {len(self.cases) - 1} more" if len(self.cases) > 1 else ""
        cases = f" [{self.cases[0]!r}{more}]" if self.cases else ""
        return f"{self.where or 'somewhere'}: {self.hook}: {self.text}{cases}"


@dataclass(slots=True)
class PluginReport:
    """What `check_plugin` did and found. `checks` are its steps in order, each with "ok", the number of findings, or
    why it was left out."""

    plugin: str
    checks: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def add(self, where: str, hook: str, kind: str, text: str, case: str = "") -> None:
        """The same mistake is reported once, with all instances that show it."""
        for known in self.findings:
            if (known.where, known.hook, known.kind) == (where, hook, kind):
                if case and case not in known.cases:
                    known.cases.append(case)
                return
        self.findings.append(Finding(where, hook, kind, text, [case] if case else []))

    def kinds(self) -> set[str]:
        return {finding.kind for finding in self.findings}

    def __str__(self) -> str:
        steps = "".join(f"  {name:24}{result}\n" for name, result in self.checks.items())
        listed = "".join(f"  {finding}\n" for finding in self.findings)
        return f"plugin {self.plugin}: {len(self.findings) or 'no'} findings\n{steps}{listed}"


class PluginCheckError(AssertionError):
    """`check_plugin` has found mistakes; `report` has them as fields."""

    def __init__(self, report: PluginReport) -> None:
        super().__init__(str(report))
        self.report = report
