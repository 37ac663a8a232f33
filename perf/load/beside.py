"""How three compare that were called in turns: a server, the same once more, and another way to it."""
import statistics


def ratios(measured):
    """For each name its turns, of three numbers each: the quarters of the third's ratio to the first two, and of the
    second's to the first, which is the machine's alone."""
    found = {}
    for name, turns in measured.items():
        found[f"{name}_beside"] = statistics.quantiles((2 * third / (first + second) for first, second, third in turns), n=4)
        found[f"{name}_control"] = statistics.quantiles((second / first for first, second, _ in turns), n=4)
    return found
