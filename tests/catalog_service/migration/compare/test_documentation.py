from pathlib import Path

from catalog_service.migration.compare import DifferenceKind, Rule, Verdict

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "compare.md"


def test_every_verdict_rule_and_difference_is_described() -> None:
    text = PAGE.read_text()
    missing = [name for kind in (Verdict, Rule, DifferenceKind) for name in kind if name not in text]
    assert not missing
