"""What the report of a run says, against slower ways to find the same."""

import json
import math
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chains import START, chain_model, random_model
from commands import SMALL, error_of, succeed
from hypothesis import given, settings
from hypothesis import strategies as st

import sunspring
from sunspring.cli.main import app
from sunspring.corpus.vocabulary import CharacterVocabulary
from sunspring.explanation.traces import trace_tokens
from sunspring.model import Model
from sunspring.network.config import ModelConfig
from sunspring.network.weights import pack_model
from sunspring.reports.calibration import calibrate
from sunspring.reports.excerpts import Excerpt, bits_per_token, first_documents, spread_excerpts
from sunspring.reports.memory_curve import memory_curve
from sunspring.reports.page import moments
from sunspring.reports.report import make_report
from sunspring.reports.verdict import Facts, judge, train_command
from sunspring.runs import train as runs
from sunspring.runs.log import RunLog
from sunspring.runs.request import TrainingRequest

LETTERS = CharacterVocabulary("abc \n", end=False, unknown=False)
CONFIG = ModelConfig(LETTERS.size, hidden_size=12, embedding_size=6, skip=True)


def model_of(config: ModelConfig = CONFIG) -> Model:
    return Model(pack_model(random_model(config, std=0.3), LETTERS))


def excerpt(text: str) -> Excerpt:
    return Excerpt(LETTERS.encode(text).astype(np.int64), None)


def random_excerpts(*lengths: int) -> list[Excerpt]:
    draw = np.random.default_rng(0)
    return [Excerpt(draw.integers(0, 5, length), None) for length in lengths]


class TestCalibration:
    def test_is_what_the_distributions_say_one_by_one(self) -> None:
        model, excerpts = model_of(), random_excerpts(300, 1, 40)
        found = calibrate(model, excerpts)
        pairs: list[tuple[float, bool]] = []
        came: dict[int, list[tuple[float, int]]] = {}
        for tokens, label in excerpts:
            trace = trace_tokens(model, tokens, label, top=LETTERS.size)
            for place, token in enumerate(tokens.tolist()):
                chances = dict(
                    zip(trace.alternatives[place], trace.chances[place].tolist(), strict=True)
                )
                pairs += [(chances[other], other == token) for other in chances]
                came.setdefault(token, []).append(
                    (chances[token], max(chances, key=chances.__getitem__))
                )
        bins: dict[int, list[tuple[float, bool]]] = {}
        for chance, is_true in pairs:
            bins.setdefault(min(int(chance * 20), 19), []).append((chance, is_true))
        assert sum(each.count for each in found.bins) == len(pairs)
        for each, (_, values) in zip(found.bins, sorted(bins.items()), strict=True):
            assert each.count == len(values)
            assert each.predicted == pytest.approx(
                np.mean([value for value, _ in values]), abs=1e-5
            )
            assert each.observed == pytest.approx(np.mean([is_true for _, is_true in values]))
        for token in found.accuracies:
            own = came[token.token]
            assert token.count == len(own)
            assert token.probability == pytest.approx(
                np.mean([chance for chance, _ in own]), abs=1e-5
            )
            assert token.first + sum(n for _, n in token.taken_for) == token.count
            assert token.first == sum(best == token.token for _, best in own)
        assert [each.count for each in found.accuracies] == sorted(
            (len(own) for own in came.values()), reverse=True
        )

    def test_of_a_source_by_its_own_probabilities_is_straight(self) -> None:
        rows = {"a": {"a": 0.2, "b": 0.8}, "b": {"a": 0.7, "c": 0.3}, "c": {"b": 1.0}}
        model = chain_model(LETTERS, {START: {"a": 1.0}, **rows})
        text = model.write("", length=20_000, temperature=1.0, seed=1)
        bins = calibrate(model, [excerpt(text)]).bins
        assert len(bins) >= 5
        for each in bins:
            error = math.sqrt(each.predicted * (1 - each.predicted) / each.count)
            assert abs(each.predicted - each.observed) <= 5 * error + 1e-4


