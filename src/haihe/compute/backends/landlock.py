"""Keep a job's processes to their own files, with the kernel's Landlock (Linux 5.13 and newer).

Jobs of the local back-end run as the platform's own user, so without this a job could read the
database, the signing keys and other jobs. A ruleset is built before the job starts and enforced on
the job's first process; all its descendants inherit it and none can leave it. No privilege is
needed. See ``landlock(7)``; the constants are those of ``linux/landlock.h``.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
# How many access rights each version of the interface knows.
_FS_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_FS_RIGHTS_NEWEST = 16
_NET_TCP = 0b11
_SCOPE_SIGNALS_AND_SOCKETS = 0b11


class _RulesetAttr(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneathAttr(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def version() -> int:
    """The kernel's Landlock version; 0 if it has none."""
    if not sys.platform.startswith("linux"):
        return 0
    found = _libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _CREATE_RULESET_VERSION)
    return max(int(found), 0)


def restrict(*, readable: Iterable[Path], writable: Iterable[Path]) -> None:
    """Confine this process, and all it will ever start, to the paths given.

    Beneath ``readable`` paths files may be read and executed, beneath ``writable`` ones everything
    may be done. From version 4 on TCP is closed as well, and from version 6 on signals to
    processes outside. Paths that do not exist are left out.

    Raises
    ------
    OSError
        If the kernel refuses; the process is then not confined and must not go on.
    """
    abi = version()
    if abi < 1:
        raise OSError("the kernel has no Landlock")
    every_right = (1 << _FS_RIGHTS.get(abi, _FS_RIGHTS_NEWEST)) - 1
    attr = _RulesetAttr(
        fs=every_right,
        net=_NET_TCP if abi >= 4 else 0,
        scoped=_SCOPE_SIGNALS_AND_SOCKETS if abi >= 6 else 0,
    )
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = _call(_CREATE_RULESET, ctypes.byref(attr), ctypes.c_size_t(size), 0)
    try:
        for path in readable:
            _allow(ruleset, path, _READ & every_right)
        for path in writable:
            _allow(ruleset, path, every_right)
        if _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "no_new_privs was refused")
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not path.is_dir():
            rights &= _ON_FILES
        rule = _PathBeneathAttr(allowed=rights, parent_fd=handle)
        _call(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(handle)


def _call(number: int, *arguments: object) -> int:
    result = int(_libc().syscall(number, *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
