"""Keeps a process that runs foreign code away from secrets, the network, and other processes.

None of it needs a privilege: it holds for any user, and in a container without capabilities.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["confine", "hide_memory"]

# Of the kernel's headers; the same on every processor.
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_READ = 1 << 2 | 1 << 3
_EXECUTE_OR_READ = 1 | _READ
# The rights over files that each version of Landlock added.
_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14}
_CAPABILITY_VERSION = 0x20080522
# Of seccomp.h.
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_NOT_EQUAL, _MASKED_EQUAL = 1, 7
_ALL_THREADS = 4
# What a process needs that only computes: none of these.
_REFUSED = (
    # The network.
    "socket", "socketpair", "io_uring_setup",
    # Other programs, and other processes.
    "fork", "vfork", "execve", "execveat", "kill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo",
    "pidfd_open", "pidfd_getfd", "pidfd_send_signal", "ptrace", "process_vm_readv",
    "process_vm_writev", "sched_setaffinity", "sched_setscheduler", "sched_setparam",
    "sched_setattr", "setpriority", "ioprio_set",
    # Memory that counts for nobody's limit.
    "memfd_create", "memfd_secret", "shmget", "shmat",
    # What Landlock lets pass: it knows the contents of files, not their owners and dates.
    "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "utime",
    "utimes", "futimesat", "utimensat", "setxattr", "lsetxattr", "fsetxattr", "removexattr",
    "lremovexattr", "fremovexattr",
    # The kernel itself.
    "bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key", "unshare", "setns",
    "mount", "umount2",
)  # fmt: skip


def hide_memory() -> None:
    """Let no other process of this user read this one's memory and environment.

    It holds until this process becomes another program. Root can read them all the same.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def confine(readable: Iterable[Path], *, memory: int, seconds: int) -> list[str]:
    """Take from this process, for good, all that a computation does not need.

    It can then open no socket, start no process and signal none; it writes no file, and reads
    those of `readable`, of Python and of the system's libraries only. It ends with the thread that
    started it.

    Parameters
    ----------
    readable : iterable of Path
        Files and folders.
    memory : int
        The most bytes of memory.
    seconds : int
        The most time of a processor.

    Returns
    -------
    list of str
        What this system cannot take away.
    """
    limits = {
        resource.RLIMIT_DATA: memory,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for limit, most in limits.items():
        resource.setrlimit(limit, (most, most))
    if sys.platform != "linux":
        return ["the network", "other processes", "files", "memory"]
    # Where memory is short, the system ends this process first.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _drop_capabilities(libc)
    unconfined = []
    if not _restrict_files(libc, readable):
        unconfined.append("files")
    if not _refuse_calls():
        unconfined += ["the network", "other processes"]
    return unconfined


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    # Root's: with them it could read the memory of any process.
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise OSError(ctypes.get_errno(), "The capabilities cannot be dropped")


def _restrict_files(libc: ctypes.CDLL, readable: Iterable[Path]) -> bool:
    """Allow to read some files and to write none; with it goes the sight of other processes.

    https://docs.kernel.org/userspace-api/landlock.html
    """
    version = libc.syscall(_LANDLOCK_CREATE, None, 0, 1)
    if version < 1:
        return False
    rights = sum(bit for since, bit in _RIGHTS.items() if since <= version)
    ruleset = libc.syscall(_LANDLOCK_CREATE, ctypes.byref(ctypes.c_uint64(rights)), 8, 0)
    python = map(Path, (*filter(None, sys.path), sys.prefix, sys.base_prefix))
    system = map(Path, ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime"))
    machine = map(Path, ("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system"))
    devices = map(Path, ("/dev/null", "/dev/urandom"))
    for path in {*readable, *python, *system, *machine, *devices}:
        if not path.exists():
            continue
        opened = os.open(path, os.O_PATH)
        allowed = _EXECUTE_OR_READ if path.is_dir() else _EXECUTE_OR_READ & ~(1 << 3)
        rule = _Rule(allowed, opened)
        done = libc.syscall(_LANDLOCK_ADD, ruleset, 1, ctypes.byref(rule), 0)
        os.close(opened)
        if done != 0:
            raise OSError(ctypes.get_errno(), f"{path} cannot be allowed")
    if libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0) != 0:
        raise OSError(ctypes.get_errno(), "The files cannot be restricted")
    os.close(ruleset)
    return True


class _Rule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


class _Argument(ctypes.Structure):
    _fields_ = (
        ("number", ctypes.c_uint),
        ("comparison", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def _refuse_calls() -> bool:
    """Have the kernel refuse calls, by libseccomp, which knows their numbers on each processor."""
    try:
        seccomp = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return False
    seccomp.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(seccomp.seccomp_init(_ALLOW))

    def refuse(name: str, *arguments: _Argument, error: int = _EPERM) -> None:
        call = seccomp.seccomp_syscall_resolve_name(name.encode())
        # Negative: a call that this processor, or this release of the library, does not know.
        if call >= 0:
            given = (_Argument * len(arguments))(*arguments)
            seccomp.seccomp_rule_add_array(rules, _REFUSE | error, call, len(arguments), given)

    for name in _REFUSED:
        refuse(name)
    # To itself it may send a signal, as abort does, and of itself it may ask and set the limits.
    refuse("tgkill", _Argument(0, _NOT_EQUAL, os.getpid(), 0))
    refuse("prlimit64", _Argument(0, _NOT_EQUAL, 0, 0))
    # Threads may begin, processes not. What clone3 is asked for cannot be seen here; without it
    # the C library takes clone.
    refuse("clone", _Argument(0, _MASKED_EQUAL, 0x10000, 0))
    refuse("clone3", error=_ENOSYS)
    # Memory that is shared with nobody counts for nobody's limit either.
    refuse("mmap", _Argument(3, _MASKED_EQUAL, 0x21, 0x21))
    seccomp.seccomp_attr_set(rules, _ALL_THREADS, ctypes.c_uint32(1))
    loaded: int = seccomp.seccomp_load(rules)
    seccomp.seccomp_release(rules)
    return loaded == 0
