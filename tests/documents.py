"""Documents made for tests: small PDFs, and one that takes long to read."""

from __future__ import annotations

import zlib


def pdf(*lines: str) -> bytes:
    """A small PDF, one page per line of text."""
    kids = " ".join(f"{4 + 2 * at} 0 R" for at in range(len(lines)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(lines)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for at, line in enumerate(lines):
        drawn = f"BT /F1 12 Tf 72 720 Td ({line}) Tj ET"
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >>"
            f" /Contents {5 + 2 * at} 0 R >>"
        )
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
    out, places = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{text}\nendobj\n".encode()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    head = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    tail = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    return out + (head + tail).encode()


def slow_pdf() -> bytes:
    """A small PDF of one page, whose content is packed and takes minutes to read."""
    content = zlib.compress(b"BT (word) Tj ET\n" * 2_000_000, 9)
    plain = pdf("x")
    at, end = plain.index(b"5 0 obj"), plain.index(b"xref\n")
    head = b"<< /Filter /FlateDecode /Length %d >>\nstream\n" % len(content)
    return plain[:at] + b"5 0 obj\n" + head + content + b"\nendstream\nendobj\n" + plain[end:]
