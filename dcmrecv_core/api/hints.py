"""`did_you_mean`: the names that somebody who misspelt one may have meant. Every such hint comes from here."""

from __future__ import annotations

from collections.abc import Iterable

_MOST = 3


def did_you_mean(name: str, known: Iterable[str], *, similarity: float = 0.6) -> str:
    """Like "did you mean PatientID?", or "a or b?"; "" if none of the `known` names is similar to `name`.

    Upper and lower case do not matter: a name that differs in nothing else is the only one that is named, else those
    that begin with `name` if they are few. `similarity`, from 0 to 1, is what other names need at least: the more names
    there are, the higher it should be.
    """
    from difflib import get_close_matches  # only mistakes need it

    by_lower = {each.lower(): each for each in known if each}
    wanted = name.lower()
    near = [wanted] if wanted in by_lower else [each for each in by_lower if each.startswith(wanted)]
    if not wanted or not 0 < len(near) <= _MOST:
        near = get_close_matches(wanted, by_lower, _MOST, similarity)
    return f"did you mean {' or '.join(by_lower[each] for each in near)}?" if near else ""
