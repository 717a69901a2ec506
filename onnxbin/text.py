"""Numbers and names as people read them."""

from __future__ import annotations

from onnxbin.images import Preprocessing


def printable(text: str) -> str:
    """Text from a model or a file name on one line, without characters that would steer a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text.replace("\n", " "))


def file_size(count: int) -> str:
    """Bytes in decimal units, as file managers show them."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.2f} MB"


def thousands(count: int | None) -> str:
    """A count to three digits with k, M, G or T; a dash where it is not known."""
    if count is None:
        return "-"
    for limit, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (1000, "k")):
        # 999,500 is 1.00M, not 1000k.
        if count >= 0.9995 * limit:
            scaled = count / limit
            return f"{scaled:.{max(0, 3 - len(str(round(scaled))))}f}{unit}"
    return str(count)


def duration(seconds: float) -> str:
    """Hours, minutes, seconds: the two largest that matter."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def shape(sizes: tuple[int, ...]) -> str:
    """512x512x3x3; a dash where there is none."""
    return "x".join(map(str, sizes)) or "-"


def preprocessing(value: Preprocessing) -> str:
    """What is done to images, in a few words."""
    mean, std = (
        ",".join(f"{v:g}" for v in (values[:1] if len(set(values)) == 1 else values))
        for values in (value.mean, value.std)
    )
    return f"{value.channels.upper()}, {value.resize}, mean {mean}, std {std}"


def shortened(text: str, length: int) -> str:
    """Text of at most `length` characters: its middle gives way, for names differ at their ends."""
    if len(text) <= length:
        return text
    head = (length - 1) // 3
    return f"{text[:head]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - (length - 1 - head) :]}"
