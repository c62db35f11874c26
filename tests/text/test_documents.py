import gzip
import os
import random
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import pytest
from documents import (
    write_docx,
    write_epub,
    write_odt,
    write_pdf,
    write_typeset_pdf,
    write_word,
    zip_of,
)
from files import small_files, write
from hypothesis import given
from hypothesis import strategies as st

from sunspring.errors import MissingExtraError, SourceError
from sunspring.text import formats
from sunspring.text.files import find_sources
from sunspring.text.formats import CONVERSATIONS, DOCUMENTS
from sunspring.text.options import ReadAs, ReadingOptions
from sunspring.text.paragraphs import resolved
from sunspring.text.sources import read_passages

pytestmark = pytest.mark.usefixtures("in_a_folder")


@pytest.fixture
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(name: str, notices: list[str] | None = None, **options: Any) -> str:
    sources = find_sources([name], ReadingOptions(**options))
    notify = (notices if notices is not None else []).append
    return "".join(passage.text for passage in read_passages(sources, notify=notify))


def error_of(name: str, **options: Any) -> str:
    with pytest.raises(SourceError) as caught:
        read(name, **options)
    message = str(caught.value)
    assert message.startswith(name)
    assert "\n" not in message
    return message


def test_what_files_may_be_read_as_is_what_can_be_read() -> None:
    assert {*get_args(ReadAs)} == {"auto", "text", *DOCUMENTS, *CONVERSATIONS}


