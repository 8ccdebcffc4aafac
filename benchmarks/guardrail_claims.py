"""The fact check on labelled claims: python -m benchmarks.guardrail_claims [FILE …] [--failures]"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from guardrails.evaluation.claims import evaluate_claims, failures_of, read_claims

DATA = Path(__file__).parent.parent / "tests" / "guardrails" / "fact_check" / "data"


def main(arguments: list[str]) -> None:
    show = "--failures" in arguments
    for path in [Path(one) for one in arguments if not one.startswith("--")] or sorted(DATA.glob("*.yaml")):
        claims = read_claims(path)
        started = time.perf_counter()
        report = evaluate_claims(claims)
        each = (time.perf_counter() - started) / max(1, len(claims))
        print(f"{path.name}: {report['counts']}, {each * 1000:.2f} ms a claim")
        for part in ("rates", "confusion", "languages", "kinds"):
            print(f"  {part}")
            table = report[part]
            assert isinstance(table, dict)
            for name, figure in table.items():
                print(f"    {name}: {figure}")
        if show:
            by_id = {claim.id: claim for claim in claims}
            for failure in failures_of(report):
                claim = by_id[failure["id"]]
                print(f"{claim.id} {claim.kind} {failure['label']} -> {failure['said']}")
                print(f"   {' / '.join(claim.evidence)!r}\n   {claim.claim}")


if __name__ == "__main__":
    main(sys.argv[1:])