class TestMemoryCurve:
    def test_scores_the_same_places_after_ever_more(self) -> None:
        model, (only,) = model_of(), random_excerpts(200)
        curve = memory_curve(model, [only], places=1000, contexts=(1, 4, 9))
        for context, bits in curve.items():
            costs = [
                model.score(LETTERS.decode(only.tokens[place - context : place + 1]))[-1]
                for place in range(9, 200)
            ]
            assert bits == pytest.approx(np.mean(costs), abs=1e-5)
        assert list(curve) == [1, 4, 9]

    def test_stays_within_documents_and_ends_where_they_are_too_short(self) -> None:
        curve = memory_curve(model_of(), random_excerpts(*[10] * 40))
        assert list(curve) == [1, 2, 4, 8]
        assert memory_curve(model_of(), random_excerpts(3, 3)) == {}

    def test_of_a_chain_is_level_after_one_token(self) -> None:
        rows = {"a": {"a": 0.2, "b": 0.8}, "b": {"a": 0.7, "c": 0.3}, "c": {"b": 1.0}}
        model = chain_model(LETTERS, {START: {"a": 1.0}, **rows})
        text = model.write("", length=2000, temperature=1.0, seed=1)
        curve = memory_curve(model, [excerpt(text)])
        assert curve[512] == pytest.approx(curve[1], abs=1e-3)


class TestExcerpts:
    def test_cost_what_scoring_says(self) -> None:
        model, excerpts = model_of(), random_excerpts(2500, 30)
        parts = [excerpts[0].tokens[n : n + 1000] for n in (0, 1000, 2000)] + [excerpts[1].tokens]
        expected = np.concatenate([model.score(LETTERS.decode(part)) for part in parts]).mean()
        assert bits_per_token(model, excerpts) == pytest.approx(expected, abs=1e-5)
        assert math.isnan(bits_per_token(model, []))

    def test_from_all_over_are_stretches_of_a_text_or_whole_documents(
        self, trained: Path, labelled: Path
    ) -> None:
        corpus = sunspring.load(trained).open_text()
        text = corpus.train.tokens.tobytes()
        found = spread_excerpts(corpus.train, corpus.labels, 5000)
        places = [
            text.index(each.tokens.astype(corpus.train.tokens.dtype).tobytes()) for each in found
        ]
        assert [len(each.tokens) for each in found] == [1000] * 5
        assert places[0] == 0
        assert places[-1] == len(text) - 1000
        corpus = sunspring.load(labelled).open_text()
        assert (
            spread_excerpts(
                replace(
                    corpus.train, tokens=corpus.train.tokens[:0], starts=corpus.train.starts[:1]
                ),
                (),
                9,
            )
            == []
        )
        documents = {
            (tuple(corpus.train.tokens[a:b].tolist()), corpus.labels[label])
            for a, b, label in zip(
                corpus.train.starts, corpus.train.starts[1:], corpus.train.labels, strict=False
            )
        }
        found = spread_excerpts(corpus.train, corpus.labels, 100)
        assert len(found) > 3
        assert {(tuple(each.tokens.tolist()), each.label) for each in found} <= documents

    def test_are_the_beginning_of_a_part(self, trained: Path) -> None:
        corpus = sunspring.load(trained).open_text()
        (first,) = first_documents(corpus.heldout, corpus.labels, 100)
        assert first.tokens.tolist() == corpus.heldout.tokens[:100].tolist()


TINY = {"hidden_size": 16, "embedding_size": 8, "window": 16, "batch_size": 4}
FACTS = Facts(
    heldout=2.0,
    ngram=2.4,
    unigram=4.2,
    chance=6.0,
    training=1.9,
    validation=2.0,
    characters=1_000_000,
    epochs=3.0,
    best_at=1.0,
    lost=0.0,
    enough=12.0,
)
REQUEST = TrainingRequest("text.txt", out="run")


def with_facts(**changed: Any) -> Facts:
    return Facts(**{**vars(FACTS), **changed})