class TestWordProcessors:
    def test_a_docx_is_its_paragraphs_rows_and_footnotes(self) -> None:
        assert read(write_docx("a.docx")).splitlines() == [
            "Controlled",
            "The Lighthouse",
            "It was a dark night.",
            "a list item",
            "a\tb",
            "c\td",
            "Two",
            "lines, finally.",
            "A note.",
        ]

    def test_an_odt_is_its_paragraphs_rows_and_footnotes(self) -> None:
        assert read(write_odt("a.odt")).splitlines() == [
            "The Lighthouse",
            "It was a dark night.",
            "a list item",
            "a\tb",
            "c\td",
            "Two spaces, finally.",
            "A note.",
        ]

    @pytest.mark.parametrize(
        ("vanish", "text"),
        [
            ("<w:vanish/>", "A night."),
            ('<w:vanish w:val="true"/>', "A night."),
            ('<w:vanish w:val="0"/>', "A dark- night."),
            ("<w:b/>", "A dark- night."),
        ],
    )
    def test_hidden_text_of_a_docx_is_left_out(self, vanish: str, text: str) -> None:
        body = (
            f"<w:p><w:pPr><w:rPr><w:vanish/></w:rPr></w:pPr><w:r><w:t>A</w:t></w:r><w:r><w:rPr>"
            f"{vanish}</w:rPr><w:tab/><w:t>dark</w:t><w:noBreakHyphen/></w:r><w:r>"
            '<w:t xml:space="preserve"> night.</w:t></w:r></w:p>'
        )
        assert read(write_word("a.docx", body)) == text + "\n"

    @pytest.mark.parametrize(
        "contents",
        [
            '<w:sdt><w:sdtPr><w:docPartObj><w:docPartGallery w:val="Table of Contents"/>'
            "</w:docPartObj></w:sdtPr><w:sdtContent><w:p><w:r><w:t>Contents</w:t></w:r></w:p>"
            "</w:sdtContent></w:sdt>",
            *(
                f'<w:p><w:pPr><w:pStyle w:val="TOC{level}"/></w:pPr><w:r><w:t>I</w:t><w:tab/>'
                "<w:t>5</w:t></w:r></w:p>"
                for level in (1, 9)
            ),
            '<w:p><w:r><w:fldChar w:fldCharType="begin"/><w:instrText> TO</w:instrText>'
            '<w:instrText>C \\o "1-3" </w:instrText><w:fldChar w:fldCharType="separate"/></w:r>'
            '<w:r><w:t>I</w:t><w:fldChar w:fldCharType="begin"/><w:instrText> PAGEREF a '
            '</w:instrText><w:fldChar w:fldCharType="separate"/><w:t>5</w:t><w:fldChar '
            'w:fldCharType="end"/></w:r></w:p><w:p><w:r><w:t>II</w:t><w:fldChar '
            'w:fldCharType="end"/></w:r></w:p>',
            '<w:p><w:fldSimple w:instr=" TOC "><w:r><w:t>I</w:t></w:r></w:fldSimple></w:p>',
        ],
    )
    def test_a_table_of_contents_that_word_made_is_left_out(self, contents: str) -> None:
        kept = (
            '<w:p><w:pPr><w:pStyle w:val="TOCHeading"/></w:pPr><w:r><w:t>Page </w:t><w:fldChar '
            'w:fldCharType="begin"/><w:instrText> PAGE </w:instrText><w:fldChar '
            'w:fldCharType="separate"/><w:t>7</w:t><w:fldChar w:fldCharType="end"/></w:r></w:p>'
        )
        assert read(write_word("a.docx", f"{kept}{contents}{kept}")) == "Page 7\n" * 2

    def test_each_paragraph_can_be_a_document(self) -> None:
        sources = find_sources([write_docx("a.docx")], ReadingOptions(documents="lines"))
        assert sum(passage.ends_document for passage in read_passages(sources)) == 9

    def test_a_docx_in_a_folder_is_no_binary_file(self) -> None:
        Path("f").mkdir()
        write_docx("f/a.docx")
        assert "dark night" in read("f")

    def test_a_docx_may_be_packed(self) -> None:
        content = gzip.compress(Path(write_docx("a.docx")).read_bytes())
        assert "dark night" in read(write("b.docx.gz", content))

    @pytest.mark.parametrize("ending", ["docx", "odt", "epub"])
    @pytest.mark.parametrize(
        "content",
        [
            b"no zip file",
            b"",
            zip_of({"other.txt": "text"}),
            zip_of({"word/document.xml": "<a>", "content.xml": "<a>"}),
            zip_of({"META-INF/container.xml": "<a/>", "content.xml": "&b;"}),
            zip_of({"a": "b"})[:-6] + b"\xff" * 6,  # the place of the list of parts
        ],
    )
    def test_damage_is_one_line(self, ending: str, content: bytes) -> None:
        assert f"is a damaged or truncated {ending} file" in error_of(write(f"a.{ending}", content))

    @given(at=st.integers(0, 1 << 16), mask=st.integers(1, 255), data=st.sampled_from("do"))
    def test_any_damage_is_one_line_or_harmless(self, at: int, mask: int, data: str) -> None:
        maker = {"d": write_docx, "o": write_odt}[data]
        name = {"d": "a.docx", "o": "a.odt"}[data]
        content = bytearray(_made(maker, name))
        content[at % len(content)] ^= mask
        try:
            read(write(name, bytes(content)))
        except SourceError as error:
            assert str(error).startswith(name)

    def test_a_password_is_named(self) -> None:
        content = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
        assert "has a password or is an old Word document" in error_of(write("a.docx", content))
        manifest = {"META-INF/manifest.xml": "<m><encryption-data/></m>", "content.xml": "\x01"}
        assert "is encrypted" in error_of(write("a.odt", zip_of(manifest)))

    def test_a_bomb_does_not_go_off(self) -> None:
        content = zip_of({"word/document.xml": b"<p>" + b" " * (1 << 28) + b"</p>"})
        assert len(content) < 1 << 19
        assert "unpacks to more than 200 times its size" in error_of(write("a.docx", content))

    def test_a_full_disk_is_no_damage(self) -> None:
        picture = os.urandom(17 << 20)
        name = write("a.docx", zip_of({"word/document.xml": "<p>text</p>", "picture": picture}))
        with small_files():
            assert "a.docx cannot be stored in " in error_of(name)

    def test_entities_that_grow_are_refused(self) -> None:
        laughs = '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;">]><p>&c;</p>'
        content = zip_of({"word/document.xml": laughs})
        assert "it declares entities" in error_of(write("a.docx", content))


