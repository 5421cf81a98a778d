"""Metadata of images: what tells of people, places and devices is taken out, the pixels are not encoded anew."""

from __future__ import annotations

from pipeline.media.metadata import bmp, gif, jpeg, png, ppm, tiff, webp
from pipeline.media.metadata.cut import MetadataError, Stripped

__all__ = ["MetadataError", "Stripped", "stripped"]

FORMATS = (
    (png.SIGNATURE, png.strip),
    (b"\xff\xd8\xff", jpeg.strip),
    (b"RIFF", webp.strip),
    ((b"GIF87a", b"GIF89a"), gif.strip),
    ((b"II", b"MM"), tiff.strip),
    (b"BM", bmp.strip),
    (b"P", ppm.strip),
)


def stripped(data: bytes) -> Stripped:
    """The bytes of an image that are kept, and what was taken out of them.

    All frames decode to the same pixels and turn upright the same way. What is not recognised, and what stands behind
    damage that no decoder reads past, stays as it is. Time and memory grow with the bytes, whatever they are.
    Raises MetadataError, and nothing else, where metadata is seen that can't be taken out.
    """
    for signature, strip in FORMATS:
        if data.startswith(signature):
            try:
                return strip(data)
            except MetadataError:
                raise
            except Exception as error:  # a walker's own fault must cost one item, not the collection
                raise MetadataError(f"can't be walked: {type(error).__name__}") from error
    return Stripped(data, ())
