"""No secret is in what git keeps; what looks like one was looked at, and is counted."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from detect_secrets import SecretsCollection
from detect_secrets.settings import default_settings

ROOT = Path(__file__).parents[2]
BASIC, KEYWORD = "Basic Auth Credentials", "Secret Keyword"
AWS, BASE64, HEX = "AWS Access Key", "Base64 High Entropy String", "Hex High Entropy String"
KEY = "Private Key"

# Names of secrets and not secrets; in tests, made up ones that have to be kept out of messages.
LOOKED_AT = {
    "infra/kubernetes/base/review.yaml": {KEYWORD: 2},
    "infra/kubernetes/worker/worker.yaml": {KEYWORD: 1},
    "infra/terraform/README.md": {KEYWORD: 1},
    "infra/terraform/secrets.tf": {KEYWORD: 1},
    "pipeline/adapters/ratings/failures.py": {KEYWORD: 1},
    "pipeline/adapters/ratings/opening.py": {BASIC: 1},
    "pipeline/feedback/events.py": {KEYWORD: 1},
    "tests/contract/test_notices.py": {BASIC: 1},
    "tests/contract/test_ratings.py": {BASIC: 1},
    "tests/contract/test_store.py": {KEYWORD: 1},
    "tests/contract/test_store_failures.py": {AWS: 1, BASE64: 1, BASIC: 1},
    "tests/flows/test_services.py": {KEYWORD: 1},
    "tests/infra/installation.py": {KEYWORD: 1},
    "tests/infra/test_containers.py": {AWS: 1, BASIC: 1},
    "tests/unit/test_listening.py": {HEX: 2},
    "tests/unit/test_log.py": {BASIC: 1, KEY: 1},
    "tests/unit/test_trace.py": {BASIC: 1},
}


def scanned(root: Path, files: Iterable[str]) -> dict[str, dict[str, int]]:
    """How often each kind is found, by file."""
    found = SecretsCollection(root=str(root))
    with default_settings():
        found.scan_files(*files)
    kinds = {file: dict(Counter(secret.type for secret in found[file])) for file in found.files}
    return {file: counts for file, counts in kinds.items() if counts}


def test_no_file_has_a_secret() -> None:
    told = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [file for file in told.splitlines() if file != "constraints.txt" and (ROOT / file).is_file()]
    assert scanned(ROOT, files) == LOOKED_AT


def test_a_secret_would_be_found(tmp_path: Path) -> None:
    planted = {"a.py": "AKIA" + "QQ7XWVT2ZK5LM3NR", "b.env": "postgresql://ann:" + "hunter2" + "@db/x"}
    for name, text in planted.items():
        (tmp_path / name).write_text(f"where = '{text}'\n")
    assert scanned(tmp_path, planted) == {"a.py": {AWS: 1}, "b.env": {BASIC: 1}}
