"""An LSTM in 8 bits in numpy, by docs/reference/engine.md and model-format.md alone."""

import json

import numpy as np
from safetensors.numpy import load

from sunspring.network.model_folder import ModelFiles

Vector = np.ndarray
Rounded = tuple[Vector, float]


def rounded(values: Vector) -> Rounded:
    scale = np.abs(values).max() / 127
    return np.rint(values / scale) if scale else np.zeros_like(values), scale


def sigmoid(x: Vector) -> Vector:
    return 1 / (1 + np.exp(-x))


class NumpyModel:
    """With skip connections, attention and a pointer; its state is that of one text."""

    def __init__(self, files: ModelFiles) -> None:
        self.tensors = load(files.weights)
        self.config = json.loads(files.config.to_json())
        self.embeddings = self.whole("embedding.weight")
        layers, size = range(self.config["layers"]), self.config["hidden_size"]
        self.outputs = [np.zeros(size) for _ in layers]
        self.cells = [np.zeros(size) for _ in layers]
        self.keys: list[Rounded] = []
        self.followers: list[int] = []
        self.weighted: Vector | float = 0.0
        self.weights = 0.0

    def whole(self, name: str) -> Vector:
        return self.tensors[name] * self.tensors[f"{name}.scale"][:, None].astype(np.float64)

    def product(self, name: str, parts: list[Vector | Rounded]) -> Vector:
        """Of a matrix and a vector in parts: those that were rounded, and those that were not."""
        result, first = np.zeros(len(self.tensors[name])), 0
        for part in parts:
            values, scale = part if isinstance(part, tuple) else (part, 1.0)
            matrix = self.tensors[name][:, first : first + len(values)].astype(np.float64)
            result += matrix @ values * self.tensors[f"{name}.scale"] * scale
            first += len(values)
        return result

    def unit_rounded(self, layer: int) -> Rounded:
        return np.rint(127 * self.outputs[layer]), 1 / 127

    def run_layer(self, layer: int, embedding: Vector) -> None:
        below = [self.unit_rounded(layer - 1)] if layer else []
        gates = self.product(f"layers.{layer}.weight_ih_l0", [*below, embedding])
        gates += self.product(f"layers.{layer}.weight_hh_l0", [self.unit_rounded(layer)])
        take, keep, new, show = np.split(gates + self.tensors[f"layers.{layer}.bias"], 4)
        self.cells[layer] = sigmoid(keep) * self.cells[layer] + sigmoid(take) * np.tanh(new)
        self.outputs[layer] = sigmoid(show) * np.tanh(self.cells[layer])

    def read(self, token: int) -> Vector:
        """Give the logits of the token after this one."""
        embedding = self.embeddings[token]
        for layer in range(len(self.outputs)):
            self.run_layer(layer, embedding)
        layer_features = np.concatenate((*self.outputs, embedding))
        weight = np.exp(self.tensors["attention.score.weight"][0] @ layer_features)
        self.weighted, self.weights = self.weighted + weight * layer_features, self.weights + weight
        average = self.weighted / self.weights
        ends = np.cumsum([len(part) for part in (*self.outputs, embedding)])[:-1]
        features: list[Vector | Rounded] = [
            *map(self.unit_rounded, range(len(self.outputs))),
            embedding,
            *map(rounded, np.split(average, ends)),
        ]
        logits = self.product("head.weight", features) + self.tensors["head.bias"]
        exact = np.concatenate((layer_features, average))
        return self.point(token, np.exp(logits - logits.max()), features, exact)

    def point(
        self, token: int, weights: Vector, features: list[Vector | Rounded], exact: Vector
    ) -> Vector:
        reach, size = self.config["pointer"], self.config["pointer_size"]
        if self.keys:
            self.followers.append(token)
        query, query_scale = rounded(self.product("pointer.query.weight", features))
        sharpness = np.exp(self.tensors["pointer.sharpness"][0]) / np.sqrt(size)
        latest = list(zip(self.keys, self.followers, strict=True))[-reach:]
        scores = [sharpness * query_scale * scale * (query @ key) for (key, scale), _ in latest]
        scores += [0.0] * (reach - len(latest)) + [self.tensors["pointer.sentinel"][0]]
        attention = np.exp(scores) / np.exp(scores).sum()
        copied = np.zeros(len(weights))
        for (_, follower), mass in zip(latest, attention, strict=False):
            copied[follower] += mass
        share = sigmoid(
            self.tensors["pointer.share.weight"][0] @ exact + self.tensors["pointer.share.bias"][0]
        )
        self.keys.append(rounded(self.product("pointer.key.weight", features)))
        rest = 1 - share * copied.sum()
        return np.log(share * copied + rest * weights / weights.sum())


def write(files: ModelFiles, prompt: str, length: int, seed: int, temperature: float) -> str:
    """Write with a vocabulary of characters that has neither an end nor an unknown token."""
    model, vocabulary = NumpyModel(files), files.vocabulary
    uniforms = np.random.Generator(np.random.Philox(key=seed)).random(length)
    for token in (vocabulary.start_id, *vocabulary.encode(prompt).tolist()):
        logits = model.read(token)
    text = prompt
    for uniform in uniforms:
        weights = np.exp((logits - logits.max()) / temperature).cumsum()
        token = int((weights <= uniform * weights[-1]).sum())
        text += vocabulary.tokens[token]
        logits = model.read(token)
    return text