def _made(maker: Any, name: str, made: dict[str, bytes] = {}) -> bytes:  # noqa: B006
    if name not in made:
        made[name] = Path(maker(name)).read_bytes()
    return made[name]


class TestBooks:
    def test_are_read_chapter_after_chapter(self) -> None:
        name = write_epub(
            "a.epub",
            [
                '<?xml version="1.0" encoding="utf-8"?><html><head><title/><script src="a.js"/>'
                "</head><body><h1>One</h1><p>na&iuml;ve&nbsp;text</p></body></html>",
                "<html><body><h1>Two</h1><p>The end.</p></body></html>",
            ],
        )
        assert read(name).splitlines() == ["One", "naïve\u00a0text", "Two", "The end."]

    def test_have_their_notes_without_the_numbers(self) -> None:
        chapter = (
            '<p>A dark<a epub:type="noteref" href="#n">1</a> night<a role="doc-noteref">2</a>.</p>'
            '<aside epub:type="footnote" id="n"><p>A note.</p></aside>'
        )
        name = write_epub("a.epub", [f"<html><body>{chapter}</body></html>"])
        assert read(name).splitlines() == ["A dark night.", "A note."]

    def test_that_are_protected_say_so(self) -> None:
        encryption = (
            '<e><CipherReference URI="fonts/a.otf"/>'
            '<CipherReference URI="OEBPS/text/chapter%200.xhtml"/></e>'
        )
        name = write_epub("a.epub", ["text"], {"META-INF/encryption.xml": encryption})
        assert "is encrypted" in error_of(name)

    def test_that_are_not_decodable_name_the_chapter(self) -> None:
        name = write_epub("a.epub", ["<p>text</p>".encode("utf-16"), b"<p>na\xefve</p>"])
        assert "chapter 1.xhtml, which is not valid utf-8" in error_of(name)


