# SPDX-License-Identifier: MIT
"""How the demo speaks: headings with numbers, remarks, commands and what they answer."""

import os
import sys

COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ
COMMAND, QUIET, LOUD = "36", "2", "1"      # colours of a terminal


def say(text, style=""):
    print(f"\033[{style}m{text}\033[0m" if COLOUR and style else text, flush=True)


class Numbers:
    """The headings count on through the whole demo."""
    step = 0


def title(text):
    say(f"\n{'=' * 80}\n{text}\n{'=' * 80}", LOUD)


def heading(text):
    Numbers.step += 1
    say(f"\n--- {Numbers.step}. {text}", LOUD)


def remark(text):
    say(f"# {text}", QUIET)
