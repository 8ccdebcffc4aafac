"""Word and PDF files made for the tests, byte for byte by the formats' own rules."""

from __future__ import annotations

import io
from collections.abc import Sequence

import docx
from pypdf import PdfWriter
from pypdf.generic import ArrayObject, DecodedStreamObject, DictionaryObject, NameObject, NumberObject

Piece = tuple[float, float, float, str]
"""x, y and size in points, text."""


def word_file() -> bytes:
    """A heading, a sentence, a numbered list, and a table with a merged cell."""
    document = docx.Document()
    document.add_heading("Parking Rules", level=1)
    document.add_paragraph("Effective date: 1 March 2026")
    document.add_heading("Prices", level=2)
    document.add_paragraph("Guests park free in the first hour.")
    document.add_paragraph("A lost ticket costs 30 euros.", style="List Number")
    document.add_paragraph("Bicycles are free.", style="List Number")
    table = document.add_table(rows=3, cols=3)
    for row, cells in enumerate(
        (("Zone", "Hour", "Day"), ("North", "2 euros", "12 euros"), ("South", "3 euros", "18 euros"))
    ):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def pdf_file(pages: Sequence[Sequence[Piece]], password: str = "") -> bytes:
    """Pages with text at places, in Helvetica."""
    writer = PdfWriter()
    for pieces in pages:
        page = writer.add_blank_page(width=595, height=842)
        content = DecodedStreamObject()
        lines = (
            f"BT /F1 {size} Tf 1 0 0 1 {x} {y} Tm ({_escaped(text)}) Tj ET" for x, y, size, text in pieces
        )
        content.set_data("\n".join(lines).encode("latin-1"))
        page[NameObject("/Contents")] = writer._add_object(content)
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): _helvetica()})}
        )
    if password:
        writer.encrypt(password)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def chinese_pdf_file(lines: Sequence[str]) -> bytes:
    """One page in a font every reader has for Chinese, with its standard coding."""
    writer = PdfWriter()
    page = writer.add_blank_page(width=595, height=842)
    content = DecodedStreamObject()
    shown = (
        f"BT /F1 11 Tf 1 0 0 1 60 {760 - 24 * at} Tm <{line.encode('utf-16-be').hex()}> Tj ET"
        for at, line in enumerate(lines)
    )
    content.set_data("\n".join(shown).encode("ascii"))
    page[NameObject("/Contents")] = writer._add_object(content)
    page[NameObject("/Resources")] = DictionaryObject(
        {NameObject("/Font"): DictionaryObject({NameObject("/F1"): _song()})}
    )
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def _helvetica() -> DictionaryObject:
    names = {"Type": "Font", "Subtype": "Type1", "BaseFont": "Helvetica", "Encoding": "WinAnsiEncoding"}
    return _names(names)


def _song() -> DictionaryObject:
    below = _names({"Type": "Font", "Subtype": "CIDFontType0", "BaseFont": "STSong-Light"})
    below[NameObject("/CIDSystemInfo")] = DictionaryObject({NameObject("/Supplement"): NumberObject(2)})
    font = _names(
        {"Type": "Font", "Subtype": "Type0", "BaseFont": "STSong-Light", "Encoding": "UniGB-UCS2-H"}
    )
    font[NameObject("/DescendantFonts")] = ArrayObject([below])
    return font


def _names(names: dict[str, str]) -> DictionaryObject:
    return DictionaryObject({NameObject(f"/{key}"): NameObject(f"/{value}") for key, value in names.items()})


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
