"""`Model` as Python programs use it: copied, sent to other processes, asked for what cannot be."""

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from chains import random_model
from commands import succeed

import sunspring
from sunspring.corpus.vocabulary import CharacterVocabulary
from sunspring.errors import SettingsError
from sunspring.model import Model
from sunspring.network.config import ModelConfig
from sunspring.network.weights import pack_model

LETTERS = CharacterVocabulary("abc é\n", end=False, unknown=False)
CONFIG = ModelConfig(LETTERS.size, hidden_size=12, embedding_size=6)


@pytest.fixture
def model() -> Model:
    return Model(pack_model(random_model(CONFIG), LETTERS))


def written(model: Model) -> str:
    """What a model writes; a function of a module, as processes need it."""
    return model.write("ab", length=40, seed=3)


class TestCopies:
    def test_write_the_same_though_pickled_or_copied_deeply(self, model: Model) -> None:
        for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), copy.copy(model)):
            assert written(other) == written(model)
            assert other.score("abc").tolist() == model.score("abc").tolist()
            assert repr(other) == repr(model)

    def test_have_the_changes_of_the_network(self, model: Model) -> None:
        with_changes = copy.deepcopy(model)
        with_changes.network.head.weight.data.zero_()
        assert np.ptp(with_changes.score("abcabc")) < np.ptp(model.score("abcabc"))
        other = pickle.loads(pickle.dumps(with_changes))
        assert other.score("abcabc").tolist() == with_changes.score("abcabc").tolist()

    def test_keep_what_was_added(self, model: Model, trained: Path) -> None:
        blended = model.blended(Model(pack_model(random_model(CONFIG, 0.3), LETTERS)), 0.4)
        assert written(pickle.loads(pickle.dumps(blended))) == written(blended)
        run = sunspring.load(trained)
        Path("pages.txt").write_text("The rest of the operators is silence.\n" * 9)
        for changed in (run.mixed(), run.adapted("pages.txt"), run.quantize()):
            other = pickle.loads(pickle.dumps(changed))
            assert (other.engine, other.documents) == (changed.engine, changed.documents)
            assert written(other) == written(changed)

    @pytest.mark.parametrize("engine", ["native", "torch"])
    def test_write_in_a_process_that_was_spawned(self, trained: Path, engine: str) -> None:
        model = sunspring.load(trained, engine=engine)  # type: ignore[arg-type]
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            assert pool.submit(written, model).result(timeout=200) == written(model)


class TestTexts:
    @pytest.mark.parametrize("method", ["encode", "score_many"])
    def test_are_a_list_and_not_a_single_one(self, model: Model, method: str) -> None:
        with pytest.raises(
            SettingsError, match=r"the single text 'abc': put it in a list, \[text\]"
        ):
            getattr(model, method)("abc")
        with pytest.raises(SettingsError, match=r"b'abc' is no text: give str"):
            getattr(model, method)([b"abc"])
        assert len(getattr(model, method)(("abc", "a"))) == 2

    def test_that_are_none_have_vectors_of_the_right_width(self, model: Model) -> None:
        assert model.encode([]).shape == (0, 24)
        assert model.score_many([]) == []
        torch = Model(model.files, engine="torch")
        assert torch.encode([]).shape == (0, 24)
        Path("empty.txt").touch()
        succeed("encode", "shakespeare", "empty.txt", "--out", "vectors.npy")
        width = sunspring.load("shakespeare").encode(["a"]).shape[1]
        assert np.load("vectors.npy").shape == (0, width)


class TestImpossibleRequests:
    def test_are_one_line(self, trained: Path) -> None:
        with pytest.raises(SettingsError, match=r"^device is 'tpu': choose auto, cpu or cuda$"):
            sunspring.load(trained, device="tpu")
        model = sunspring.load(trained)
        whole = r"^count is -1: it must be a whole number, at least 0 and below 2\*\*63$"
        with pytest.raises(SettingsError, match=whole):
            model.write_many(-1)
        least = r"^count is -1: it must be at least 1 and below 2\*\*63$"
        with pytest.raises(SettingsError, match=least):
            model.propose("a", count=-1)
