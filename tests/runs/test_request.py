import json
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from files import write
from hypothesis import given
from hypothesis import strategies as st

from sunspring.corpus.settings import TokenSettings
from sunspring.errors import ModelError, SettingsError
from sunspring.runs.request import TrainingRequest
from sunspring.text.options import ReadingOptions
from sunspring.training.budget import Budget
from sunspring.training.plan import read_overrides

GOLDEN = Path(__file__).parent.parent / "golden"
PART_OF_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
names = st.one_of(
    st.sampled_from(["-", "gutenberg:100", "https://example.org/a b.txt", "t.csv:text", "f/*.txt"]),
    PART_OF_TEXT.filter(bool),
)
several_names = st.one_of(names, names.map(Path), st.lists(st.one_of(names, names.map(Path))))
budgets: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"minutes": st.floats(1e-3, 1e6)}),
    st.fixed_dictionaries({"epochs": st.floats(1e-3, 1e6)}),
    st.fixed_dictionaries({"steps": st.integers(1, 1 << 50)}),
)
readings = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "documents": st.sampled_from(["none", "lines", "files"]),
            "encoding": st.sampled_from([None, "utf-8", "latin-1"]),
            "errors": st.sampled_from(["strict", "replace", "surrogateescape"]),
            "keep_newlines": st.booleans(),
        },
    ),
    st.fixed_dictionaries({"documents": st.just("lines"), "label_column": PART_OF_TEXT}),
    st.fixed_dictionaries(
        {"documents": st.sampled_from(["lines", "files"]), "label_folders": st.just(True)}
    ),
)
others = st.fixed_dictionaries(
    {"sources": several_names, "out": st.one_of(names, names.map(Path))},
    optional={
        "heldout": several_names,
        "preset": st.sampled_from(["auto", "tiny", "large"]),
        "init_from": st.sampled_from([None, "shakespeare", Path("some/model")]),
        "device": st.sampled_from(["auto", "cpu", "cuda"]),
        "seed": st.integers(0, (1 << 63) - 1),
        "tensorboard": st.booleans(),
        "settings": st.sampled_from(
            [None, {}, {"hidden_size": 64, "skip": True}, {"cell": "gru", "dropout": 0.25}]
        ),
        "tokens": st.sampled_from(["chars", "subwords"]),
        "subword_vocabulary": st.integers(257, 1 << 20),
        "minimum_count": st.integers(1, 1 << 20),
    },
)
requests = st.builds(
    lambda budget, reading, other: TrainingRequest(**budget, **reading, **other),
    budgets,
    readings,
    others,
)


def written(request: TrainingRequest) -> Any:
    """What run.json has of it."""
    return json.loads(json.dumps(request.to_json()))


def from_request(values: Any) -> TrainingRequest:
    return TrainingRequest.from_record({"request": values})


