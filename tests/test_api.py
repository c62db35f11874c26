import inspect
import io
import json
import math
import shutil
import threading
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from commands import SMALL as SMALL_OPTIONS
from commands import fresh, succeed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trainers import train_small as train

import sunspring
from sunspring import Model, SunspringError
from sunspring.cli.main import app
from sunspring.errors import SettingsError


@pytest.fixture(scope="module")
def model(english: Path) -> Model:
    return train(english)


class TestPackage:
    def test_imports_no_torch_until_it_trains_or_loads(self) -> None:
        done = fresh("-c", "import sunspring, sys; print({'torch', 'numpy'} & sys.modules.keys())")
        assert done.stdout == "set()\n"

    def test_says_what_is_public(self) -> None:
        assert sunspring.__all__ == ["Model", "SunspringError", "load", "train"]
        assert all(hasattr(sunspring, name) for name in sunspring.__all__)
        with pytest.raises(AttributeError, match="no attribute 'tain'"):
            sunspring.tain  # noqa: B018

    def test_explains_all_that_is_public(self) -> None:
        public = [sunspring, *(getattr(sunspring, name) for name in sunspring.__all__)]
        public += [each for name, each in vars(Model).items() if not name.startswith("_")]
        assert all(inspect.getdoc(each) for each in public)


