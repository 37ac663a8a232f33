"""How three compare that were called in turns: a server, the same once more, and another way to it."""
import itertools
import statistics

#: All orders of three: each runs after each other one as often.
ORDERS = tuple(itertools.permutations(range(3)))
#: What may be added at p95, and how far from one the control may be for that to be decided.
ADDED = 0.05


def order(turn):
    """Who is called when in a turn."""
    return ORDERS[turn % len(ORDERS)]


def verdict(ratio, control):
    """Whether what was added at p95 is within the bar, as far as the control lets it be said.

    >>> verdict(1.03, 1.00), verdict(1.12, 0.99), verdict(1.00, 0.85), verdict(1.14, 1.10)
    ('reached', 'MISSED', 'not decided', 'not decided')
    """
    if abs(control - 1) > ADDED:
        return "not decided"
    return "reached" if ratio <= 1 + ADDED else "MISSED"


def ratios(measured):
    """For each name its turns, of three numbers each: the quarters of the third's ratio to the first two, and of the
    second's to the first, which is the machine's alone."""
    found = {}
    for name, turns in measured.items():
        found[f"{name}_beside"] = statistics.quantiles((2 * third / (first + second) for first, second, third in turns), n=4)
        found[f"{name}_control"] = statistics.quantiles((second / first for first, second, _ in turns), n=4)
    return found
