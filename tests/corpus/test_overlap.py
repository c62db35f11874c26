import pytest
from corpora import FILES, LINES, PLAIN, build, every_token
from files import write
from hypothesis import given
from hypothesis import strategies as st

from sunspring.corpus.overlap import describe_overlap, measure_overlap
from sunspring.text.options import ReadingOptions

lines = st.lists(st.text("ab", max_size=4), max_size=30)


def in_blocks(text: str, size: int) -> list[str]:
    return [text[begin : begin + size] for begin in range(0, len(text), size)]


@given(heldout=lines, rest=lines, size=st.integers(1, 20))
def test_is_the_share_of_characters_in_lines_of_both(
    heldout: list[str], rest: list[str], size: int
) -> None:
    found = measure_overlap(in_blocks("\n".join(heldout), size), in_blocks("\n".join(rest), size))
    both = sum(len(line) for line in heldout if line in rest)
    assert found == pytest.approx(both / max(1, sum(map(len, heldout))))


@pytest.mark.parametrize("size", [1000, 65_536, 1 << 20])
def test_of_one_long_line_with_itself_is_all_of_it(size: int) -> None:
    line = "".join(map(str, range(60_000)))
    assert measure_overlap([line], in_blocks(line, size)) == 1
    assert measure_overlap([line], in_blocks(f"\n{line}\nmore", size)) == 1
    assert measure_overlap([line], in_blocks(f"x{line}", size)) == 0


class TestOfACorpus:
    @every_token
    @pytest.mark.parametrize("reading", [PLAIN, LINES, FILES], ids=["none", "lines", "files"])
    def test_whose_held_out_text_is_its_training_text_is_whole(
        self, reading: ReadingOptions, tokens: str
    ) -> None:
        name = write("a", "".join(f"line {number}, which is é\n" for number in range(300)))
        assert build(name, reading, heldout=[name], tokens=tokens).overlap == 1

    def test_of_names_that_come_again_and_again_is_whole(self) -> None:
        name = write("a", "\n".join(["Alda", "Brisk", "Corin", "Delve"] * 100))
        assert build(name, LINES).overlap == 1

    @pytest.mark.parametrize("reading", [PLAIN, LINES], ids=["none", "lines"])
    def test_of_new_lines_is_nothing(self, reading: ReadingOptions) -> None:
        name = write("a", "\n".join(f"line {number}" for number in range(300)))
        assert build(name, reading).overlap == 0

    def test_counts_the_files_that_were_copied(self) -> None:
        texts = [f"file {number}\n" + f"a line of it, {number}\n" * 9 for number in range(50)]
        names = [
            write(f"f/{number}/{copy}", text) for number, text in enumerate(texts) for copy in "ab"
        ]
        overlap = build(names, FILES).overlap
        assert overlap is not None
        assert overlap > 0.6


@pytest.mark.parametrize(
    ("overlap", "told"),
    [(None, None), (0.0, None), (0.009, None), (0.048, "5%"), (0.5, "50%"), (1.0, "all")],
)
def test_is_told_where_it_matters(overlap: float | None, told: str | None) -> None:
    line = describe_overlap(overlap)
    assert (line is None) == (told is None)
    if line is not None and told is not None:
        assert line.startswith(f"{told} of it is in ")
        assert ("does not tell" in line) == (told != "5%")
