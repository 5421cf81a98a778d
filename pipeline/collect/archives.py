"""Tar and zip archives, read in one pass and never unpacked to disk."""

from __future__ import annotations

import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

from pipeline.collect.items import IGNORED, TOO_LARGE, RawItem
from pipeline.collect.labels import common_root, hidden, label_and_split, unsafe
from pipeline.media.image import SIGNATURES

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".tar.bz2", ".tbz2")
BLOCK_BYTES = 1 << 20
NAME = 100  # bytes of a header
MAGICS = (tarfile.POSIX_MAGIC, tarfile.GNU_MAGIC)
BOMB_BYTES, BOMB_RATIO = 1 << 20, 200
HEADER_BYTES, GLOBAL_HEADERS = 1 << 18, 100
MORE_HEADERS = (b"x", b"g", b"X", b"L", b"K")  # of pax, Solaris and GNU
UNSAFE = "unsafe path in archive"


def read_tar(file: IO[bytes], max_item_bytes: int) -> Iterator[RawItem]:
    """Members in the order of the archive."""
    with (
        _buffered(file) as stream,
        _buffered(_decompressed(stream)) as plain,
        tarfile.open(fileobj=cast(IO[bytes], _Forward(plain)), mode="r:", tarinfo=_Strict) as archive,
    ):
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # else every header stays in memory
            if len(archive.pax_headers) > GLOBAL_HEADERS:
                raise tarfile.ReadError("too many headers for all members")
            if not member.isdir():
                yield _tar_item(archive, member, max_item_bytes)


def read_zip(file: IO[bytes], max_item_bytes: int) -> Iterator[RawItem]:
    """Members in the order of the archive's directory."""
    with zipfile.ZipFile(file) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        root = common_root(m.filename for m in members if not hidden(m.filename) and not unsafe(m.filename))
        for member in members:
            yield _zip_item(archive, member, root, max_item_bytes)


def _tar_item(archive: tarfile.TarFile, member: tarfile.TarInfo, cap: int) -> RawItem:
    path = member.name.removeprefix("./")
    problem = _name_problem(path)
    if problem is None and not member.isreg():
        problem = "link in archive" if member.issym() or member.islnk() else "device in archive"
    if problem is None and member.size > cap:
        problem = _too_large(member.size, cap)
    data = b"" if problem else _member_bytes(archive, member)
    if problem == UNSAFE:
        return RawItem(path, data, None, "", problem)
    return RawItem(path, data, *label_and_split(path), problem, guessed=True)


