"""`python -m tests.faults [--kills N] [--seed N] [--only WORDS] [--out FILE]`: every fault for real, and a table of it.

An hour on two cores. Exit code 1 where one of them ended otherwise than it should.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as tree
from collections import Counter
from pathlib import Path

from tests.faults.table import FAULTS, Fault

ROOT = Path(__file__).parents[2]
HEAD = "| fault | what was done | times | lost | mended by | tests |\n|---|---|---|---|---|---|"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="of the loop")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of these")
    parser.add_argument("--only", default="", help="faults with these words in their names")
    parser.add_argument("--out", type=Path, help="where to write the table too")
    asked = parser.parse_args()
    chosen = [fault for fault in FAULTS if asked.only in fault.name]
    os.environ |= {"KILLS": str(asked.kills), "KILLS_SEED": str(asked.seed)}
    with tempfile.TemporaryDirectory() as folder:
        results = [ran(fault, Path(folder) / "told.xml") for fault in chosen]
    table = "\n".join([HEAD, *(row(fault, told, asked.kills) for fault, told in zip(chosen, results, strict=True))])
    print(table)
    if asked.out:
        asked.out.write_text(table + "\n")
    return int(any(told["failed"] or not told["passed"] for told in results))


def ran(fault: Fault, told: Path) -> Counter[str]:
    """How many tests passed, failed and were skipped."""
    print(f"\n{fault.name}: {fault.done}", flush=True)
    told.unlink(missing_ok=True)
    words = [sys.executable, "-m", "pytest", "-q", "-s", "-m", "", f"--junitxml={told}", *fault.tests]
    subprocess.run(words, cwd=ROOT, check=False)
    if not told.exists():
        return Counter(failed=1)
    return Counter(outcome(case) for case in tree.parse(told).iter("testcase"))


def outcome(case: tree.Element) -> str:
    kinds = {child.tag for child in case}
    return "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"


def row(fault: Fault, told: Counter[str], kills: int) -> str:
    often = fault.often.format(kills=kills)
    seen = ", ".join(f"{count} {kind}" for kind, count in sorted(told.items()))
    lost = "nothing" if told["passed"] and not told["failed"] else "**see above**"
    return f"| {fault.name} | {fault.done} | {often} | {lost} | {fault.mended} | {seen} |"


if __name__ == "__main__":
    sys.exit(main())
