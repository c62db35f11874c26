from typing import Any

import torch
from listeners import LETTERS, make_trainer

from sunspring.runs.samples import SampleWriter


class TestSamples:
    def samples(self, **settings: Any) -> list[tuple[int, float, str]]:
        found: list[tuple[int, float, str]] = []
        listener = lambda *sample: found.append(sample)  # noqa: E731
        label = settings.get("labels", (None,))[0]
        writer = SampleWriter(
            settings.get("vocabulary", LETTERS), label, [listener], settings.pop("samples", 6)
        )
        make_trainer([writer], **settings).run()
        return found

    def test_come_now_and_then_at_three_temperatures(self) -> None:
        samples = self.samples()
        assert 5 <= len({step for step, _, _ in samples}) <= 7
        assert [temperature for _, temperature, _ in samples] == [0.5, 0.8, 1.0] * (
            len(samples) // 3
        )
        assert {len(text) for _, _, text in samples} == {160}
        assert len({text for _, _, text in samples}) == len(samples)

    def test_are_the_same_in_every_run(self) -> None:
        assert self.samples() == self.samples()

    def test_there_are_none_where_none_are_asked_for(self) -> None:
        assert self.samples(samples=0) == []

    def test_are_written_under_a_label_where_the_model_has_labels(self) -> None:
        assert self.samples(labels=("horror",))

    def test_are_written_though_nothing_is_evaluated(self) -> None:
        assert self.samples(has_quick_sets=False)

    def test_leave_what_is_learned_and_all_that_is_random_as_they_are(self) -> None:
        results = []
        for callbacks in ([], [SampleWriter(LETTERS, None, [lambda *_: None], 6)]):
            trainer = make_trainer(callbacks)
            trainer.run()
            results.append((trainer.model.state_dict(), torch.get_rng_state()))
        (plain, plain_random), (sampled, sampled_random) = results
        assert torch.equal(plain_random, sampled_random)
        for name, tensor in plain.items():
            assert torch.equal(tensor, sampled[name])
