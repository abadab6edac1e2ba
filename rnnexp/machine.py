"""What the machine has left for this process."""

import math
import os
import shutil
import sys
from pathlib import Path

#: Open files that are left to libraries: the database, modules, pipes.
OF_LIBRARIES = 128


def available() -> float:
    """Bytes that this process can still take: of the machine, of its control group and of its own limit."""
    found = [float(sys.maxsize)]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        known = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        found.append(known.get("MemAvailable", known["MemTotal"]))
    except (OSError, ValueError, KeyError, IndexError):
        found.append(_installed())
    found += [limit - used for limit, used in _groups()]
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
            found.append(limit - pages * resource.getpagesize())
    except (ImportError, OSError, ValueError):
        pass
    return max(0.0, min(found))


def files_at_a_time() -> int:
    """Files that this process may hold open, beside those that its libraries need."""
    try:
        import resource
    except ImportError:  # Windows
        return sys.maxsize
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if limit == resource.RLIM_INFINITY else max(1, limit - OF_LIBRARIES)


def free_space(path: Path) -> float:
    """Bytes that are free on the disk of a path, which need not exist; infinite where the system does not know."""
    disk = shutil.disk_usage(next(place for place in (path, *path.absolute().parents) if place.exists()))
    return disk.free if disk.total else math.inf


def _installed() -> float:
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return float(sys.maxsize)


def _groups(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> list[tuple[int, int]]:
    """Limit and use of the control groups that this process is in, version 2 or 1, as far as they are told."""
    try:
        inside = [line.split(":", 2)[2].strip("/") for line in own.read_text(encoding="utf-8").splitlines()]
    except (OSError, IndexError):
        inside = [""]
    files = (("", "memory.max", "memory.current"), ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"))
    found = []
    for place in dict.fromkeys([*inside, ""]):
        for version, limit, use in files:
            folder = root / version / place
            for at in (folder, *folder.parents):
                if not at.is_relative_to(root):
                    break
                try:
                    most = int((at / limit).read_text(encoding="ascii"))
                    used = int((at / use).read_text(encoding="ascii"))
                    stat = dict(line.split() for line in (at / "memory.stat").read_text(encoding="ascii").splitlines())
                except (OSError, ValueError):  # "max": without a limit
                    continue
                # Files that are only cached are given back.
                found.append((most, max(0, used - int(stat.get("inactive_file", 0)))))
    return found
