"""The colours of all figures; without matplotlib, for drawings are made without it.

Colours are seven of Okabe and Ito's eight, which people with any common colour blindness can tell
apart (https://jfly.uni-koeln.de/color/); their yellow is too pale for lines on white.
"""

from __future__ import annotations

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
INK, QUIET, FAINT = "#222222", "#666666", "#DDDDDD"