class TestTraining:
    def test_says_how_it_went(self, model: Model) -> None:
        assert model.training is not None
        assert not model.training.interrupted
        assert model.training.preset == "tiny"
        assert model.training.corpus["characters"] == 40_000
        assert "16 lstm" in repr(model)

    def test_keeps_nothing_unless_told_where(self, english: Path) -> None:
        trained = train(english)
        assert list(Path().iterdir()) == []
        assert trained.training is not None
        assert not Path(trained.training.run).exists()
        assert trained.evaluate()[0].characters == 4000

    def test_of_several_sources_keeps_a_run_where_told(self) -> None:
        Path("a.txt").write_text("To be, or not to be. " * 100)
        Path("b.txt").write_text("That is the question. " * 100)
        trained = train(["a.txt", Path("b.txt")], out="run", documents="files", heldout="a.txt")
        assert trained.documents == "files"
        assert Path("run/model.safetensors").exists()
        assert sunspring.load("run").write(seed=1) == trained.write(seed=1)

    def test_takes_what_the_command_takes(self) -> None:
        taken = inspect.signature(sunspring.train).parameters
        command = app.get_command(click.Context(app), "train")
        assert command is not None
        options = {each.name for each in command.params}
        assert {*taken} - {"progress"} == options - {"resume", "as_json", "quiet", "verbose"}
        documentation = inspect.getdoc(sunspring.train) or ""
        assert all(f"\n    {name}: " in documentation for name in taken)

    def test_takes_each_setting_by_its_name_alone(self, english: Path) -> None:
        with pytest.raises(TypeError, match=r"train\(\) .*'hidden_size'"):
            sunspring.train(english, hidden_size=16)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match=r"train\(\) too many positional"):
            sunspring.train(english, "run")  # type: ignore[call-arg, arg-type]

    @pytest.mark.parametrize(
        ("options", "has"),
        [
            ({"encoding": "latin-1"}, "é"),
            ({"errors": "replace"}, "\ufffd"),
            ({"encoding": "latin-1", "keep_newlines": True}, "\r"),
        ],
        ids=str,
    )
    def test_reads_as_it_is_told(self, options: dict[str, Any], has: str) -> None:
        Path("a.txt").write_bytes("To bé, or not to be.\r\n".encode("latin-1") * 100)
        trained = train("a.txt", **options)
        assert has in trained.vocabulary.tokens
        assert ("\r" in trained.vocabulary.tokens) == options.get("keep_newlines", False)

    def test_takes_labels_from_a_column_or_from_folders(self) -> None:
        rows = [f"{'horror' if n % 2 else 'poem'},line {n} of the text\n" for n in range(200)]
        Path("t.csv").write_text("genre,text\n" + "".join(rows))
        of_column = train("t.csv:text", documents="lines", label_column="genre")
        for label in ("horror", "poem"):
            Path("stories", label).mkdir(parents=True)
            for number in range(6):
                Path(f"stories/{label}/{number}.txt").write_text(f"The {label} of it. " * 30)
        of_folders = train("stories", documents="files", label_folders=True)
        for trained, documents in ((of_column, "lines"), (of_folders, "files")):
            assert {*trained.config.labels} == {"horror", "poem"}
            assert trained.documents == documents
            assert len(trained.write(length=9, label="horror")) <= 9

    def test_leaves_out_rare_characters_and_learns_as_many_subwords_as_it_is_told(self) -> None:
        Path("a.txt").write_text("To be, or not to be: that is the question.\n" * 100 + "ß")
        assert "ß" in train("a.txt", steps=1).vocabulary.tokens
        assert "ß" not in train("a.txt", steps=1, minimum_count=2).vocabulary.tokens
        subwords = train("a.txt", steps=1, tokens="subwords", subword_vocabulary=260)
        assert subwords.vocabulary.size == 260

    def test_goes_on_from_a_model(self, english: Path, model: Model) -> None:
        model.save("base")
        further = train(english, init_from="base", preset="auto", settings={"precision": "fp32"})
        assert further.config == model.config
        assert further.evaluate()[0].bpc < model.evaluate()[0].bpc

    def test_logs_for_tensorboard_when_asked(self, english: Path) -> None:
        pytest.importorskip("tensorboard")
        train(english, out="run", tensorboard=True)
        assert list(Path("run/tensorboard").glob("events.*"))

    def test_shows_its_progress_where_told(self, english: Path) -> None:
        stream = io.StringIO()
        train(english, progress=stream)
        assert "40,000 characters" in stream.getvalue()
        assert "100%" in stream.getvalue()

    def test_works_beside_the_main_thread(self, english: Path) -> None:
        models: list[Model] = []
        thread = threading.Thread(target=lambda: models.append(train(english)))
        thread.start()
        thread.join()
        assert len(models[0].write(length=20)) == 20

    def test_gives_the_same_weights_for_the_same_seed(self, english: Path, model: Model) -> None:
        again, other = train(english), train(english, seed=1)
        assert again.write(seed=3) == model.write(seed=3)
        assert other.write(seed=3) != model.write(seed=3)

    def test_of_all_tokens_and_presets_writes(self) -> None:
        Path("a.txt").write_text("To be, or not to be: that is the question.\n" * 100)
        narrow = {"hidden_size": 8, "embedding_size": 8, "window": 8, "batch_size": 4}
        for options in (
            {"tokens": "bytes"},
            {"tokens": "subwords", "preset": "gru"},
            {"preset": "deepmoji"},
            {"preset": "rnn"},
        ):
            trained = train("a.txt", **{"steps": 2, "settings": narrow, **options})
            assert trained.write("To be", length=10).startswith("To be")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"steps": 5, "minutes": 1}, "minutes, epochs or steps: give only one"),
            ({"steps": 0}, "steps is 0: it must be above 0"),
            ({"steps": math.nan}, "steps is nan"),
            ({"preset": "huge"}, "there is no preset 'huge': choose auto, article"),
            ({"seed": -1}, "seed is -1: it must be at least 0"),
            ({"seed": 1 << 63}, "it must be at least 0 and below"),
            ({"device": "tpu"}, "device is 'tpu': choose auto, cpu or cuda"),
            ({"tokens": "words"}, "tokens is 'words': choose chars, bytes or subwords"),
            ({"documents": "pages"}, "documents is 'pages'"),
            ({"settings": {"hiden_size": 3}}, "there is no setting 'hiden_size': choose from"),
            ({"settings": {"hidden_size": "big"}}, "hidden_size is 'big': it must be a whole"),
            ({"init_from": "nowhere"}, "there is no model folder nowhere"),
        ],
    )
    def test_refuses_what_makes_no_sense(
        self, english: Path, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(SunspringError, match=message):
            train(english, out="run", **options)
        assert not Path("run").exists()


class TestWriting:
    def test_begins_with_the_prompt_and_has_the_length(self, model: Model) -> None:
        text = model.write("Operator", length=100, temperature=1.0)
        assert text.startswith("Operator")
        assert len(text) == len("Operator") + 100

    def test_is_the_same_for_the_same_seed_alone_streamed_and_in_a_batch(
        self, model: Model
    ) -> None:
        many = model.write_many(5, "The ", 80, seed=7)
        assert [writing.seed for writing in many] == [7, 8, 9, 10, 11]
        for writing in many:
            assert model.write("The ", 80, seed=writing.seed) == writing.text
            assert "".join(model.stream("The ", 80, seed=writing.seed)) == writing.text
        assert len({writing.text for writing in many}) == 5

    def test_without_a_seed_differs_every_time(self, model: Model) -> None:
        assert model.write(length=50) != model.write(length=50)

    def test_may_stop_at_a_text(self, model: Model) -> None:
        whole = model.write(length=200, seed=1)
        stopped = model.write(length=200, seed=1, stop="e")
        assert stopped == whole.partition("e")[0]

    def test_of_a_text_that_is_novel_repeats_no_line(self) -> None:
        Path("names.txt").write_text("".join(f"{a}{b}\n" for a in "abcde" for b in "abcde"))
        trained = train("names.txt", documents="lines", steps=60)
        known = trained.known_lines()
        asked: dict[str, Any] = {"length": 9, "seed": 0}
        assert {writing.text for writing in trained.write_many(60, **asked)} & known
        for seed in range(10):
            assert trained.write(length=9, seed=seed, novel=True).strip() not in known
        several = [writing.text for writing in trained.write_many(20, novel=True, **asked)]
        assert not {*several} & known
        assert several[0] == trained.write(novel=True, **asked)

    def test_of_texts_that_are_unique_repeats_none(self, model: Model) -> None:
        asked: dict[str, Any] = {"length": 1, "temperature": 1.0, "seed": 0}
        several = [writing.text for writing in model.write_many(9, unique=True, **asked)]
        assert len({*several}) == 9
        assert len({writing.text for writing in model.write_many(9, **asked)}) < 9

    def test_piece_by_piece_does_not_go_with_novel(self, model: Model) -> None:
        with pytest.raises(
            SettingsError, match="is known only at its end: leave out novel, or use"
        ):
            model.stream("The ", novel=True)

    def test_tells_the_prompt_from_what_follows(self, model: Model) -> None:
        [writing] = model.write_many(1, "na\u00efve ", 20, seed=1)
        assert writing.prompt == "naive "
        assert len(writing.continuation) == 20
        assert writing.text == "naive " + writing.continuation
        assert writing.text == model.write("na\u00efve ", 20, seed=1)

    def test_proposes_what_may_follow(self, model: Model) -> None:
        proposals = model.propose("The ", count=3)
        assert len(proposals) == 3
        chances = [proposal.probability for proposal in proposals]
        assert chances == sorted(chances, reverse=True)

    def test_says_what_became_of_a_prompt(self, model: Model) -> None:
        prompt = model.read_prompt("na\u00efve \u0416")
        assert prompt.text == "naive "
        assert prompt.replaced == {"\u00ef": "i", "\u0416": ""}
        assert model.vocabulary.decode(prompt.tokens) == "naive "

    @pytest.mark.parametrize(
        "wrong",
        [
            {"length": -1},
            {"temperature": -1},
            {"top_p": 2},
            {"top_k": -1},
            {"min_p": 2},
            {"repetition_penalty": 0},
            {"seed": -1},
            {"stop": ""},
            {"regex": "("},
            {"label": "horror"},
        ],
        ids=str,
    )
    def test_refuses_what_makes_no_sense(self, model: Model, wrong: dict[str, Any]) -> None:
        with pytest.raises(SunspringError):
            model.write(**wrong)


class TestSaving:
    def test_and_loading_gives_the_same_writer(self, model: Model) -> None:
        model.save("saved")
        loaded = sunspring.load("saved")
        assert loaded.write("The ", 200, seed=5) == model.write("The ", 200, seed=5)
        assert loaded.config == model.config
        assert loaded.card == model.card
        assert loaded.training is None
        assert loaded.evaluate()[0] == model.evaluate()[0]

    def test_twice_gives_the_same_bytes(self, model: Model) -> None:
        model.save("one")
        sunspring.load("one").save("two")
        for path in Path("one").iterdir():
            assert (Path("two") / path.name).read_bytes() == path.read_bytes()

    def test_without_its_record_it_names_no_place(self, model: Model, tmp_path: Path) -> None:
        model.save("saved")
        Path("saved/run.json").unlink()
        assert all(b"/" not in path.read_bytes() for path in Path("saved").glob("card.json"))
        with pytest.raises(SunspringError, match=r"no run.json\): name a text"):
            sunspring.load("saved").evaluate()
        with pytest.raises(SunspringError, match=r"no run.json"):
            sunspring.load("saved").write_many(1, novel=True)
        assert sunspring.load("saved").documents == "none"

    def test_where_it_cannot_be_is_an_error(self, model: Model) -> None:
        Path("file").write_text("")
        with pytest.raises(SunspringError, match="file is a file: name another folder"):
            model.save("file")


class TestScoring:
    def test_sums_to_the_figure_of_the_evaluation(self, model: Model) -> None:
        Path("text.txt").write_text("The rest of the operators.\n" * 20)
        evaluation, _ = model.evaluate("text.txt")
        bits = model.score(Path("text.txt").read_text())
        assert len(bits) == evaluation.tokens
        assert np.isclose(bits.sum() / evaluation.characters, evaluation.bpc, rtol=1e-5)

    def test_of_nothing_is_nothing(self, model: Model) -> None:
        assert model.score("").shape == (0,)

    @given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
    @settings(
        max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
    )
    def test_of_any_text_is_finite_and_not_negative(self, model: Model, text: str) -> None:
        bits = model.score(text)
        assert np.isfinite(bits).all()
        assert (bits >= 0).all()

    def test_under_an_unknown_label_is_an_error(self, model: Model) -> None:
        with pytest.raises(SunspringError, match="does not know the label 'horror'"):
            model.score("text", label="horror")


class TestEvaluation:
    def test_of_its_own_heldout_text_has_baselines(self, model: Model) -> None:
        evaluation, baselines = model.evaluate()
        assert model.training is not None
        assert model.training.heldout is not None
        assert evaluation.bpc == pytest.approx(model.training.heldout.bpc, rel=1e-6)
        assert list(baselines) == [f"order-{order}" for order in range(1, 7)]
        assert baselines["order-2"] < baselines["order-1"]

    def test_of_other_text_needs_no_training_text(self, english: Path) -> None:
        shutil.copy(english, "gone.txt")
        trained = train("gone.txt", out="run")
        Path("gone.txt").unlink()
        record = json.loads(Path("run/run.json").read_text())
        shutil.rmtree(record["corpus"]["folder"])
        Path("text.txt").write_text("The rest of the operators.\n" * 20)
        notices: list[str] = []
        evaluation, baselines = trained.evaluate("text.txt", notify=notices.append)
        assert evaluation.characters == 540
        assert baselines == {}
        assert any("gone.txt does not exist" in notice for notice in notices)
        with pytest.raises(SunspringError, match=r"gone.txt does not exist"):
            trained.evaluate()

    def test_by_windows_says_its_standard_error(self, model: Model) -> None:
        evaluation, _ = model.evaluate(protocol="windows")
        assert evaluation.protocol == "windows"
        assert evaluation.standard_error is not None
        with pytest.raises(SunspringError, match="choose stream or windows"):
            model.evaluate(protocol="lines")  # type: ignore[arg-type]


class TestMixture:
    def test_scores_as_it_is_evaluated(self, model: Model) -> None:
        Path("text.txt").write_text("The rest of the operators.\n" * 20)
        evaluation, baselines = model.evaluate("text.txt", mixture=True)
        figure = evaluation.beyond["mixture"]
        mixed = model.mixed()
        bits = mixed.score(Path("text.txt").read_text())
        assert np.isclose(bits.sum() / 540, figure.bpc, rtol=1e-5)
        alone, same_baselines = mixed.evaluate("text.txt")
        assert alone == figure
        assert same_baselines == baselines

    def test_is_off_by_default_and_leaves_the_model_alone(self, model: Model) -> None:
        before = model.evaluate()[0]
        assert before.beyond == {}
        mixed = model.mixed()
        assert model.evaluate()[0] == before
        mixed.save("saved")
        model.save("other")
        for path in Path("saved").iterdir():
            assert (Path("other") / path.name).read_bytes() == path.read_bytes()

    def test_proposes_and_writes_the_same_alone_and_in_a_batch(self, model: Model) -> None:
        mixed = model.mixed()
        assert mixed.propose("The ", count=3) != model.propose("The ", count=3)
        for writing in mixed.write_many(4, "The ", 40, seed=7):
            assert mixed.write("The ", 40, seed=writing.seed) == writing.text

    def test_without_the_training_text_is_an_error(self, model: Model) -> None:
        model.save("saved")
        Path("saved/run.json").unlink()
        with pytest.raises(SunspringError, match="training text of this model is not known"):
            sunspring.load("saved").mixed()


class TestBlended:
    def test_leaves_both_models_as_they_were(self, english: Path, model: Model) -> None:
        other = train(english, seed=1, tokens="chars")
        before = model.write("The ", 60, seed=1), other.write("The ", 60, seed=1)
        blended = model.blended(other, 0.5)
        assert blended.write("The ", 60, seed=1) not in before
        assert (
            blended.write("The ", 60, seed=1) == blended.write_many(3, "The ", 60, seed=1)[0].text
        )
        assert (model.write("The ", 60, seed=1), other.write("The ", 60, seed=1)) == before
        assert np.array_equal(blended.score("The rest"), model.score("The rest"))

    def test_with_all_of_the_share_writes_as_the_other(self, english: Path, model: Model) -> None:
        other = train(english, seed=1)
        blended = model.blended(other, 1.0)
        assert blended.write("The ", 60, seed=1) == other.write("The ", 60, seed=1)
        assert blended.propose("The ", count=3) != []

    def test_refuses_what_cannot_be_at_once(self, english: Path, model: Model) -> None:
        with pytest.raises(SettingsError, match=r"the shares of a blend are 0\.5, 0\.6"):
            model.blended(model, 0.5).blended(model, 0.6)
        of_bytes = train(english, steps=1, tokens="bytes")
        with pytest.raises(SettingsError, match="chars and one of bytes cannot be blended"):
            model.blended(of_bytes, 0.5)


class TestAdapted:
    def test_model_writes_on_where_the_pages_end(self, model: Model) -> None:
        Path("pages.txt").write_text("To be, or not to be, that is the question. " * 40)
        before = model.write("Then", 60, seed=1)
        adapted = model.adapted("pages.txt")
        assert adapted.write("Then", 60, seed=1).startswith("Then")
        assert adapted.write("Then", 60, seed=1) != before
        assert adapted.write("Then", 60, seed=1) == model.adapted(["pages.txt"]).write(
            "Then", 60, seed=1
        )
        assert model.write("Then", 60, seed=1) == before
        text = "that is the question. To be, or not"
        assert adapted.score(text).sum() < model.score(text).sum()

    def test_model_may_be_mixed_and_saved(self, model: Model) -> None:
        Path("pages.txt").write_text("To be, or not to be, that is the question. " * 40)
        adapted = model.adapted("pages.txt")
        adapted.save("saved")
        loaded = sunspring.load("saved")
        assert np.allclose(loaded.score("To be"), adapted.score("To be"))
        assert adapted.mixed().write("Then", 60, seed=1) != adapted.write("Then", 60, seed=1)

    @pytest.mark.parametrize("documents", ["none", "lines", "files"])
    @pytest.mark.parametrize("tokens", ["chars", "bytes", "subwords"])
    def test_model_of_any_tokens_and_documents_works(self, tokens: str, documents: str) -> None:
        text = "To be, or not to be: that is the question.\n" * 60
        for number in range(12):
            Path(f"{number}.txt").write_text(text)
        Path("pages.txt").write_text("That is the rest.\n" * 20)
        trained = train("[0-9]*.txt", tokens=tokens, documents=documents, steps=5)
        figures, _ = trained.evaluate(mixture=True, dynamic=True)
        assert list(figures.beyond) == ["mixture", "dynamic", "dynamic_mixture"]
        assert all(
            each.nats_per_character < figures.nats_per_character for each in figures.beyond.values()
        )
        adapted = trained.adapted("pages.txt")
        for each in (adapted, adapted.mixed()):
            assert each.write("To be", 20).startswith("To be")

    def test_model_with_labels_reads_the_pages_under_one(self) -> None:
        for label in ("horror", "comedy"):
            Path("stories", label).mkdir(parents=True)
            for number in range(12):
                Path(f"stories/{label}/{number}.txt").write_text(f"The {label} is {number}. " * 30)
        Path("pages.txt").write_text("The rest of the horror. " * 30)
        options = ("--documents", "files", "--label-folders", "--steps", "5", *SMALL_OPTIONS)
        succeed("train", "stories", "--out", "run", *options)
        loaded = sunspring.load("run")
        figures, _ = loaded.evaluate(mixture=True, dynamic=True)
        assert list(figures.beyond) == ["mixture", "dynamic", "dynamic_mixture"]
        adapted = {label: loaded.adapted("pages.txt", label) for label in loaded.config.labels}
        bits = {label: each.score("The rest", "horror").sum() for label, each in adapted.items()}
        assert bits["horror"] < bits["comedy"] < loaded.score("The rest", "horror").sum()
        assert adapted["comedy"].write("The", 9, label="comedy").startswith("The")
        with pytest.raises(SunspringError, match="the model needs a label"):
            loaded.adapted("pages.txt")


class TestDamagedModels:
    @pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
    @pytest.mark.parametrize("damage", ["gone", "empty", "cut", "zeros"])
    def test_say_which_file_it_is(self, trained: Path, name: str, damage: str) -> None:
        shutil.copytree(trained, "run")
        path = Path("run") / name
        content = path.read_bytes()
        if damage == "gone":
            path.unlink()
        else:
            cut = content[: len(content) // 2]
            path.write_bytes({"empty": b"", "cut": cut, "zeros": bytes(len(content))}[damage])
        with pytest.raises(SunspringError, match=name) as caught:
            sunspring.load("run")
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("name", ["card.json", "run.json"])
    @pytest.mark.parametrize("content", ["", "{", "[]"])
    def test_say_which_record_it_is(self, trained: Path, name: str, content: str) -> None:
        shutil.copytree(trained, "run")
        (Path("run") / name).write_text(content)
        with pytest.raises(SunspringError, match=f"{name} is damaged"):
            sunspring.load("run")
        (Path("run") / name).unlink()
        assert sunspring.load("run").write(length=3)

    def test_with_a_record_of_something_else_say_so(self, trained: Path) -> None:
        shutil.copytree(trained, "run")
        Path("run/run.json").write_text('{"request": 1}')
        loaded = sunspring.load("run")
        for use in (loaded.evaluate, loaded.known_lines, lambda: loaded.documents):
            with pytest.raises(SunspringError, match=r"run.json is damaged"):
                use()