class TestRequest:
    def test_has_several_names_or_one_or_none(self) -> None:
        assert TrainingRequest().source_names == ()
        assert TrainingRequest("a b").source_names == ("a b",)
        assert TrainingRequest(Path("a")).source_names == ("a",)
        assert TrainingRequest(["a", Path("b")]).source_names == ("a", "b")
        request = TrainingRequest(heldout=["c", Path("d")])
        assert (request.source_names, request.heldout_names) == ((), ("c", "d"))

    def test_has_a_budget_or_the_usual_one(self) -> None:
        assert TrainingRequest(steps=9).budget == Budget("steps", 9)
        assert TrainingRequest().budget == Budget("minutes", 3)
        assert TrainingRequest().given_budget is None

    @given(requests, st.sampled_from([Budget("minutes", 2.5), Budget("steps", 7)]))
    def test_takes_another_budget_and_keeps_all_else(
        self, request_: TrainingRequest, budget: Budget
    ) -> None:
        changed = request_.with_budget(budget)
        assert changed.budget == changed.given_budget == budget
        given = {"minutes": None, "epochs": None, "steps": None}
        assert replace(changed, **given) == replace(request_, **given)  # type: ignore[arg-type]

    def test_has_parts_of_reading_and_of_tokens(self) -> None:
        request = TrainingRequest(
            "a", documents="lines", label_column="kind", tokens="subwords", subword_vocabulary=300
        )
        assert request.reading == ReadingOptions(documents="lines", label_column="kind")
        assert request.tokenization == TokenSettings(tokens="subwords", subword_vocabulary=300)

    def test_has_a_folder_that_must_be_named(self) -> None:
        assert TrainingRequest(out="run").folder == TrainingRequest(out=Path("run")).folder
        with pytest.raises(
            SettingsError, match="no folder was given for the run: name one with out"
        ):
            _ = TrainingRequest().folder

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"seed": -1}, "seed is -1: it must be at least 0 and below 2**63"),
            (
                {"seed": 1 << 63},
                "seed is 9,223,372,036,854,775,808: it must be at least 0 and below 2**63",
            ),
            ({"minutes": 0}, "minutes is 0: it must be above 0"),
            ({"device": "tpu"}, "device is 'tpu': choose auto, cpu or cuda"),
            ({"tokens": "words"}, "tokens is 'words': choose chars, bytes or subwords"),
            ({"subword_vocabulary": 256}, "subword_vocabulary is 256: it must be at least 257"),
            ({"documents": "pages"}, "documents is 'pages': choose none, lines or files"),
            ({"tensorboard": "yes"}, "tensorboard is 'yes': it must be true or false"),
            (
                {"minutes": 1, "steps": 1},
                "training ends after minutes, epochs or steps: give only one of these",
            ),
            (
                {"label_folders": True},
                "folders label whole documents: use --documents files or lines",
            ),
        ],
        ids=str,
    )
    def test_that_makes_no_sense_is_refused(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(SettingsError) as caught:
            TrainingRequest(**wrong)
        assert str(caught.value) == message


class TestRecord:
    @given(requests)
    def test_is_read_back_as_what_was_asked(self, request_: TrainingRequest) -> None:
        read = from_request(written(request_))
        assert read.given_budget == request_.budget  # also where that is the usual one
        for name in ("budget", "reading", "tokenization"):
            assert getattr(read, name) == getattr(request_, name)
        for name in ("preset", "device", "seed", "tensorboard"):
            assert getattr(read, name) == getattr(request_, name)
        assert read.folder == request_.folder.absolute()
        assert read.base in (request_.base, request_.base and request_.base.absolute())
        assert read_overrides(read.settings or {}) == read_overrides(request_.settings or {})
        assert len(read.source_names) == len(request_.source_names)
        assert len(read.heldout_names) == len(request_.heldout_names)

    @given(requests)
    def test_of_what_was_read_is_the_same(self, request_: TrainingRequest) -> None:
        values = written(request_)
        assert written(from_request(values)) == values

    def test_without_sources_is_damaged(self) -> None:
        with pytest.raises(ModelError, match=r"^the model's run\.json is damaged"):
            from_request({})

    def test_has_every_field(self) -> None:
        names = {each.name for each in fields(TrainingRequest)}
        assert names == written(TrainingRequest(out="run")).keys()

    def test_names_local_sources_wherever_the_user_stands(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = ["a.txt", "-", "gutenberg:1", "http://x/y.txt", "https://x/y.txt", "/b"]
        values = written(TrainingRequest(asked, out="run", heldout="f/*.txt"))
        monkeypatch.chdir("/")
        read = from_request(values)
        assert read.source_names == (f"{tmp_path}/a.txt", *asked[1:])
        assert read.heldout_names == (f"{tmp_path}/f/*.txt",)
        assert read.folder == tmp_path / "run"

    def test_names_a_model_by_its_path_or_as_one_that_comes_along(self, tmp_path: Path) -> None:
        write("model/config.json", "{}")
        found = [
            written(TrainingRequest(out="run", init_from=base))["init_from"]
            for base in ("model", Path("model"), "shakespeare", None)
        ]
        assert found == [str(tmp_path / "model")] * 2 + ["shakespeare", None]

    def test_may_name_a_file_whose_name_is_no_text(self, tmp_path: Path) -> None:
        name = os.fsdecode(b"\xff.txt")
        assert from_request(written(TrainingRequest(name, out="run"))).source_names == (
            f"{tmp_path}/{name}",
        )

    @pytest.mark.parametrize(
        "damage",
        [
            {"seed": -1},
            {"seed": "1"},
            {"tokens": "words"},
            {"minutes": 1, "steps": 1},
            {"wings": 2},
            {"encoding": "klingon"},
        ],
        ids=str,
    )
    def test_that_is_damaged_is_one_clear_line(self, damage: dict[str, Any]) -> None:
        with pytest.raises(ModelError, match=r"run\.json is damaged") as caught:
            from_request({**written(TrainingRequest(out="run")), **damage})
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("values", [None, 3, [], "text", [["reading"]]], ids=str)
    def test_that_is_no_request_is_one_clear_line(self, values: Any) -> None:
        with pytest.raises(ModelError, match=r"run\.json is damaged"):
            from_request(values)
        with pytest.raises(ModelError, match=r"run\.json is damaged"):
            TrainingRequest.from_record({})


class TestFirstFormat:
    """What version 0.1.0 wrote, with budget, reading, encoding and overrides in parts."""

    def record(self, name: str) -> Any:
        record = json.loads((GOLDEN / name / "run.json").read_text("utf-8"))
        assert record["format"] == 1
        return record

    def test_is_read_as_the_request_that_it_was(self) -> None:
        assert TrainingRequest.from_record(self.record("chars")) == TrainingRequest(
            ["/tmp/golden/text.txt"],
            out="/tmp/golden/chars",
            steps=400,
            preset="small",
            heldout=[],
            settings={
                "hidden_size": "16",
                "embedding_size": "8",
                "window": "16",
                "batch_size": "4",
                "precision": "fp32",
                "pointer": "24",
                "pointer_size": "8",
            },
        )

    @pytest.mark.parametrize("name", ["chars", "bytes", "subwords", "chars-int8"])
    def test_says_all_that_it_said(self, name: str) -> None:
        values = self.record(name)["request"]
        request = from_request(values)
        assert request.budget == Budget(**values["budget"])
        newer = {"delimiter": None, "read_as": "auto"}
        assert {**vars(request.reading), "binary": False} == {**values["reading"], **newer}
        assert {**vars(request.tokenization), "split_seed": request.seed} == values["encoding"]
        for each in ("preset", "device", "seed", "init_from", "tensorboard", "sources", "heldout"):
            assert getattr(request, each) == values[each]
        assert request.settings == values["overrides"]
        assert request.folder == Path(values["out"])

    @pytest.mark.parametrize(
        ("budget", "expected"),
        [
            ({"unit": "minutes", "amount": 0.5}, Budget("minutes", 0.5)),
            ({"unit": "epochs", "amount": 2}, Budget("epochs", 2)),
        ],
        ids=["minutes", "epochs"],
    )
    def test_has_budgets_of_every_unit(self, budget: dict[str, Any], expected: Budget) -> None:
        values = {**self.record("chars")["request"], "budget": budget}
        assert from_request(values).budget == expected

    def test_is_written_again_in_the_second_format(self) -> None:
        request = TrainingRequest.from_record(self.record("subwords"))
        values = written(request)
        assert "reading" not in values
        assert from_request(values) == request

    @pytest.mark.parametrize("part", ["budget", "reading", "encoding", "overrides"])
    @pytest.mark.parametrize("damage", ["gone", "list"])
    def test_that_is_damaged_is_one_clear_line(self, part: str, damage: str) -> None:
        values = self.record("chars")["request"]
        if damage == "gone":
            del values[part]
        else:
            values[part] = ["x"]
        with pytest.raises(ModelError, match=r"run\.json is damaged") as caught:
            from_request(values)
        assert "\n" not in str(caught.value)