class TestPages:
    def test_are_the_text_that_a_reader_sees(self) -> None:
        page = """<!doctype html><html><head><title>T</title><style>p{}</style>
        <script>if (a < b) document.write("<p>no</p>")</script></head><body>
        <nav><ul><li>Home</ul></nav><h1>The light&shy;house</h1><p>One &amp;
        two<br>three <b>bo</b>ld<p>Unclosed<ul><li>item<ul><li>sub</ul></ul>
        <table><tr><th>a</th><th><p>b</p></th></tr><tr><td>c<td>d</table><!-- no -->
        <pre>  kept
        so</pre><p hidden>no</p><noscript>no</noscript><ruby>漢<rt>kan</ruby>字</body></html>"""
        assert read(write("a.html", page)).splitlines() == [
            "The lighthouse",
            "One & two",
            "three bold",
            "Unclosed",
            "item",
            "sub",
            "a\tb",
            "c\td",
            "  kept",
            "        so",
            "漢字",
        ]

    @pytest.mark.parametrize("declared", ["charset=latin-1", 'charset="latin-1"'])
    def test_declare_their_encoding(self, declared: str) -> None:
        page = f"<html><head><meta {declared}></head><p>naïve</p>".encode("latin-1")
        assert read(write("a.htm", page)) == "naïve\n"
        assert read(write("b.html", "<meta charset=latin-1>naïve".encode()), encoding="utf-8")

    @given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60))
    def test_of_any_text_give_that_text_back(self, text: str) -> None:
        escaped = text.replace("&", "&amp;").replace("<", "&lt;")
        found = read(write("a.html", f"<p>before</p><p>{escaped}</p>"))
        assert found.removeprefix("before\n").split() == resolved(text).split()

    @pytest.mark.parametrize("broken", ["<!--", "<![", "<a ", '<a x="', "</a", "<script></x", "<"])
    def test_that_are_broken_are_read_up_to_there_in_no_time(self, broken: str) -> None:
        assert read(write("a.html", "<p>text" + broken * (1 << 18))).startswith("text")

    @pytest.mark.parametrize("name", ["a.html", "a.md"])
    @pytest.mark.parametrize("as_bytes", [False, True])
    def test_that_are_not_decodable_name_the_byte(self, name: str, as_bytes: bool) -> None:
        write(name, b"text \xff")
        sources = find_sources([name], ReadingOptions(), as_bytes=as_bytes)
        with pytest.raises(SourceError, match=rf"^{name} is not valid utf-8 at byte 5"):
            [*read_passages(sources)]

    def test_are_the_same_where_tokens_are_bytes(self) -> None:
        name = write("a.html", "<p>naïve</p>\r\n<p>text</p>")
        sources = find_sources([name], ReadingOptions(), as_bytes=True)
        assert "".join(passage.text for passage in read_passages(sources)) == "naïve\ntext\n"

    @pytest.mark.parametrize(
        ("tag", "attributes", "is_read"),
        [
            ("div", 'style="display:none"', False),
            ("div", 'style="color: red; DISPLAY : none !important; top: 0"', False),
            ("span", 'style="visibility:hidden"', False),
            ("i", 'class="icon" aria-hidden="true"', False),
            ("div", 'style="display:block"', True),
            ("div", 'style="--display:none-of-it; visibility:visible"', True),
            ("div", "style", True),
            ("div", 'aria-hidden="true"', True),
            ("i", 'aria-hidden="false"', True),
        ],
    )
    def test_are_read_without_what_their_own_styles_hide(
        self, tag: str, attributes: str, is_read: bool
    ) -> None:
        page = f"<p>One</p><{tag} {attributes}>hidden <b>too</b><br></{tag}><p>two</p>"
        hidden = "hidden too\n" if is_read else ""
        assert read(write("a.html", page)) == f"One\n{hidden}two\n"

    def test_of_markdown_are_read_without_its_marks(self) -> None:
        page = "---\ntitle: T\n---\n# The *light*house\n\nOne\ntwo [link](a.html).\n\n- item\n"
        page += "\n| a | b |\n|---|---|\n| c | d |\n\n```\n  code\n```\n"
        name = write("a.md", page)
        expected = "The lighthouse\nOne two link.\nitem\na\tb\nc\td\n  code\n"
        assert read(name) == expected
        assert read(name, read_as="text") == page

    def test_of_markdown_are_read_without_the_marks_that_github_adds(self) -> None:
        page = """A ~~dark~~ night[^1] and `[^1]`, not [^a-z][^far].

- [ ] buy *bread*[^1]
- [x] sleep
- [ ]
- [link](a.html) [ ] here

1. [X] wake

[^1]: Note
[^2]: https://example.org of *two*
lines
[^far]: The last.
[^4]:
    Below.

        [^3]: code
[^5]: """
        assert read(write("a.md", page)).splitlines() == [
            "A dark night and [^1], not [^a-z].",
            "buy bread",
            "sleep",
            "[ ]",
            "link [ ] here",
            "wake",
            "Note",
            "https://example.org of two lines",
            "The last.",
            "Below.",
            "    [^3]: code",
        ]


