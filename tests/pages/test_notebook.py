"""What results show in a notebook."""

import re
from pathlib import Path

import numpy as np
import pytest
from browser import needs_chromium, opened
from IPython.core.formatters import DisplayFormatter

import sunspring
from sunspring.pages.notebook import passage_html

SETTINGS = {"hidden_size": 16, "embedding_size": 8, "window": 16, "batch_size": 4}


def shown(result: object) -> str | None:
    """What Jupyter would show as HTML."""
    found, _ = DisplayFormatter().format(result)  # type: ignore[no-untyped-call]
    html: str | None = found.get("text/html")
    return html


@pytest.fixture(scope="module")
def model(english: Path) -> sunspring.Model:
    return sunspring.train(english, steps=20, preset="tiny", settings=SETTINGS, progress=None)


def test_model_shows_its_figures(model: sunspring.Model) -> None:
    html = shown(model) or ""
    assert f"{model.config.parameters:,}" in html
    assert "bits per character" in html
    assert "20 steps" in html


def test_training_shows_its_figures(model: sunspring.Model) -> None:
    assert model.training is not None
    assert model.training.heldout is not None
    html = shown(model.training) or ""
    assert f"{model.training.heldout.bpc:.3f} bits per character" in html
    assert "40,000 characters" in html


class TestScoredText:
    def test_shows_each_token_with_its_bits(self, model: sunspring.Model) -> None:
        scored = model.score("<b>To be</b>")
        titles = re.findall(r'title="([\d.]+) bits"', shown(scored) or "")
        assert [float(title) for title in titles] == pytest.approx(scored.tolist(), abs=0.01)
        assert "&lt;" in (shown(scored) or "")

    def test_is_an_array_and_what_is_computed_from_it_is_a_plain_one(
        self, model: sunspring.Model
    ) -> None:
        scored = model.score("To be, or not to be")
        assert isinstance(scored.sum(), float)
        assert type(scored + 1) is np.ndarray
        assert shown(scored[:3]) is None
        assert scored.mean() == pytest.approx(np.mean(scored.tolist()))

    def test_of_bytes_shows_whole_characters(self, english: Path) -> None:
        model = sunspring.train(
            english, steps=1, preset="tiny", tokens="bytes", settings=SETTINGS, progress=None
        )
        scored = model.score("é")
        html = shown(scored) or ""
        assert "\ufffd" not in html
        assert f'title="{scored.sum():.2f} bits"' in html
        assert f"{scored.sum():.3f} bits per character, 1 character" in html

    @needs_chromium
    def test_is_coloured_by_what_each_token_cost(self, tmp_path: Path) -> None:
        (tmp_path / "cell.html").write_text(passage_html(["a", "\n", "é"], [0.0, 20.0, 5.0]))
        with opened(tmp_path / "cell.html") as page:
            colours = [
                span.evaluate("element => getComputedStyle(element).backgroundColor")
                for span in page.locator("span").all()
            ]
        assert colours == [
            "rgba(214, 93, 14, 0)",
            "rgba(214, 93, 14, 0.75)",
            "rgba(214, 93, 14, 0.38)",
        ]
