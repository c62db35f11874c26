"""Documents as other programs write them: by python-docx, odfdo and reportlab, or part by part."""

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import docx
import odfdo
import reportlab
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from files import write
from reportlab.lib.enums import TA_JUSTIFY
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate, Paragraph

LEFT = 72  # points
_VERA = Path(reportlab.__file__).parent / "fonts" / "Vera.ttf"


def zip_of(parts: Mapping[str, str | bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def write_docx(name: str) -> str:
    """Write a document with all that the text of one may consist of."""
    document = docx.Document()
    document.add_heading("The Light\u00adhouse", 1)
    changed = document.add_paragraph("It was ")
    for each in (
        '<w:ins {} w:id="1"><w:r><w:t>a dark</w:t></w:r></w:ins>',
        '<w:del {} w:id="2"><w:r><w:delText>bright</w:delText></w:r></w:del>',
        '<w:r {}><w:tab/><w:t>night.</w:t><w:footnoteReference w:id="2"/></w:r>',
    ):
        changed._p.append(parse_xml(each.format(nsdecls("w"))))
    document.add_paragraph("")
    document.add_paragraph("a list item", style="List Bullet")
    table = document.add_table(2, 2)
    for index, text in enumerate(("a", "b", "c", "d")):
        table.cell(index // 2, index % 2).text = text
    document.add_paragraph("Two\nlines, ﬁnally.")
    control = "<w:sdt {}><w:sdtContent><w:p><w:r><w:t>Controlled</w:t></w:r></w:p>"
    control += "</w:sdtContent></w:sdt>"
    document.element.body.insert(0, parse_xml(control.format(nsdecls("w"))))
    document.sections[0].header.paragraphs[0].text = "a running title"
    document.add_comment(changed.runs, text="a comment")
    document.save(name)
    notes = (
        '<w:footnotes {}><w:footnote w:type="separator" w:id="0"><w:p><w:r><w:t>-</w:t></w:r></w:p>'
        '</w:footnote><w:footnote w:id="2"><w:p><w:r><w:t xml:space="preserve"> A note.</w:t></w:r>'
        "</w:p></w:footnote></w:footnotes>"
    )
    with zipfile.ZipFile(name, "a") as archive:
        archive.writestr("word/footnotes.xml", notes.format(nsdecls("w")))
    return name


def write_word(name: str, body: str) -> str:
    """Write a document of Word whose body is given as XML."""
    document = f"<w:document {nsdecls('w')}><w:body>{body}</w:body></w:document>"
    return write(name, zip_of({"word/document.xml": document}))


def write_odt(name: str) -> str:
    """Write a text with a table of contents, headings, a note, a table, a list and a comment."""
    document = odfdo.Document("text")
    body = document.body
    body.clear()
    contents = odfdo.TOC()
    contents.set_toc_title("Contents")
    body.append(contents)
    body.append(odfdo.Header(1, "The Light\u00adhouse"))
    paragraph = odfdo.Paragraph("It was a dark night.")
    paragraph.insert_note(after="night.", note_id="n1", citation="1", body="A note.")
    paragraph.insert_annotation(after="dark", body="a comment", creator="Anna")
    body.append(paragraph)
    body.append(odfdo.List(["a list item"]))
    table = odfdo.Table("T", width=2, height=2)
    for index, text in enumerate(("a", "b", "c", "d")):
        table.set_value((index % 2, index // 2), text)
    body.append(table)
    body.append(odfdo.Paragraph("Two  spaces, ﬁnally."))
    document.save(name)
    return name


def write_epub(
    name: str, chapters: Sequence[str | bytes], more: Mapping[str, str] | None = None
) -> str:
    """Write a book with a table of contents; its files stand in another order than its chapters."""
    items = "".join(
        f'<item id="c{index}" href="text/chapter%20{index}.xhtml" '
        'media-type="application/xhtml+xml"/>'
        for index in reversed(range(len(chapters)))
    )
    order = "".join(f'<itemref idref="c{index}"/>' for index in range(len(chapters)))
    parts = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:'
        'opendocument:xmlns:container"><rootfiles><rootfile full-path="OEBPS/book.opf"/>'
        "</rootfiles></container>",
        "OEBPS/book.opf": '<package xmlns="http://www.idpf.org/2007/opf"><manifest>'
        '<item id="nav" href="nav.xhtml" properties="nav" media-type="application/xhtml+xml"/>'
        f'{items}</manifest><spine><itemref idref="nav"/>{order}</spine></package>',
        "OEBPS/nav.xhtml": "<html><body><nav>Contents</nav>Contents</body></html>",
        **{f"OEBPS/text/chapter {index}.xhtml": text for index, text in enumerate(chapters)},
    }
    return write(name, zip_of({**parts, **(more or {})}))


def write_pdf(
    name: str,
    pages: Iterable[Sequence[str]],
    *,
    password: str | None = None,
    running: str | None = None,
) -> str:
    """Write a PDF of printed lines, with a title and a page number on each page if wanted."""
    pdfmetrics.registerFont(TTFont("Vera", str(_VERA)))
    encryption = None if password is None else StandardEncryption(password, ownerPassword="owner")
    canvas = Canvas(name, encrypt=encryption)
    for number, lines in enumerate(pages, 1):
        canvas.setFont("Vera", 11)
        if running:
            canvas.drawString(LEFT, 800, running)
            canvas.drawString(290, 40, f"- {number} -")
        for index, line in enumerate(lines):
            canvas.drawString(LEFT, 760 - 14 * index, line)
        canvas.showPage()
    canvas.save()
    return name


def write_typeset_pdf(name: str, paragraphs: Sequence[str]) -> str:
    """Write a PDF of justified, indented paragraphs, which run over lines and pages."""
    pdfmetrics.registerFont(TTFont("Vera", str(_VERA)))
    style = ParagraphStyle(
        "body", fontName="Vera", fontSize=11, leading=14, firstLineIndent=14, alignment=TA_JUSTIFY
    )
    document = BaseDocTemplate(name, pagesize=(300, 400))
    document.addPageTemplates(PageTemplate(frames=[Frame(30, 40, 240, 320)]))
    document.build([Paragraph(each, style) for each in paragraphs])
    return name