class TestPdf:
    def test_is_its_lines_with_divided_words_joined_and_ligatures_resolved(self) -> None:
        lines = ["The light\u00adhouse keeper was an ex-", "traordinary man who had ﬁfty ﬂags."]
        assert read(write_pdf("a.pdf", [lines])) == (
            "The lighthouse keeper was an extraordinary man who had fifty flags.\n"
        )

    def test_is_put_together_into_paragraphs_over_lines_and_pages(self) -> None:
        draw = random.Random(1)
        words = ["the", "sea", "was", "calm", "a", "lighthouse", "stood", "above", "naïve", "waves"]
        paragraphs = [
            " ".join(draw.choices(words, k=draw.randint(5, 90))).capitalize() + "."
            for _ in range(30)
        ]
        assert read(write_typeset_pdf("a.pdf", paragraphs)).splitlines() == paragraphs

    def test_keeps_the_lines_of_verse(self) -> None:
        lines = ["The sea was calm", "and a lighthouse stood alone", "above the waves"]
        assert read(write_pdf("a.pdf", [lines])).splitlines() == lines

    def test_is_read_without_running_titles_and_page_numbers(self) -> None:
        pages = [
            [f"{each} {word}" for each in "abcdef"]
            for word in ("one", "two", "three", "four", "five")
        ]
        notices: list[str] = []
        text = read(write_pdf("a.pdf", pages, running="My Novel"), notices)
        assert text.split() == " ".join(line for page in pages for line in page).split()
        assert notices == ["a.pdf: left out 10 lines of running titles and page numbers"]

    def test_keeps_numbers_that_do_not_count_pages(self) -> None:
        pages = [
            [word * (7 * at % 5 + 1) for at in range(6)] + [number]
            for word, number in (("sea ", "3"), ("wave ", "9"))
        ]
        notices: list[str] = []
        text = read(write_pdf("a.pdf", pages), notices)
        assert text.splitlines() == [line.rstrip() for page in pages for line in page]
        assert notices == []

    def test_that_maps_its_signs_to_anything_gives_valid_text(self) -> None:
        mapping = b"begincmap 1 begincodespacerange <00> <FF> endcodespacerange 3 beginbfchar "
        mapping += b"<41> <D83DDE42> <42> <0000> <43> <D800> endbfchar endcmap"
        content = b"BT /F 12 Tf 72 700 Td (xABCy) Tj ET"
        objects = [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R"
            b"/Resources<</Font<</F 5 0 R>>>>>>",
            b"<</Length %d>>stream\n%b\nendstream" % (len(content), content),
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/ToUnicode 6 0 R>>",
            b"<</Length %d>>stream\n%b\nendstream" % (len(mapping), mapping),
        ]
        body = b"".join(b"%d 0 obj%b endobj\n" % each for each in enumerate(objects, 1))
        text = read(write("a.pdf", b"%PDF-1.4\n" + body + b"trailer<</Root 1 0 R>>"))
        assert text.encode("utf-8").startswith("x🙂".encode())
        assert text.endswith("y\n")
        assert "\0" not in text

    def test_of_pictures_says_so(self) -> None:
        assert "no text, only pictures" in error_of(write_pdf("a.pdf", [[], []]))

    def test_of_pictures_in_a_folder_is_skipped(self) -> None:
        Path("f").mkdir()
        write_pdf("f/a.pdf", [[]])
        write("f/b.txt", "text")
        notices: list[str] = []
        assert read("f", notices) == "text"
        assert notices[0].startswith("skipped: f/a.pdf has no text")

    def test_with_a_password_says_so(self) -> None:
        assert "is encrypted" in error_of(write_pdf("a.pdf", [["text"]], password="secret"))
        assert read(write_pdf("b.pdf", [["text"]], password="")) == "text\n"

    @pytest.mark.parametrize("content", [b"", b"%PDF-1.4\n%%EOF", b"no PDF", b"%PDF-1.7" * 99])
    def test_that_is_damaged_is_one_line(self, content: bytes) -> None:
        assert "is damaged, or no PDF" in error_of(write("a.pdf", content))

    def test_needs_an_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def without(name: str) -> Any:
            return None if name == "pypdfium2" else find_spec(name)

        monkeypatch.setattr(formats, "find_spec", without)
        with pytest.raises(MissingExtraError, match=r"pip install 'sunspring\[documents\]'"):
            read(write_pdf("a.pdf", [["text"]]))
