"""Pages in a real browser."""

import re
import shutil
from pathlib import Path
from typing import Literal

import pytest
from browser import needs_chromium, opened
from commands import succeed

import sunspring

LINES = [f'{name}:\nshall I go (to the house), and say "no"\n' for name in ("ROMEO", "MARIA")]


@pytest.fixture(scope="module")
def explanation(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    (folder / "text.txt").write_text("\n".join(LINES * 10) + "<script>alert(1)</script>")
    page = folder / "page.html"
    succeed("explain", trained, folder / "text.txt", "--copied", "--out", page)
    return page


@needs_chromium
class TestExplanation:
    def test_shows_the_text_and_what_was_expected(self, explanation: Path) -> None:
        with opened(explanation) as page:
            shown = page.locator("#passage").text_content() or ""
            assert shown.startswith("\n".join(LINES))
            assert "<script>alert(1)</script>" in shown
            page.locator("#passage span").nth(7).hover()
            details = page.locator("#details").text_content() or ""
            assert re.search(r"cost \d+\.\d\d bits", details)
            assert page.locator("#details tr").count() == 5

    def test_goes_through_the_text_by_the_keyboard(self, explanation: Path) -> None:
        with opened(explanation) as page:
            page.locator("#passage").focus()
            for _ in range(3):
                page.keyboard.press("ArrowRight")
            assert page.locator("#passage span.chosen").get_attribute("data-place") == "2"

    def test_colours_by_a_unit_and_by_a_gate(self, explanation: Path) -> None:
        def colours() -> list[str]:
            styles = page.locator("#passage span").all()[:50]
            return [span.get_attribute("style") or "" for span in styles]

        with opened(explanation) as page:
            by_surprisal = colours()
            page.locator("button.feature").first.click()
            by_unit = colours()
            assert page.locator("#colour").input_value() == "unit"
            page.locator("#unit").fill("3")
            by_another = colours()
            page.locator("#colour").select_option("gate 1")
            by_gate = colours()
        assert len({tuple(each) for each in (by_surprisal, by_unit, by_another, by_gate)}) == 4

    def test_marks_what_is_copied(self, trained: Path, english: Path, tmp_path: Path) -> None:
        known = english.read_text()[200:260]
        text = ("--text", f"zzzz{known}", "--copied", "--out", tmp_path / "page.html")
        succeed("explain", trained, *text)
        with opened(tmp_path / "page.html") as page:
            marked = "".join(page.locator("#passage span.copied").all_text_contents())
            assert known.strip() in marked
            assert page.locator("td.stretch").first.text_content() == marked
            assert page.locator("polyline").count() == 2


@needs_chromium
class TestReport:
    def test_shows_the_held_out_text_and_what_was_expected(self, trained: Path) -> None:
        corpus = sunspring.load(trained).open_text()
        with opened(trained / "report.html") as page:
            shown = page.locator("#passage").text_content() or ""
            assert shown == corpus.vocabulary.decode(corpus.heldout.tokens[:2000])
            page.locator("#passage span").nth(11).hover()
            assert page.locator("#details tr").count() == 5

    def test_draws_its_charts(self, trained: Path) -> None:
        with opened(trained / "report.html") as page:
            assert page.locator("svg.chart").count() == 4
            names = page.locator("svg.chart").first.locator("text.name").all_text_contents()
            assert {"training text", "validation text", "held-out text", "6-grams"} <= set(names)

    def test_says_what_to_try_next(self, trained: Path) -> None:
        with opened(trained / "report.html") as page:
            assert "bits per character" in (page.locator(".verdict").text_content() or "")
            assert "sunspring train" in (page.locator("ol pre").first.text_content() or "")


@needs_chromium
class TestComparison:
    def test_shows_models_beside_one_another(self, comparison: Path) -> None:
        with opened(comparison) as page:
            assert page.locator("tbody tr").count() == 2
            assert page.locator(".beside section").count() == 2
            assert page.locator("svg.chart polyline").count() == 2


@pytest.fixture(scope="module")
def comparison(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    page = tmp_path_factory.mktemp("comparison") / "page.html"
    copy = shutil.copytree(trained, page.parent / "copy")
    succeed("compare", trained, copy, "--out", page)
    return page


@pytest.fixture(params=["explanation", "report", "comparison"])
def any_page(request: pytest.FixtureRequest, trained: Path) -> Path:
    if request.param == "report":
        return trained / "report.html"
    page: Path = request.getfixturevalue(request.param)
    return page


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_page_fits_its_window_and_its_light(
    any_page: Path, width: int, scheme: Literal["light", "dark"], tmp_path: Path
) -> None:
    with opened(any_page, width, scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert (background == "rgb(253, 252, 249)") == (scheme == "light")
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_page_is_one_file_without_addresses(any_page: Path) -> None:
    assert not re.search(r"(src|href)=\"(?!data:)", any_page.read_text())
