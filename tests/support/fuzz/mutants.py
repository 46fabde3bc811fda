"""Almost valid inputs: valid ones with some bytes changed, removed, doubled, or spliced with another."""

from __future__ import annotations

import random
from collections.abc import Sequence

INTERESTING = (0, 1, 2, 3, 4, 5, 6, 7, 8, 0x10, 0x7F, 0x80, 0xFE, 0xFF)


def mutated(rng: random.Random, data: bytes, words: Sequence[bytes] = ()) -> bytes:
    """`data` with one to four changes; never empty. `words` are what may be put in beside bytes."""
    mutant = bytearray(data or b"\0")
    for _ in range(rng.randint(1, 4)):
        position = rng.randrange(len(mutant))
        length = rng.choice((1, 1, 2, 4, rng.randint(1, 60)))
        match rng.randrange(6 if words else 5):
            case 0:
                mutant[position] = rng.choice(INTERESTING)
            case 1:
                mutant[position : position + length] = rng.randbytes(length)
            case 2:
                del mutant[position : position + length]
            case 3:
                mutant[position:position] = mutant[position : position + length]
            case 4:
                mutant[position : position + length] = bytes([rng.choice((0, 0xFF))]) * length
            case _:
                mutant[position : position + rng.choice((0, 0, length))] = rng.choice(words)
        if not mutant:
            return b"\0"
    return bytes(mutant)


def next_input(rng: random.Random, seeds: Sequence[bytes], words: Sequence[bytes] = ()) -> bytes:
    """A mutant of a seed; one in eight begins like one seed and ends like another."""
    data = rng.choice(seeds)
    if rng.randrange(8) == 0:
        other = rng.choice(seeds)
        data = data[: rng.randint(0, len(data))] + other[rng.randint(0, len(other)) :]
    return mutated(rng, data, words)