def _member_bytes(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Straight from the stream: `extractfile` costs more than the read."""
    stream = archive.fileobj
    if stream is None or member.issparse():
        file = archive.extractfile(member)
        return file.read() if file else b""
    stream.seek(member.offset_data)
    data = stream.read(-(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)[: member.size]
    if len(data) != member.size:
        raise tarfile.ReadError("unexpected end of data")
    return data


class _Strict(tarfile.TarInfo):
    """Tarfile takes a damaged header for the archive's end: what stands behind it would be lost silently.

    It reads a header that says more of the next one whole, however large it is.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Strict:
        try:
            found = super().frombuf(buf, encoding, errors)
            if found.type in MORE_HEADERS and found.size > HEADER_BYTES:
                raise tarfile.ReadError(f"a header of {found.size} bytes")
            return found
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(str(error)) from None

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> _Strict:
        """As tarfile's, which works out every field of a header: that costs as much as decoding a small image."""
        stream = archive.fileobj
        assert stream is not None
        header, offset = stream.read(tarfile.BLOCKSIZE), stream.tell()
        if archive.pax_headers or (size := _plain_size(header)) is None:
            member = cls.frombuf(header, archive.encoding or "utf-8", archive.errors or "strict")
            member.offset = offset - tarfile.BLOCKSIZE
            return member._proc_member(archive)  # type: ignore[attr-defined, no-any-return]
        member = cls(header[:NAME].partition(b"\0")[0].decode(archive.encoding or "utf-8", archive.errors or "strict"))
        member.size, member.offset, member.offset_data = size, offset - tarfile.BLOCKSIZE, offset
        archive.offset = offset + -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        return member


def _plain_size(header: bytes) -> int | None:
    """Bytes of the regular file that a sound header tells of; None where it tells of anything else, or is odd.

    A checksum is the sum of a header's bytes with spaces in its own place. Adler's sum of half a header is exact.
    """
    size, told = header[124:135], header[148:156].rstrip(b"\0 ")
    known = header[156:157] == tarfile.REGTYPE and header[257:265] in MAGICS and header[345:346] == b"\0"
    if not known or not size.isdigit() or len(header) != tarfile.BLOCKSIZE:
        return None
    try:
        sums = zlib.adler32(header[:256]) % 2**16 + zlib.adler32(header[256:]) % 2**16 - 2
        if sums - sum(header[148:156]) + 8 * ord(" ") == int(told, 8):
            return int(size, 8)
    except ValueError:  # no octal number
        pass
    return None


class _Forward:
    """A stream that can't seek, as tarfile's plain mode wants it: forward, and back by no more than its last byte.

    Tarfile's own mode for streams copies its whole buffer at each read.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._last, self._place, self._again = b"", 0, False

    def tell(self) -> int:
        return self._place

    def read(self, size: int) -> bytes:
        again, self._again = self._again and size > 0, False
        data = self._last + self._stream.read(size - 1) if again else self._stream.read(size)
        self._last = data[-1:] or self._last
        self._place += len(data)
        return data

    def seek(self, place: int) -> None:
        if place < self._place - 1 or (self._again and place < self._place):
            raise tarfile.StreamError("seeking backwards is not allowed")
        while self._place < place and self.read(min(place - self._place, BLOCK_BYTES)):
            pass
        if place == self._place - 1:
            self._place, self._again = place, True


def _zip_item(archive: zipfile.ZipFile, member: zipfile.ZipInfo, root: str, cap: int) -> RawItem:
    path, data = member.filename, b""
    kind = member.external_attr >> 28
    problem = _name_problem(path)
    if problem is None and kind not in (0, 0o10):
        problem = "link in archive" if kind == 0o12 else "device in archive"
    if problem is None and member.flag_bits & 1:
        problem = "encrypted"
    if problem is None and member.file_size > cap:
        problem = _too_large(member.file_size, cap)
    if problem is None:
        data, problem = _unzip(archive, member, cap)
    label, split = (None, "") if problem == UNSAFE else label_and_split(path, root)
    return RawItem(path, data, label, split, problem)


def _unzip(archive: zipfile.ZipFile, member: zipfile.ZipInfo, cap: int) -> tuple[bytes, str | None]:
    """At most one byte more than `cap`, whatever the directory says of the size."""
    try:
        with archive.open(member) as stream:
            data = stream.read(BOMB_BYTES)
            if len(data) == BOMB_BYTES and _is_bomb(member, data):
                return b"", f"decompression bomb: {member.file_size} bytes out of {member.compress_size}"
            data += stream.read(cap + 1 - len(data))
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, EOFError) as error:
        return b"", f"damaged in archive: {error}"
    except OSError as error:
        if type(error) is not OSError or error.errno is not None:
            raise
        return b"", f"damaged in archive: {error}"  # so bz2 says it
    return (b"", _too_large(len(data), cap)) if len(data) > cap else (data, None)


def _is_bomb(member: zipfile.ZipInfo, start: bytes) -> bool:
    """Whether it unpacks to far more than it is, and to no image: a mask of one colour does, too."""
    return member.file_size > BOMB_RATIO * member.compress_size and not start.startswith((*SIGNATURES, b"BM", b"P"))


def _name_problem(path: str) -> str | None:
    if unsafe(path):
        return UNSAFE
    return IGNORED if hidden(path) else None


def _too_large(size: int, cap: int) -> str:
    return f"{TOO_LARGE}: {size} bytes, max_item_bytes is {cap}"


@contextmanager
def _buffered(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """The file itself stays its owner's to close."""
    reader = io.BufferedReader(cast(io.RawIOBase, file), BLOCK_BYTES)
    try:
        yield reader
    finally:
        reader.detach()


def _decompressed(stream: IO[bytes]) -> IO[bytes]:
    """The tar inside, whichever compression its first bytes say."""
    import bz2
    import gzip

    magic = cast(io.BufferedReader, stream).peek(8)
    if magic.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.open(stream))
    if magic.startswith(b"\xfd7zXZ"):
        return lzma.open(stream)
    if magic.startswith(b"BZh"):
        return cast(IO[bytes], bz2.open(stream))
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        import zstandard

        reader = zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True)
        return cast(IO[bytes], reader)
    return stream
