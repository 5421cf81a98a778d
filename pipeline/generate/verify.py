"""Whether a file or a batch is ours, unaltered, and from what."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import ValidationError

from pipeline.adapters.store import Store
from pipeline.errors import GenloopError
from pipeline.generate.batches import (
    CLEANED,
    COMMIT,
    EXCLUDED,
    RECORD,
    STARTED,
    WITHDRAWN,
    Stores,
    find_batch,
    home,
    is_cleaned,
    is_committed,
)
from pipeline.generate.find import row_of
from pipeline.generate.release import Release
from pipeline.marks.jws import verify_json
from pipeline.marks.reading import Claim, read_mark
from pipeline.marks.trust import Untrusted
from pipeline.values import Batch, Value

OWN = ("receipts/", "notices/")  # not of the release: how it was made, and what was noted since
LOOSE = (COMMIT, RECORD, WITHDRAWN, CLEANED, STARTED, EXCLUDED)
CONNECTIONS = 8


class FileVerdict(Value):
    """ours: signed by one of our certificates; altered: since it was signed. status: of its batch, where that is found:
    committed, withdrawn, cleaned (only its record is left), or unknown. same: whether these are the very bytes that
    were delivered; None where not known.
    """

    ours: bool
    altered: bool
    state: str
    claim: Claim | None
    signer: str
    source_type: str
    problems: tuple[str, ...]
    status: str = "unknown"
    same: bool | None = None

    @property
    def good(self) -> bool:
        return self.ours and not self.altered and self.status != "withdrawn"


class BatchVerdict(Value):
    """problems: each with the object that has it; empty where all is as it was signed."""

    batch: str
    objects: int
    items: int
    status: str
    problems: tuple[str, ...]

    @property
    def good(self) -> bool:
        return not self.problems and self.status == "committed"


def verify_file(data: bytes, certificates: bytes, stores: Stores | None) -> FileVerdict:
    """stores: None where they can't be asked."""
    mark = read_mark(data, certificates=certificates)
    found = FileVerdict(
        ours=mark.trusted and mark.claim is not None,
        altered=mark.state == "altered",
        state=mark.state,
        claim=mark.claim,
        signer=mark.signer,
        source_type=mark.source_type,
        problems=mark.problems,
    )
    if stores is None or mark.claim is None:
        return found
    try:
        batch = find_batch(stores, mark.claim.batch)
        store = stores(batch.bucket)
        if is_cleaned(store, batch):
            status = _status_of_cleaned(read_release(store, batch, certificates), mark.claim.item)
            return found.model_copy(update={"status": status})
        row = row_of(store, batch, mark.claim.item)
    except GenloopError:
        return found
    status = "withdrawn" if row is None or not is_committed(store, batch) else "committed"
    same = None if row is None else row["sha256"] == hashlib.sha256(data).hexdigest()
    return found.model_copy(update={"status": status, "same": same})


def verify_batch(
    store: Store, batch: Batch, certificates: bytes, tell: Callable[[int, int], None] = lambda done, total: None
) -> BatchVerdict:
    """Every object held against the signed record: altered, missing or added ones are told."""
    problems = list[str]()
    base = home(batch)
    committed = store.get(f"{base}/{COMMIT}")
    record = store.get(f"{base}/{RECORD}")
    told = _release(record, certificates, problems)
    if committed and record and not _commits(committed, record, told):
        problems.append(f"{COMMIT}: tells of another {RECORD}, or is damaged")
    if told is None:
        return BatchVerdict(batch=batch.id, objects=0, items=0, status=_status(committed), problems=tuple(problems))
    if (told.batch.id, told.order.id) != (batch.id, batch.id):
        problems.append(f"{RECORD}: of another batch, {told.batch.id}")
    if not committed and is_cleaned(store, batch):
        items, problems_ = told.batch.items, tuple(problems)
        return BatchVerdict(batch=batch.id, objects=0, items=items, status="cleaned", problems=problems_)
    problems += _altered(store, base, told.objects, tell)
    there = {key.removeprefix(f"{base}/") for key in store.keys(f"{base}/")}
    extra = sorted(name for name in there - told.objects.keys() if name not in LOOSE and not name.startswith(OWN))
    problems += [f"{name}: not of this batch" for name in extra]
    return BatchVerdict(
        batch=batch.id,
        objects=len(told.objects),
        items=told.batch.items,
        status=_status(committed),
        problems=tuple(problems),
    )


def read_release(store: Store, batch: Batch, certificates: bytes) -> Release:
    """Raises Untrusted where the record is lost, altered or not ours."""
    data = store.get(f"{home(batch)}/{RECORD}")
    if data is None:
        raise Untrusted("the record is lost", where=store.uri(f"{home(batch)}/{RECORD}"))
    return Release.model_validate(verify_json(data, certificates))


def _status_of_cleaned(told: Release, item: str) -> str:
    return "withdrawn" if any(one.item in ("", item) for one in told.withdrawn) else "cleaned"


def told_record(committed: bytes) -> str:
    """The hash of the record that a commit object tells of; empty where it is damaged."""
    try:
        return str(json.loads(committed)["record"])
    except (ValueError, KeyError, TypeError):
        return ""


def _commits(committed: bytes, record: bytes, told: Release | None) -> bool:
    """Whether the commit object tells of this record, and says what that says."""
    if told_record(committed) != hashlib.sha256(record).hexdigest():
        return False
    try:
        found = json.loads(committed)
        batch, items = Batch.model_validate(found["batch"]), found["items"]
    except (ValueError, KeyError, TypeError):
        return False
    return told is None or (batch, items) == (told.batch, told.batch.items)


def _release(record: bytes | None, certificates: bytes, problems: list[str]) -> Release | None:
    if record is None:
        problems.append(f"{RECORD}: is lost")
        return None
    try:
        return Release.model_validate(verify_json(record, certificates))
    except Untrusted as error:
        problems.append(f"{RECORD}: {error.what}")
    except ValidationError:
        problems.append(f"{RECORD}: signed, but of another kind")
    return None


def _altered(store: Store, base: str, objects: dict[str, str], tell: Callable[[int, int], None]) -> Iterator[str]:
    def look(pair: tuple[str, str]) -> str | None:
        name, expected = pair
        data = store.get(f"{base}/{name}")
        if data is None:
            return f"{name}: is lost"
        return None if hashlib.sha256(data).hexdigest() == expected else f"{name}: was altered"

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        for done, problem in enumerate(threads.map(look, sorted(objects.items())), 1):
            tell(done, len(objects))
            if problem:
                yield problem


def _status(committed: bytes | None) -> str:
    return "committed" if committed else "not committed"


def as_table(verdict: FileVerdict) -> list[tuple[str, Any]]:
    """What a person wants to read of a file."""
    claim = verdict.claim
    rows: list[tuple[str, Any]] = [("ours", "yes" if verdict.ours else "no"), ("mark", verdict.state)]
    if claim:
        rows += [
            ("item", claim.item),
            ("batch", f"{claim.batch}, {verdict.status}"),
            ("model", f"{claim.model} v{claim.version}"),
            ("snapshot", claim.snapshot),
            ("made", claim.made_at),
        ]
    if verdict.same is not None:
        rows.append(("bytes", "as delivered" if verdict.same else "not as delivered, though signed by us"))
    if verdict.signer:
        rows.append(("signed by", verdict.signer))
    if verdict.problems:
        rows.append(("problems", ", ".join(verdict.problems)))
    return rows
