"""The review page in a real browser, on its real server and database: keys, mouse, touch, a server that dies."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright

from pipeline.environment import SIGNING
from pipeline.generate.verify import read_release
from pipeline.marks.signer import SignerSettings, make_signer
from pipeline.reviews import Reviewer, Verdict
from pipeline.values import Batch
from tests.browser.review_server import Server, enroll, ratings_in, serving, store_in
from tests.browser.test_gallery import BROWSER
from tests.contract.delivering import delivered
from tests.contract.waiting import NAME, registry_of, with_waiting

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
SLOW_MS = 30_000
WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Batch]:
    root = tmp_path_factory.mktemp("made")
    _, batch = delivered(root, lambda bucket: store_in(root), channels=3, part_items=15)
    enroll(root, batch)
    with_waiting(root)
    return root, batch


@pytest.fixture
def root(tmp_path: Path, made: tuple[Path, Batch]) -> Path:
    shutil.copytree(made[0], tmp_path / "root")
    return tmp_path / "root"


@pytest.fixture
def batch(made: tuple[Path, Batch]) -> Batch:
    return made[1]


@pytest.fixture
def server(root: Path) -> Iterator[Server]:
    with serving(root) as server:
        yield server


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=BROWSER, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def wide(chromium: Browser) -> Iterator[Page]:
    yield from _page(chromium.new_context(viewport=WIDE))  # type: ignore[arg-type]


@pytest.fixture
def phone(chromium: Browser) -> Iterator[Page]:
    yield from _page(chromium.new_context(viewport=PHONE, has_touch=True, is_mobile=True))  # type: ignore[arg-type]


def _page(context: BrowserContext) -> Iterator[Page]:
    """Whose script must not fail, and whose content policy nothing may offend."""
    page, faults = context.new_page(), list[str]()
    page.set_default_timeout(SLOW_MS)
    expect.set_options(timeout=SLOW_MS)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
    yield page
    context.close()
    assert not faults


def opened(page: Page, server: Server, batch: Batch, query: str = "") -> None:
    page.goto(f"{server.url}/batches/{batch.id}{query}")
    expect(page.locator("#caption")).to_be_visible()


def shown(page: Page) -> str:
    return str(page.locator("#shown").get_attribute("data-item"))


def kept(page: Page) -> None:
    expect(page.locator("#saved")).to_have_text("All kept")


def verdicts(root: Path, batch: Batch, name: str = "owner") -> dict[str, Verdict]:
    with ratings_in(root) as ratings:
        return {one.item: one for one in ratings.mine(name, batch.id)}


def test_ten_items_by_keyboard_only(server: Server, wide: Page, root: Path, batch: Batch) -> None:
    wide.goto(server.url)
    wide.keyboard.press("Tab")
    wide.keyboard.press("Enter")  # skips to the content
    for _ in range(20):
        wide.keyboard.press("Tab")
        if wide.evaluate("document.activeElement.textContent") == "Judge":
            break
    wide.keyboard.press("Enter")
    expect(wide.locator("#caption")).to_be_visible()
    said = {}
    for key in ("a", "r", "5", "a", "1", "r", "3", "a", "a", "r"):
        said[shown(wide)] = key
        wide.keyboard.press(key)
    kept(wide)
    assert len(said) == 10
    found = verdicts(root, batch)
    told = {item: {True: "a", False: "r", None: str(one.rating)}[one.accepted] for item, one in found.items()}
    assert told == said
    expect(wide.locator("#progress")).to_have_text("10 of 20 judged")

    last = list(said)[-1]
    wide.keyboard.press("u")
    assert shown(wide) == last
    wide.keyboard.press("Control+z")
    assert shown(wide) == list(said)[-2]
    kept(wide)
    assert verdicts(root, batch).keys() == set(list(said)[:-2])

    item = shown(wide)
    wide.keyboard.press("t")
    wide.keyboard.type("too dark")
    wide.keyboard.press("Enter")
    wide.keyboard.press("Escape")
    wide.keyboard.press("n")
    wide.keyboard.type("see the left edge: a, r, 1")
    wide.keyboard.press("Control+Enter")
    wide.keyboard.press("4")
    kept(wide)
    one = verdicts(root, batch)[item]
    assert (one.tags, one.note, one.rating, one.accepted) == (("too dark",), "see the left edge: a, r, 1", 4, None)

    wide.keyboard.press("ArrowLeft")
    assert shown(wide) == item
    wide.keyboard.press("?")
    expect(wide.get_by_role("dialog", name="Keys")).to_be_visible()
    wide.keyboard.press("a")
    wide.keyboard.press("Escape")
    kept(wide)
    assert verdicts(root, batch)[item].accepted is None
    wide.keyboard.press("c")
    expect(wide.locator("#left-shown")).to_be_visible()


def test_as_fast_as_keys_come(server: Server, wide: Page, root: Path, batch: Batch) -> None:
    opened(wide, server, batch)
    wide.evaluate(
        "for (let i = 0; i < 30; i++)"
        " document.body.dispatchEvent(new KeyboardEvent('keydown', { key: i % 3 ? 'a' : 'r', bubbles: true }))"
    )
    expect(wide.locator("#over")).to_be_visible()
    kept(wide)
    found = verdicts(root, batch)
    assert len(found) == 30 and sum(one.accepted is False for one in found.values()) == 10


def test_by_mouse_with_history_filters_and_undo(server: Server, wide: Page, root: Path, batch: Batch) -> None:
    opened(wide, server, batch, "?label=cat")
    first = shown(wide)
    expect(wide.locator("#fact-class")).to_have_text("cat")
    wide.locator("#strip button").nth(2).click()
    third = shown(wide)
    assert third != first
    wide.get_by_role("button", name="Accept A").click()
    wide.get_by_role("button", name="2 of 5").click()
    wide.get_by_role("button", name="Undo").click()
    wide.locator("#strip button").nth(2).click()
    expect(wide.get_by_role("button", name="Accept A")).to_have_attribute("aria-pressed", "true")
    kept(wide)
    wide.get_by_role("button", name="Show H").click()
    expect(wide.locator("#said")).to_contain_text("owner accepted")
    assert {item: one.accepted for item, one in verdicts(root, batch).items()} == {third: True}

    wide.get_by_role("button", name="Filter").click()
    wide.get_by_label("Show", exact=True).select_option(label="what I said")
    wide.get_by_label("Class", exact=True).select_option(label="every class")
    wide.get_by_role("dialog").get_by_role("button", name="Show", exact=True).click()
    expect(wide.locator("#strip button")).to_have_count(1)
    assert shown(wide) == third


def test_by_touch_on_a_phone(server: Server, phone: Page, root: Path, batch: Batch) -> None:
    opened(phone, server, batch)
    said = {shown(phone): True}
    phone.get_by_role("button", name="Accept").tap()
    said[shown(phone)] = False
    phone.get_by_role("button", name="Reject").tap()
    for way in (1, -1):
        said[shown(phone)] = way > 0
        swipe(phone, way * 150)
    swipe(phone, 20)  # too short to mean anything
    kept(phone)
    assert {item: one.accepted for item, one in verdicts(root, batch).items()} == said
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    phone.get_by_role("button", name="Details").tap()
    phone.get_by_role("button", name="blurred").tap()
    phone.get_by_role("button", name="Close").tap()
    kept(phone)
    assert sorted(one.tags for one in verdicts(root, batch).values())[-1] == ("blurred",)


def swipe(page: Page, by: int) -> None:
    box = page.locator("#stage").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session = page.context.new_cdp_session(page)
    touch = lambda kind, at: session.send(  # noqa: E731
        "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [] if at is None else [{"x": at, "y": y}]}
    )
    touch("touchStart", x)
    for step in range(1, 6):
        touch("touchMove", x + by * step / 5)
    touch("touchEnd", None)
    session.detach()


def test_two_side_by_side(server: Server, wide: Page, root: Path, batch: Batch) -> None:
    wide.goto(f"{server.url}/batches/{batch.id}/compare")
    expect(wide.locator("#pair")).to_be_visible()
    wide.keyboard.press("ArrowLeft")
    wide.keyboard.press("ArrowRight")
    kept(wide)
    wide.keyboard.press("ArrowLeft")
    kept(wide)
    wide.keyboard.press("u")
    wide.keyboard.press("=")
    wide.locator("#pair button").first.click()
    kept(wide)
    with ratings_in(root) as ratings:
        chosen = ratings.chosen()
        labels = {one.item: one.label for one in ratings.enrolled([c.better for c in chosen]).values()}
        assert all(ratings.item(c.worse).label == labels[c.better] for c in chosen)  # type: ignore[union-attr]
    pairs = [frozenset((one.better, one.worse)) for one in chosen]
    assert len(pairs) == 5 and len(set(pairs)) == 4  # alike: once each way
    seen = set(pairs)
    wide.reload()
    expect(wide.locator("#pair")).to_be_visible()
    wide.keyboard.press("ArrowLeft")
    kept(wide)
    with ratings_in(root) as ratings:
        assert {frozenset((one.better, one.worse)) for one in ratings.chosen()} > seen


def test_a_server_that_is_killed_loses_nothing(server: Server, wide: Page, root: Path, batch: Batch) -> None:
    opened(wide, server, batch)
    said = []
    for _ in range(3):
        said.append(shown(wide))
        wide.keyboard.press("a")
    kept(wide)
    server.kill()
    for _ in range(6):
        said.append(shown(wide))
        wide.keyboard.press("r")
    wide.keyboard.press("u")
    said.pop()
    expect(wide.locator("#away")).to_contain_text("The server does not answer. 5 answers are kept here")
    server.start()
    kept(wide)
    expect(wide.locator("#away")).to_be_hidden()
    found = verdicts(root, batch)
    assert {item: one.accepted for item, one in found.items()} == {item: n < 3 for n, item in enumerate(said)}
    with ratings_in(root) as ratings:
        assert [len(ratings.history(item)) for item in said] == [1] * 8


def test_what_waits_outlives_a_page_that_is_left(server: Server, wide: Page, root: Path, batch: Batch) -> None:
    wide.on("dialog", lambda dialog: dialog.accept())
    opened(wide, server, batch)
    item = shown(wide)
    wide.route("**/api/verdicts", lambda route: route.abort())
    wide.keyboard.press("a")
    expect(wide.locator("#away")).to_be_visible()
    wide.unroute("**/api/verdicts")
    wide.reload()
    kept(wide)
    assert verdicts(root, batch)[item].accepted is True


def test_an_answer_that_is_lost_counts_once(server: Server, wide: Page, root: Path, batch: Batch) -> None:
    opened(wide, server, batch)
    lost = []

    def lose(route: Route) -> None:
        if len(lost) < 2:
            lost.append(route.fetch().status)
            route.abort()
        else:
            route.continue_()

    wide.route("**/api/verdicts", lose)
    items = [shown(wide)]
    wide.keyboard.press("a")
    items.append(shown(wide))
    wide.keyboard.press("r")
    kept(wide)
    assert lost == [200, 200]
    with ratings_in(root) as ratings:
        assert [len(ratings.history(item)) for item in items] == [1, 1]


def test_an_expert_withdraws_at_once(server: Server, wide: Page, root: Path, batch: Batch) -> None:
    opened(wide, server, batch)
    item, address = shown(wide), wide.locator("#shown").get_attribute("src")
    assert wide.request.get(f"{server.url}{address}").status == 200
    wide.keyboard.press("x")
    dialog = wide.get_by_role("dialog", name="Withdraw this item?")
    dialog.get_by_role("button", name="Cancel").click()
    assert shown(wide) == item
    wide.keyboard.press("x")
    dialog.get_by_label("Because it is").select_option("likeness")
    dialog.get_by_label("In a few words").fill("my neighbour")
    dialog.get_by_role("button", name="Withdraw at once").click()
    expect(dialog).to_be_hidden()
    assert shown(wide) != item
    assert wide.request.get(f"{server.url}{address}").status == 404
    told = withdrawn(root, batch)
    assert [(one.item, one.by, one.why) for one in told] == [(item, "owner", "likeness: my neighbour")]
    wide.reload()
    expect(wide.locator("#caption")).to_be_visible()
    assert item not in wide.content()


def withdrawn(root: Path, batch: Batch) -> list:  # type: ignore[type-arg]
    signer = make_signer(SignerSettings(), root / SIGNING)
    return list(read_release(store_in(root), batch, signer.certificates).withdrawn)


def test_a_withdrawal_that_was_killed_is_ended_at_the_next_start(root: Path, batch: Batch) -> None:
    item = f"{batch.id}-00000004"
    with ratings_in(root) as ratings:
        raised = Verdict(item=item, reviewer="owner", at="2026-11-25T00:00:00Z", concern="harmful")  # type: ignore[arg-type]
        ratings.record([raised], ["of-a-server-that-was-killed"])
        with serving(root):
            for _ in range(300):
                if not ratings.open_concerns():
                    break
                time.sleep(0.1)
        assert not ratings.open_concerns()
    assert [one.item for one in withdrawn(root, batch)] == [item]


def test_a_token_lets_in_and_a_third_opinion_settles(server: Server, wide: Page, root: Path, batch: Batch) -> None:
    item = f"{batch.id}-00000007"
    with ratings_in(root) as ratings:
        token = ratings.add_reviewer(Reviewer(name="cara", role="reviewer"))
        for n, name in enumerate(("ann", "bob")):
            one = Verdict(item=item, reviewer=name, at="2026-11-25T00:00:00Z", accepted=n == 0)  # type: ignore[arg-type]
            ratings.record([one], [f"key-of-{name}"])
    expect_login(wide, server, batch)
    wide.get_by_label("Name").fill("cara")
    wide.get_by_label("Token").fill("wrong")
    wide.get_by_role("button", name="Log in").click()
    expect(wide.get_by_role("alert")).to_contain_text("No reviewer has this name and token")
    wide.get_by_label("Token").fill(token)
    wide.keyboard.press("Enter")
    expect(wide.locator("#caption")).to_be_visible()
    assert wide.url.endswith(f"/batches/{batch.id}")
    expect(wide.get_by_role("button", name="Raise a concern")).to_have_count(0)
    wide.goto(server.url)
    wide.get_by_role("link", name="1 in dispute").click()
    expect(wide.locator("#caption")).to_contain_text("two disagree")
    assert shown(wide) == item
    wide.keyboard.press("a")
    expect(wide.locator("#over")).to_be_visible()
    kept(wide)
    with ratings_in(root) as ratings:
        assert sum(one.quarrels for one in ratings.batches()) == 0
    wide.goto(server.url)
    wide.get_by_role("button", name="Log out").click()
    expect(wide.get_by_label("Token")).to_be_visible()
    assert token not in server.log()


def test_a_model_that_waits_is_promoted(server: Server, phone: Page, root: Path) -> None:
    phone.goto(server.url)
    phone.get_by_role("link", name="Models").tap()
    phone.get_by_role("link", name="Samples and figures").tap()
    expect(phone.get_by_text("nfd 0.81")).to_be_visible()
    phone.go_back()
    phone.get_by_label("Why").fill("its strokes are cleaner")
    phone.get_by_role("button", name="Promote v2").tap()
    expect(phone.get_by_text("approved by owner")).to_be_visible()
    champion = registry_of(root).champion(NAME)
    assert champion and champion.version == 2


def expect_login(page: Page, server: Server, batch: Batch) -> None:
    """A reviewer who was just added is known within a second."""
    for _ in range(20):
        page.goto(f"{server.url}/batches/{batch.id}")
        if "/login" in page.url:
            return
        page.wait_for_timeout(200)
    raise AssertionError("it lets anyone in though a reviewer has a token")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_no_fault_of_accessibility(
    server: Server, chromium: Browser, root: Path, batch: Batch, scheme: str, size: dict[str, int]
) -> None:
    context = chromium.new_context(viewport=size, color_scheme=scheme, bypass_csp=True, reduced_motion="reduce")  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(SLOW_MS)

    def check(what: str) -> None:
        violations = Axe().run(page, options=WCAG).response["violations"]
        told = [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in violations]
        assert not told, f"{what}: {json.dumps(told, indent=1)}"

    page.goto(server.url)
    check("batches")
    page.goto(f"{server.url}/models")
    expect(page.get_by_role("button", name="Promote v2")).to_be_visible()
    check("models")
    opened(page, server, batch)
    check("an item")
    for key in "ar4":
        page.keyboard.press(key)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("t")
    page.keyboard.press("Escape")
    if size is PHONE:
        page.get_by_role("button", name="Details").click()
    page.get_by_role("button", name="Show H").click()
    expect(page.locator("#said li").first).to_be_visible()
    check("a judged item")
    for key, name in (("?", "Keys"), ("f", "What to show"), ("x", "Withdraw this item?")):
        page.keyboard.press(key)
        expect(page.get_by_role("dialog", name=name)).to_be_visible()
        check(name)
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog", name=name)).to_be_hidden()
    kept(page)
    page.route("**/api/verdicts", lambda route: route.abort())
    page.keyboard.press("a")
    expect(page.locator("#away")).to_be_visible()
    check("server away")
    page.unroute("**/api/verdicts")
    kept(page)
    page.goto(f"{server.url}/batches/{batch.id}?label=none")
    expect(page.locator("#over")).to_be_visible()
    expect(page.get_by_role("button", name="Filter")).to_be_enabled()
    check("nothing left")
    page.goto(f"{server.url}/batches/{batch.id}/compare")
    expect(page.locator("#pair")).to_be_visible()
    check("compare")
    page.goto(f"{server.url}/batches/{'0' * 16}")
    check("no such batch")
    with ratings_in(root) as ratings:
        ratings.add_reviewer(Reviewer(name="cara", role="reviewer"))
    expect_login(page, server, batch)
    check("login")
    context.close()