class TestVerdict:
    def test_says_that_more_time_would_help(self) -> None:
        verdict = judge(FACTS, REQUEST)
        assert "Still improving" in verdict.summary
        assert verdict.steps[0].command == "sunspring train --out run --resume --minutes 9"

    def test_says_that_it_has_learned_nothing_yet(self) -> None:
        verdict = judge(with_facts(heldout=4.5), REQUEST)
        assert verdict.summary == "It has learned next to nothing yet"
        assert "does better with 4.20" in verdict.sentences[0]
        assert verdict.steps[0].command == "sunspring train --out run --resume --minutes 9"

    @pytest.mark.parametrize("heldout", [247.0, math.inf, math.nan])
    def test_says_that_it_is_worse_than_chance(self, heldout: float) -> None:
        request = replace(REQUEST, settings={"layers": 3, "learning_rate": 30.0})
        verdict = judge(with_facts(heldout=heldout), request)
        assert verdict.summary == "It is worse than chance: the training went wrong"
        assert "at random with 6.00" in verdict.sentences[0]
        assert verdict.steps[0].command == (
            "sunspring train text.txt --out run-more --set layers=3 --set learning_rate=0.001 "
            "--set muon_learning_rate=0.005"
        )

    def test_says_that_it_was_overfitted(self) -> None:
        verdict = judge(with_facts(best_at=0.5, lost=0.3, training=1.0), REQUEST)
        assert "overfitted" in verdict.summary
        assert "after 50% of the training" in " ".join(verdict.sentences)
        assert "MORE.txt" in verdict.steps[0].command

    def test_says_that_it_learned_by_heart(self) -> None:
        assert "begins to overfit" in judge(with_facts(training=1.2), REQUEST).summary

    def test_says_that_the_text_is_short(self) -> None:
        verdict = judge(with_facts(characters=20_000), REQUEST)
        assert "20,000 characters are little" in " ".join(verdict.sentences)
        assert any("--init-from shakespeare" in step.command for step in verdict.steps)
        assert not any(
            "MORE" in step.command
            for step in judge(with_facts(characters=20_000), TrainingRequest(out="run")).steps
        )

    def test_says_that_the_text_was_read_often_enough(self) -> None:
        verdict = judge(with_facts(epochs=12.0), REQUEST)
        assert "often enough" in verdict.summary
        assert not any("--resume" in step.command for step in verdict.steps)

    def test_knows_a_text_too_short_for_a_validation_part(self) -> None:
        verdict = judge(with_facts(validation=math.nan), REQUEST)
        assert "nan" not in " ".join(verdict.sentences)

    def test_says_that_n_grams_do_better(self) -> None:
        assert "n-gram model" in judge(with_facts(heldout=2.6), REQUEST).sentences[0]
        assert "has not learned enough" in judge(with_facts(heldout=2.6), REQUEST).sentences[0]

    def test_calls_held_out_text_new_only_where_it_is(self) -> None:
        assert "never seen costs 2.00" in judge(with_facts(overlap=0.05), REQUEST).sentences[0]
        copied = judge(with_facts(overlap=0.9), REQUEST).sentences[0]
        assert copied.startswith(
            "The held-out text is hardly new (90% of it is in the training text too, line for "
            "line). It costs 2.00 bits per character"
        )

    @settings(max_examples=40, deadline=None)
    @given(
        st.builds(
            TrainingRequest,
            sources=st.lists(st.sampled_from(["/a/b c.txt", "gutenberg:100", "/x'y.txt"])).map(
                tuple
            ),
            out=st.just(Path("/some where/run")),
            preset=st.sampled_from(["auto", "tiny"]),
            device=st.sampled_from(["auto", "cpu"]),
            seed=st.sampled_from([0, 1, 1 << 40]),
            tokens=st.sampled_from(["chars", "subwords"]),
            subword_vocabulary=st.sampled_from([2000, 300]),
            minimum_count=st.sampled_from([1, 5]),
            heldout=st.sampled_from([(), ("/h 1.txt", "/h2.txt")]),
            settings=st.sampled_from([{}, {"hidden_size": "64", "cell": "gru"}]),
            init_from=st.sampled_from([None, Path("shakespeare")]),
            tensorboard=st.booleans(),
        ),
        st.sampled_from([{"minutes": 0.5}, {"epochs": 2.5}, {"steps": 1_000_000}, {}]),
        st.sampled_from(
            [
                {},
                {
                    "documents": "lines",
                    "encoding": "latin-1",
                    "errors": "replace",
                    "label_column": "kind",
                },
                {"documents": "files", "keep_newlines": True, "label_folders": True},
            ]
        ),
    )
    def test_command_asks_for_the_same(
        self, plain: TrainingRequest, budget: dict[str, Any], reading: dict[str, Any]
    ) -> None:
        request_ = replace(plain, **budget, **reading)
        asked: list[TrainingRequest] = []

        class AskedError(sunspring.SunspringError):
            pass

        def take(request: TrainingRequest, *rest: Any) -> None:
            asked.append(request)
            raise AskedError

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(runs, "train", take)
            with pytest.raises(AskedError):
                app(shlex.split(train_command(request_))[1:], standalone_mode=False)
        assert asked == [request_]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on lines with labels, in subwords."""
    folder = tmp_path_factory.mktemp("labelled")
    rows = [
        f"{word} {word} {n},{kind}" for n in range(60) for word, kind in (("ab", "x"), ("cd", "y"))
    ]
    (folder / "rows.csv").write_text("text,kind\n" + "\n".join(rows) + "\n")
    options: Sequence[str] = (
        "--documents",
        "lines",
        "--label-column",
        "kind",
        "--tokens",
        "subwords",
    )
    source = f"{folder / 'rows.csv'}:text"
    succeed(
        "train",
        source,
        *options,
        "--subword-vocabulary",
        "260",
        "--steps",
        "5",
        *SMALL,
        "--out",
        folder / "run",
    )
    return folder / "run"


class TestReport:
    def test_is_written_after_every_training(self, trained: Path) -> None:
        page = (trained / "report.html").read_text()
        assert "What it copied" in page
        assert len(page) < 2_000_000

    def test_is_written_again_by_its_command(self, trained: Path) -> None:
        done = succeed("report", trained, "--out", "page.html")
        assert done.err.strip() == "saved in page.html"
        assert Path("page.html").read_text().count("<h2>") == 9

    def test_of_a_long_text_does_not_search_it_at_once(
        self, english: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sunspring.reports.page._SOON_SEARCHED", 1000)
        sunspring.train(english, steps=2, preset="tiny", settings=TINY, out="run", progress=None)
        assert "was not searched for copies" in Path("run/report.html").read_text()
        succeed("report", "run")
        assert "belong to a stretch of 20" in Path("run/report.html").read_text()

    def test_knows_lines_labels_and_subwords(self, labelled: Path) -> None:
        report = make_report(labelled, print)
        assert len(report.samples) == 5
        assert report.passage["tokens"].count("") > 1  # ends of lines
        assert (labelled / "report.html").exists()

    def test_has_the_samples_of_the_training(self) -> None:
        succeed("train", "--steps", "30", *SMALL, "--out", "run")
        found = moments(RunLog.read(Path("run")))
        assert found
        assert all(set(moment.texts) == {0.5, 0.8, 1.0} for moment in found)
        assert [moment.seconds for moment in found] == sorted(moment.seconds for moment in found)

    def test_python_writes_it_too_where_a_run_is_kept(self, english: Path) -> None:
        sunspring.train(english, steps=5, preset="tiny", settings=TINY, out="kept", progress=None)
        assert Path("kept/report.html").exists()

    def test_of_what_is_no_run_is_one_line(self) -> None:
        assert "no log.jsonl" in error_of("report", "shakespeare")
        assert "no log.jsonl" in error_of("report", "nothing-here")
        assert "no log.jsonl" in error_of("report", __file__)

    def test_of_a_training_that_is_not_over_is_one_line(self, trained: Path) -> None:
        shutil.copytree(trained, "half")
        Path("half/card.json").unlink()
        assert "continue it with sunspring train --out half --resume" in error_of("report", "half")
        card = json.loads((trained / "card.json").read_text())
        del card["epochs"]
        Path("half/card.json").write_text(json.dumps(card))
        assert "half/card.json is damaged (it lacks epochs)" in error_of("report", "half")

    def test_that_cannot_be_written_does_not_harm_the_training(self, english: Path) -> None:
        succeed("train", english, "--steps", "5", *SMALL, "--out", "run")
        Path("run/report.html").unlink()
        Path("run/report.html").mkdir()
        done = succeed("train", "--resume", "--steps", "10", "--out", "run")
        assert "no report: run/report.html is a folder: name a file" in done.err
        assert Path("run/model.safetensors").exists()
