import ast
import inspect

from sunspring.text.embedded import embedded_text


class TestEmbeddedText:
    def test_is_over_a_million_characters_and_always_the_same(self) -> None:
        text = embedded_text()
        assert len(text) > 1_000_000
        assert text == embedded_text()
        assert "\0" not in text

    def test_has_topics_and_docstrings(self) -> None:
        text = embedded_text()
        assert "Assert statements are a convenient way to insert debugging assertions\n" in text
        first, *_ = str(inspect.getdoc(ast.literal_eval)).split("\n\n")
        assert f"\n\n{first}\n\n" in text

    def test_has_no_paragraph_twice(self) -> None:
        paragraphs = embedded_text().removesuffix("\n").split("\n\n")
        assert len({*paragraphs}) == len(paragraphs)

    def test_reads_like_prose_without_code_or_indentation(self) -> None:
        text = embedded_text()
        assert ">>>" not in text
        assert "::" not in text
        for paragraph in text.removesuffix("\n").split("\n\n"):
            assert len(paragraph.split()) >= 8, paragraph
            assert not any(line[0].isspace() for line in paragraph.split("\n")), paragraph
