"""Compare the answers of two services: equal, equal within rules, or different, and in what."""

from .answers import AnswerFile
from .columns import Column
from .results import Comparer, compare_results
from .rules import Comparison, Difference, DifferenceKind, Rule, Rules, Shape, Verdict

__all__ = [
    "AnswerFile",
    "Column",
    "Comparer",
    "Comparison",
    "Difference",
    "DifferenceKind",
    "Rule",
    "Rules",
    "Shape",
    "Verdict",
    "compare_results",
]
