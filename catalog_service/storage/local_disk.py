"""Whether a directory is on a local disk: locks and memory maps of databases need one."""

from pathlib import Path
from typing import Final

__all__ = ["network_file_system"]

_NETWORK: Final = frozenset(
    "9p afs beegfs ceph cifs fuse.ceph-fuse fuse.glusterfs fuse.sshfs gfs2 glusterfs gpfs lustre nfs nfs4 orangefs "
    "smb3 smbfs wekafs".split()
)


def network_file_system(directory: Path, *, mounts: Path = Path("/proc/self/mounts")) -> str | None:
    """Return the type of the network file system that holds a directory, None for a local one.

    Parameters
    ----------
    directory
        Need not exist.
    mounts
        List of mounts; a system without one is taken for local.
    """
    if not mounts.is_file():
        return None
    resolved = directory.resolve()
    depth, found = -1, ""
    for line in mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        _device, point, kind, *_ = line.split(" ")
        mounted = Path(_unescaped(point))
        # of several mounts at one place the last hides the others
        if resolved.is_relative_to(mounted) and len(mounted.parts) >= depth:
            depth, found = len(mounted.parts), kind
    return found if found in _NETWORK else None


def _unescaped(point: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(code, character)
    return point
