# SPDX-License-Identifier: MIT
"""The simulator in short: a history replays to the byte, some fresh ones are well, and those that once were not."""

import os

import pytest
import simulate

SHORT = 12


def seeds_that_found_something():
    """Lines of `found`: seed, hours, features left out; what it was is the comment above."""
    with open(os.path.join(os.path.dirname(__file__), "found")) as lines:
        words = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    return [(int(one[0]), int(one[1]), one[2:]) for one in words]


def test_a_history_replays_to_the_byte():
    first, again = (simulate.History(7, 6, log=True) for _ in range(2))
    assert first.hash and first.text.split("of the processor")[0].rsplit(",", 1)[0] == \
        again.text.split("of the processor")[0].rsplit(",", 1)[0]
    assert first.hash == again.hash
    assert first.hash == simulate.History(7, 6).hash, "the log is no part of what happens"


def test_a_feature_that_is_off_moves_no_other():
    whole = simulate.History(7, 1)
    less = simulate.History(7, 1, [whole.features[0]])
    assert less.features == whole.features[1:]


def test_fresh_histories_are_well():
    first = simulate.seed_of_commit()
    for seed in range(first, first + 3):
        history = simulate.History(seed, SHORT)
        assert history.well, f"{history.what}\n{history.command()}"


@pytest.mark.parametrize("seed,hours,without", seeds_that_found_something())
def test_what_was_found_is_mended(seed, hours, without):
    history = simulate.History(seed, hours, without)
    assert history.well, f"{history.what}\n{history.command()}"
