"""Files that hold something else than arrays, by what they begin with: what they are and how an array is made of them.

Asked only when a file was refused.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Tuple

_PICTURE = "numpy.asarray(PIL.Image.open(FILE))"
_SOUND = "soundfile.read(FILE, dtype='float32')[0]"
_VIDEO = "imageio.v3.imread(FILE)"
_PICKLE = "numpy.asarray(pickle.load(open(FILE, 'rb')))"

#: First bytes, where more of it stands and what; what the file is, and an expression for an array of what is in it.
_KNOWN = (
    (b"fLaC", 0, b"", "sound (FLAC)", _SOUND),
    (b"OggS", 0, b"", "sound (Ogg)", _SOUND),
    (b"ID3", 0, b"", "sound (MP3)", _SOUND),
    (b"\xff\xfb", 0, b"", "sound (MP3)", _SOUND),
    (b"\x89PNG", 0, b"", "a picture (PNG)", _PICTURE),
    (b"\xff\xd8\xff", 0, b"", "a picture (JPEG)", _PICTURE),
    (b"GIF8", 0, b"", "a picture (GIF)", _PICTURE),
    (b"RIFF", 8, b"WEBP", "a picture (WebP)", _PICTURE),
    (b"BM", 6, b"\0\0\0\0", "a picture (BMP)", _PICTURE),
    (b"II*\0", 0, b"", "a picture (TIFF)", _PICTURE),
    (b"MM\0*", 0, b"", "a picture (TIFF)", _PICTURE),
    (b"RIFF", 8, b"AVI ", "a video (AVI)", _VIDEO),
    (b"", 4, b"ftyp", "a video (MP4)", _VIDEO),
    (b"\x1aE\xdf\xa3", 0, b"", "a video (Matroska)", _VIDEO),
    (b"\x89HDF", 0, b"", "an HDF5 file", "h5py.File(FILE)[NAME][...]"),
    (b"PAR1", 0, b"", "a Parquet table", "pandas.read_parquet(FILE).to_numpy('float32')"),
    (b"\x80\x02", 0, b"", "pickled Python objects", _PICKLE),
    (b"\x80\x03", 0, b"", "pickled Python objects", _PICKLE),
    (b"\x80\x04", 0, b"", "pickled Python objects", _PICKLE),
    (b"\x80\x05", 0, b"", "pickled Python objects", _PICKLE),
    (b"\x1f\x8b", 0, b"", "compressed (gzip)", ""),
    (b"\x28\xb5\x2f\xfd", 0, b"", "compressed (Zstandard)", ""),
    (b"BZh", 0, b"", "compressed (bzip2)", ""),
    (b"\xfd7zXZ", 0, b"", "compressed (xz)", ""),
    (b"%PDF", 0, b"", "a PDF document", ""),
    (b"\x7fELF", 0, b"", "a program or a library", ""),
)
_TABLE = "numpy.loadtxt(FILE, dtype='float32', delimiter={!r})"


def recognised(content: bytes, path: str) -> Optional[Tuple[str, str]]:
    """What a file is and what makes an input of it, by its content or the first of it; None when it is not known."""
    for start, at, more, what, array in _KNOWN:
        if content.startswith(start) and content[at : at + len(more)] == more:
            return what, _advice(array, path)
    line = content[:4096].partition(b"\n")[0].strip()
    for separator in (b",", b";", b"\t", b" "):
        fields = line.split(separator)
        if len(fields) > 1 and all(map(_is_number, fields)):
            return "a table of numbers as text", _advice(_TABLE.format(separator.decode()), path)
    return None


def _advice(array: str, path: str) -> str:
    if not array:
        return "Unpack it, or save what is meant as an array: numpy.save('x.npy', array)."
    return f"Make an array of it: numpy.save('x.npy', {array.replace('FILE', repr(path))})."


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
