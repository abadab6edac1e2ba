"""What happens to files: cut off, overwritten, lengthened, and with numbers in them that promise too much."""

#: Bytes at either end that are hit more often than the rest: headers and directories stand there.
ENDS = 128
PROMISES = [0, 1, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**60, 2**63 - 1, 2**64 - 1]


def corruptions(data, rng, count):
    """Yield `count` damaged copies of `data`, bytes; `rng` is a NumPy generator, whose state decides everything."""
    for _ in range(count):
        damaged = data
        for _ in range(int(rng.integers(1, 4))):
            damaged = KINDS[int(rng.integers(len(KINDS)))](damaged, rng)
        yield damaged


def cut_off(data, rng):
    return data[: rng.integers(len(data) + 1)]


def flip(data, rng):
    """One to eight bytes become others."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9)) if data else 0):
        changed[place(data, rng)] = int(rng.integers(256))
    return bytes(changed)


def flip_bit(data, rng):
    changed = bytearray(data)
    if data:
        changed[place(data, rng)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def promise(data, rng):
    """A number that may be a length becomes a large one, of either byte order."""
    size = int(rng.choice([2, 4, 8]))
    number = PROMISES[int(rng.integers(len(PROMISES)))] % 256**size
    at = place(data, rng)
    return data[:at] + number.to_bytes(size, ["little", "big"][int(rng.integers(2))]) + data[at + size :]


def digits(data, rng):
    """A number that is written out becomes a large one."""
    found = [at for at, byte in enumerate(data) if chr(byte).isdecimal() and byte < 128]
    if not found:
        return data
    at = found[int(rng.integers(len(found)))]
    return data[:at] + str(10 ** int(rng.integers(1, 20))).encode() + data[at + 1 :]


def fill(data, rng):
    """A run becomes zeros, ones or noise."""
    start, stop = run(data, rng)
    filling = [b"\0" * (stop - start), b"\xff" * (stop - start), rng.bytes(stop - start)]
    return data[:start] + filling[int(rng.integers(3))] + data[stop:]


def leave_out(data, rng):
    start, stop = run(data, rng)
    return data[:start] + data[stop:]


def repeat(data, rng):
    start, stop = run(data, rng)
    return data[:stop] + data[start:stop] + data[stop:]


def insert(data, rng):
    at = place(data, rng)
    return data[:at] + rng.bytes(int(rng.integers(1, 17))) + data[at:]


def lengthen(data, rng):
    return data + rng.bytes(int(rng.integers(1, 65)))


def place(data, rng):
    """A position in `data`, one in three near its beginning and one in three near its end."""
    end = min(ENDS, len(data))
    start, stop = [(0, end), (len(data) - end, len(data)), (0, len(data))][int(rng.integers(3))]
    return int(rng.integers(start, max(stop, start + 1)))


def run(data, rng):
    """Where a run of 1 to 64 bytes begins and ends."""
    start = place(data, rng)
    return start, min(len(data), start + int(rng.integers(1, 65)))


KINDS = [cut_off, flip, flip_bit, promise, digits, fill, leave_out, repeat, insert, lengthen]
