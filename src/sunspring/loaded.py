"""A model folder in Python: it writes, scores and is saved.

None of that needs PyTorch where there is the native engine, so nothing of it is imported before it
is asked for. What does need it is trained.py.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.corpus import Corpus
from sunspring.corpus.vocabulary import Vocabulary, adapt_text
from sunspring.errors import SettingsError
from sunspring.explanation.copies import training_bytes
from sunspring.machine import usable_cores
from sunspring.network.config import ModelConfig
from sunspring.network.model_folder import ModelFiles
from sunspring.network.native import Engine, choose_engine, load_native
from sunspring.pages.notebook import Surprisals, table_html, token_names
from sunspring.runs.corpus import RunText
from sunspring.storage import write_json
from sunspring.text.files import Notice
from sunspring.writing.drafts import WritingOptions, WritingSettings, writing_settings
from sunspring.writing.stretches import KnownStretches
from sunspring.writing.writer import Proposal, Writer, Writing

if TYPE_CHECKING:
    from sunspring.evaluation.mixture import Mixture
    from sunspring.network import engine as _engine
    from sunspring.network.network import RecurrentModel
    from sunspring.writing.native_writer import NativeWriter


class LoadedModel:
    """A model that writes and scores.

    Args:
        files: what its folder holds.
        record: its run.json, by which its text is found again; None if there is none.
        device: `auto`, `cpu` or `cuda`, for what PyTorch computes.
        engine: `auto`, `native` or `torch`: what writes and scores.

    Raises:
        SettingsError: the engine cannot be had, or not on this device.
        ModelError: the weights are damaged, or of an architecture that the engine does not run.
    """

    def __init__(
        self,
        files: ModelFiles,
        record: Mapping[str, Any] | None = None,
        device: str = "cpu",
        engine: Engine = "auto",
    ) -> None:
        self._files = files
        self._text = RunText(record)
        self._device = device
        self._asked_engine = engine
        self._engine = choose_engine(engine, device)
        self._mixture: Mixture | None = None
        self._known: dict[int, KnownStretches] = {}
        self._pages: NDArray[np.int64] | None = None
        self._blend: tuple[tuple[LoadedModel, float], ...] = ()
        if self._engine == "native":
            self._native  # noqa: B018 - a damaged model is an error now
        else:
            self.network  # noqa: B018

    @property
    def config(self) -> ModelConfig:
        """The architecture."""
        return self._files.config

    @property
    def vocabulary(self) -> Vocabulary:
        """What its tokens stand for."""
        return self._files.vocabulary

    @property
    def card(self) -> Mapping[str, Any]:
        """What is known of its training."""
        return self._files.card

    @property
    def quantized(self) -> bool:
        """Whether its weights are in 8 bits, and are saved so."""
        return self._files.quantization is not None

    @property
    def engine(self) -> Literal["native", "torch"]:
        """What writes and scores."""
        return "torch" if self._mixture else self._engine

    @cached_property
    def network(self) -> RecurrentModel:
        """The network in PyTorch; what is changed in it counts for what is written and saved later.

        Raises:
            ModelError: the weights are damaged or of another model.
        """
        from sunspring.machine import choose_device
        from sunspring.training.checkpoint import build_network

        for made_of_files in ("_native", "_writer"):
            vars(self).pop(made_of_files, None)
        return build_network(self._files).to(choose_device(self._device))

    @cached_property
    def _native(self) -> _engine.Model:
        return load_native(self.files)

    @cached_property
    def _writer(self) -> Writer[Any]:
        if self.engine == "native":
            return self._native_writer()
        from sunspring.writing.torch_writer import TorchWriter

        return TorchWriter(self._mixture or self.network, self.vocabulary, self._pages)

    def _native_writer(self) -> NativeWriter:
        from sunspring.writing.native_writer import NativeWriter

        blend = [(other._native_writer(), share) for other, share in self._blend]
        return NativeWriter(
            self._native, self.config, self.vocabulary, self._pages, usable_cores(), blend
        )

    def blended(self, other: LoadedModel, share: float) -> Self:
        """Blend another model's predictions into this one's when it writes.

        What the other knows of characters that this one lacks does not count, and it does not see
        those that it lacks itself.

        Args:
            other: it reads the same kind of tokens.
            share: of the other's probabilities, above 0; shares of several are at most 1 in all.

        Raises:
            SettingsError: a share is impossible, the kinds of tokens differ, or either model is not
                written by the native engine.
        """
        if "torch" in (self.engine, other.engine):
            raise SettingsError("models are blended by the native engine: see sunspring doctor")
        model = copy.copy(self)
        vars(model).pop("_writer", None)
        model._blend = (*self._blend, (other, share))
        model._writer  # noqa: B018 - impossible settings are an error now
        return model

    @property
    def files(self) -> ModelFiles:
        """What its folder would hold now, with what was changed in the network."""
        if "network" not in vars(self):
            return self._files
        from sunspring.training.checkpoint import pack_model

        return pack_model(self.network, self.vocabulary, self.card, self.quantized)

    @property
    def summary(self) -> str:
        """What it is, in a few words."""
        config = self.config
        parameters = f"{config.parameters:,} parameters{' in 8 bits' * self.quantized}"
        return (
            f"sunspring.Model: {config.layers} × {config.hidden_size} {config.cell}, "
            f"{parameters}, {config.vocabulary_size} tokens"
        )

    def __repr__(self) -> str:
        return f"<{self.summary}>"

    def _repr_html_(self) -> str:
        config, trained = self.config, self.card
        figures = {
            "network": f"{config.layers} × {config.hidden_size} {config.cell}",
            "parameters": f"{config.parameters:,}{' in 8 bits' * self.quantized}",
            "tokens": f"{config.vocabulary_size:,} {self.vocabulary.kind}",
            "engine": self.engine,
        }
        if config.labels:
            figures["labels"] = ", ".join(config.labels)
        if heldout := trained.get("heldout"):
            figures["held-out text"] = f"{heldout['bpc']:.3f} bits per character"
            figures["trained"] = f"{trained['budget']}, {trained['epochs']:.1f} readings"
        return table_html("sunspring.Model", figures)

    def write(self, prompt: str = "", length: int = 500, **settings: Unpack[WritingOptions]) -> str:
        """Write one text; it begins with the prompt.

        Args:
            prompt: what to go on from; characters that the model lacks are mapped or left out.
            length: the most characters after the prompt.
            settings: see `writing_settings`.

        Raises:
            SettingsError: a setting is impossible, or a label is missing.
        """
        return self.write_many(1, prompt, length, **settings)[0].text

    def write_many(
        self,
        count: int,
        prompt: str = "",
        length: int = 500,
        *,
        unique: bool = False,
        novel: bool = False,
        **settings: Unpack[WritingOptions],
    ) -> list[Writing]:
        """Write several texts, each with a seed of its own.

        Args:
            count: how many.
            prompt: what each goes on from.
            length: the most characters after the prompt.
            unique: no text twice.
            novel: no text that is a line of the text that the model was trained or judged on.
            settings: see `writing_settings`.

        Raises:
            SunspringError: the model does not give so many.
        """
        wanted = writing_settings(length=length, **settings)
        if not unique and not novel:
            return self._writer.write(prompt, wanted, count, self._known_to(wanted))
        excluded = self.known_lines() if novel else frozenset()
        return list(
            self._writer.write_distinct(
                prompt,
                wanted,
                count,
                unique=unique,
                excluded=excluded,
                known=self._known_to(wanted),
            )
        )

    def stream(
        self, prompt: str = "", length: int = 500, **settings: Unpack[WritingOptions]
    ) -> Iterator[str]:
        """Write one text, piece by piece; the first piece is the prompt.

        Args:
            prompt: what to go on from.
            length: the most characters after the prompt.
            settings: see `writing_settings`.
        """
        wanted = writing_settings(length=length, **settings)
        return self._writer.stream(prompt, wanted, self._known_to(wanted))

    def propose(
        self, text: str, count: int = 5, **settings: Unpack[WritingOptions]
    ) -> list[Proposal]:
        """Propose pieces that may follow a text, with their probabilities."""
        return self._writer.proposals(text, writing_settings(**settings), count)

    def adapt(self, prompt: str) -> tuple[str, dict[str, str]]:
        """Give a prompt as the model reads it, and what became of characters it lacks."""
        return adapt_text(prompt, self.vocabulary)

    def score(self, text: str, label: str | None = None) -> Surprisals:
        """Bits that each token of a text costs the model: its surprisal, (tokens,).

        Args:
            text: read from a fresh state.
            label: of the text, for a model that has labels.
        """
        tokens, counts = self.vocabulary.encode_batch([text])
        (bits,) = self.score_tokens(tokens, counts, label)
        return Surprisals(bits, lambda: token_names(self.vocabulary, tokens))

    def score_many(
        self, texts: Sequence[str], label: str | None = None
    ) -> list[NDArray[np.float64]]:
        """Score many texts, each from a fresh state, at once; see `score`."""
        return self.score_tokens(*self.vocabulary.encode_batch(texts), label)

    def score_tokens(
        self, ids: NDArray[np.int32], counts: NDArray[np.int64], label: str | None = None
    ) -> list[NDArray[np.float64]]:
        """Score many texts that are encoded already.

        Args:
            ids: (tokens,) of the texts, one after another.
            counts: (texts,) tokens of each.
            label: see `score`.
        """
        index, ends = self.config.label_index(label), np.cumsum(counts)[:-1]
        if not len(counts):
            return []
        if self.engine == "native":
            labels = np.full(len(counts), index or 0)
            nats = self._native.score(ids.astype(np.int64), counts, labels, usable_cores())
            return np.split(nats / np.log(2), ends)
        from sunspring.evaluation.protocols import surprisals

        predictor, start_id = self._mixture or self.network, self.vocabulary.start_id
        return [surprisals(predictor, text, start_id, index) for text in np.split(ids, ends)]

    def reader(self, label: str | None = None) -> _engine.Reader:
        """Give what reads a text token by token, in the native engine.

        Raises:
            SettingsError: it is not what scores here, or the label is unknown or missing.
        """
        index = self.config.label_index(label)
        if self.engine != "native":
            raise SettingsError("only the native engine can look inside: see sunspring doctor")
        from sunspring.network import engine as _engine

        return _engine.Reader(self._native, index or 0)

    def encode(self, texts: Sequence[str], label: str | None = None) -> NDArray[np.float32]:
        """Give texts as vectors: what the layers put out after the last character.

        Texts that the model would go on from alike have vectors that are close.

        Args:
            texts: each is read from a fresh state.
            label: of the texts, for a model that has labels.

        Returns:
            (texts, layers * hidden_size), from -1 to 1.
        """
        ids, counts = self.vocabulary.encode_batch(texts)
        index, size = self.config.label_index(label), self.config.layers * self.config.hidden_size
        if self.engine == "native":
            labels = np.full(len(texts), index or 0)
            flat = self._native.encode(ids.astype(np.int64), counts, labels, usable_cores())
            return flat.reshape(len(texts), size)
        from sunspring.evaluation.protocols import final_outputs

        start_id, ends = self.vocabulary.start_id, np.cumsum(counts)[:-1]
        parts = np.split(ids, ends) if texts else []
        vectors = [final_outputs(self.network, part, start_id, index) for part in parts]
        return np.array(vectors, np.float32).reshape(len(texts), size)

    def save(self, folder: str | Path) -> None:
        """Write a model folder: config.json, tokenizer.json, model.safetensors and card.json.

        Where the training text can be found again is written beside them, in run.json; without
        that file the folder says nothing of this machine.
        """
        path = Path(folder)
        self.files.write(path)
        if self._text.record is not None:
            write_json(path / "run.json", self._text.record)

    def known_lines(self) -> frozenset[str]:
        """All lines of the text that the user gave, the held-out ones too, without blanks around.

        Raises:
            ModelError: the text is not at hand.
        """
        return frozenset(line.strip() for line in self._text.open().lines())

    def known_stretches(self, size: int) -> KnownStretches:
        """Give the stretches of so many characters that stand in the training text.

        They are kept, in 8 bytes for each character of it.

        Args:
            size: characters of a stretch, at least 2.

        Raises:
            SunspringError: the text is not at hand.
        """
        if size not in self._known:
            self._known[size] = KnownStretches(size, training_bytes(self._text.open()))
        return self._known[size]

    def _known_to(self, settings: WritingSettings) -> KnownStretches | None:
        """Give what may not be written."""
        if settings.longest_copy is None:
            return None
        return self.known_stretches(settings.longest_copy + 1)

    def open_text(self, say: Notice | None = None) -> Corpus:
        """Open the text that the model was trained and judged on; `say` is told what was mended.

        Raises:
            SunspringError: it is not at hand.
        """
        return self._text.open(say)

    @property
    def documents(self) -> Literal["none", "lines", "files"]:
        """What was a document in training; `none` where that is not known."""
        return self._text.documents
