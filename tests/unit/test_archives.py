"""Headers of tar archives: read as Python's tarfile reads them, and never past what is damaged."""

from __future__ import annotations

import io
import tarfile

import pytest

from pipeline.collect.archives import read_tar

NAMES = [
    "a/0.png",
    "a/" + "n" * 98,
    "b/" + "long/" * 40 + "1.png",
    "b/é ü.png",
    "a/./2.png",
    "c/" + "x" * 95 + "/3.png",
]
BLOCK = tarfile.BLOCKSIZE


def archive(names: list[str], format: int, **headers: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, pax_headers=headers) as tar:
        for size, name in enumerate(names):
            member = tarfile.TarInfo(name)
            member.size, member.mtime = 600 * size, 1e9 + 0.5 * (format == tarfile.PAX_FORMAT and size % 2)
            tar.addfile(member, io.BytesIO(bytes([size]) * member.size))
            folder = tarfile.TarInfo(f"folder{size}")
            folder.type = tarfile.DIRTYPE
            tar.addfile(folder)
    return out.getvalue()


def read(data: bytes) -> list[tuple[str, bytes]]:
    return [(item.path, item.data) for item in read_tar(io.BytesIO(data), 1 << 20)]


def as_tarfile_reads(data: bytes) -> list[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [(m.name, tar.extractfile(m).read()) for m in tar if m.isfile()]  # type: ignore[union-attr]


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_format_is_read_as_tarfile_reads_it(format: int) -> None:
    names = [name for name in NAMES if format != tarfile.USTAR_FORMAT or len(name) < 180]
    data = archive(names, format)
    assert read(data) == as_tarfile_reads(data)
    assert [path for path, _ in read(data)] == names


def test_what_a_pax_header_says_of_all_members_holds() -> None:
    data = archive(["a/0.png", "a/1.png"], tarfile.PAX_FORMAT, path="b/all.png")
    assert read(data) == as_tarfile_reads(data) and {path for path, _ in read(data)} == {"b/all.png"}


def test_numbers_of_the_old_kinds() -> None:
    """A checksum of signed bytes; a size in base 256, or that ends in a space; a file of Unix version 7."""
    data = bytearray(archive(["a/\xe9.png", "a/1.png"], tarfile.GNU_FORMAT))
    expected = read(bytes(data))
    second = 2 * BLOCK  # behind the first file, which is empty, and its folder
    for place, value in ((135, b" "), (124, b"\x80" + bytes(9) + (600).to_bytes(2)), (156, b"\0"), (257, bytes(8))):
        changed = bytearray(data)
        changed[second + place : second + place + len(value)] = value
        assert read(_summed(changed, second)) == expected
    changed = bytearray(data)
    total = sum(b - 256 * (b > 127) for b in changed[:148] + changed[156:BLOCK]) + 8 * 32
    changed[148:156] = b"%06o\0 " % total
    assert changed != data and read(bytes(changed)) == expected


def _summed(data: bytearray, start: int) -> bytes:
    header = data[start : start + BLOCK]
    data[start + 148 : start + 156] = b"%06o\0 " % (sum(header[:148] + header[156:]) + 8 * 32)
    return bytes(data)


def test_a_byte_that_is_not_as_it_was_loses_nothing_silently() -> None:
    data = archive(["a/0.png", "a/1.png", "a/2.png"], tarfile.PAX_FORMAT)
    expected, start = read(data), 2 * BLOCK
    for place in range(start, start + BLOCK):
        for change in (1, 0x20, 0x80):
            damaged = bytearray(data)
            damaged[place] ^= change
            try:
                assert read(bytes(damaged)) == expected
                assert 148 <= place - start < 156
            except tarfile.ReadError:
                pass


def test_an_archive_that_is_cut_within_a_member_is_refused() -> None:
    data = archive(["a/0.png", "a/1.png"], tarfile.GNU_FORMAT)
    for end in range(2 * BLOCK + 1, 5 * BLOCK):
        with pytest.raises(tarfile.ReadError):
            read(data[:end])
