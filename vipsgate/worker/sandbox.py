"""The sandbox: what a renderer gives up before it decodes its first untrusted picture.

A renderer lives on what it inherits: descriptors that arrive over a connected Unix socket,
memfds and threads. So it opens, connects, starts and signals nothing afterwards. There are several
layers: resource limits, no capabilities, Landlock (which files may be opened) and seccomp (which
system calls exist). A layer that the kernel does not offer is left out and the Report says so;
whether that will do is the front's decision. No layer hides that a file exists.
"""

import ctypes
import errno
import glob
import os
import re
import resource
import signal
import stat
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass

Instruction = tuple[int, int, int, int]  # struct sock_filter: code, jump if true, if false, k

LIMITS = (  # soft and hard
    (resource.RLIMIT_CORE, 0),  # bytes; a core dump would contain a user's picture
    # open at once; a renderer has about 10, and a few more for each job. It is also the limit of
    # descriptors in flight in sockets, over all processes of the user (unix(7), ETOOMANYREFS)
    (resource.RLIMIT_NOFILE, 4096),
    (resource.RLIMIT_FSIZE, 1 << 30),  # bytes; binds memfds too: none may fill the memory
)

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38  # linux/prctl.h

# linux/landlock.h; the three call numbers are the same on every architecture
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_VERSION, _LANDLOCK_PATH_BENEATH = 1, 1  # flag "tell the ABI instead"; rule type
_LANDLOCK_NEWEST = 7  # the ABI (Linux 6.15) up to which the bits below are known
_HANDLED = (  # per field of the ruleset: ABI that brought the bits, the bits
    # EXECUTE to MAKE_SYM; REFER; TRUNCATE; IOCTL_DEV
    ((1, (1 << 13) - 1), (2, 1 << 13), (3, 1 << 14), (5, 1 << 15)),
    ((4, 0b11),),  # BIND_TCP, CONNECT_TCP
    ((6, 0b11),),  # ABSTRACT_UNIX_SOCKET, SIGNAL: outgoing only, the front's still arrive
)
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3  # not EXECUTE: only execve asks for it, dlopen does not

_CAPABILITY_VERSION = 0x20080522  # linux/capability.h: third, two words of 32 bits per set
_KEPT = 0b110  # DAC_OVERRIDE, DAC_READ_SEARCH: root may need them to read beneath `readable`

# linux/seccomp.h, linux/audit.h, linux/bpf_common.h
_MODE_FILTER, _TSYNC = 1, 1  # seccomp(2) operation and flag: all threads, not the caller alone
_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000  # verdicts: SECCOMP_RET_*
_LOAD, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06  # BPF codes, all "K"
_AT_NUMBER, _AT_ARCH, _AT_FIRST = 0, 4, 16  # bytes into struct seccomp_data; low half of args[0]
_X32_BIT = 0x40000000  # x86_64 only: a second numbering of the calls, closed whole
_MACHINES = {  # uname -m: AUDIT_ARCH_*, number of seccomp(2), column in the tables below
    "x86_64": (0xC000003E, 317, 0),
    "aarch64": (0xC00000B7, 277, 1),
}

# Refused with EPERM: name/x86_64/aarch64, "-" where the architecture has no such call. From
# asm/unistd_64.h and asm-generic/unistd.h; tests/e2e/worker/test_sandbox.py compares them.
_REFUSED = """
    # sockets: the one inherited is enough
    socket/41/198 socketpair/53/199 connect/42/203 bind/49/200 listen/50/201 accept/43/202
    accept4/288/242
    # new processes and programs (threads: see _ONLY_IF)
    fork/57/- vfork/58/- execve/59/221 execveat/322/281
    # other processes: memory, descriptors, signals, what is shared by name
    ptrace/101/117 process_vm_readv/310/270 process_vm_writev/311/271 process_madvise/440/440
    kcmp/312/272 pidfd_open/434/434 pidfd_getfd/438/438 pidfd_send_signal/424/424 tkill/200/130
    rt_sigqueueinfo/129/138 rt_tgsigqueueinfo/297/240 shmget/29/194 shmat/30/196 shmctl/31/195
    mq_open/240/180 mq_unlink/241/181
    # kernel parts that are rich in holes
    bpf/321/280 perf_event_open/298/241 userfaultfd/323/282 modify_ldt/154/- keyctl/250/219
    io_uring_setup/425/425 io_uring_enter/426/426 io_uring_register/427/427 add_key/248/217
    request_key/249/218 kexec_load/246/104 kexec_file_load/320/294 init_module/175/105
    finit_module/313/273 delete_module/176/106
    # mounts and namespaces
    mount/165/40 umount2/166/39 unshare/272/97 setns/308/268 pivot_root/155/41 chroot/161/51
    fsopen/430/430 fsconfig/431/431 fsmount/432/432 fspick/433/433 open_tree/428/428
    open_tree_attr/467/467 move_mount/429/429 mount_setattr/442/442
    # files past Landlock: by handle, and what it does not check (modes, owners, times, xattrs)
    name_to_handle_at/303/264 open_by_handle_at/304/265 fanotify_init/300/262 chmod/90/-
    fchmod/91/52 fchmodat/268/53 fchmodat2/452/452 chown/92/- lchown/94/- fchown/93/55
    fchownat/260/54 utime/132/- utimes/235/- futimesat/261/- utimensat/280/88 setxattr/188/5
    lsetxattr/189/6 fsetxattr/190/7 setxattrat/463/463 removexattr/197/14 lremovexattr/198/15
    fremovexattr/199/16 removexattrat/466/466 file_setattr/469/469
"""
# Refused with ENOSYS: its flags lie in memory, out of a filter's sight; libc falls back to clone.
_MISSING = "clone3/435/435"
_ONLY_IF = (  # otherwise EPERM: call, mask of its first argument, the value that is allowed
    ("clone/56/220", 0x7E030000, 0x00010000),  # CLONE_THREAD, and no CLONE_NEW* namespace
    ("kill/62/129", 0xFFFFFFFF, None),  # None: the process's own id
    ("tgkill/234/131", 0xFFFFFFFF, None),  # abort() and raise()
    ("prlimit64/302/261", 0xFFFFFFFF, 0),  # 0: the caller's own limits, not the front's
)


@dataclass(frozen=True, slots=True)
class Report:
    """The layers of the sandbox that are in force."""

    landlock: int  # the ABI in force for the whole process; 0: none
    seccomp: bool  # the system call filter is in force on every thread
    no_new_privs: bool  # set-user-id programs and file capabilities have no effect


def enter(readable: Iterable[str], parent: int | None = None) -> Report:
    """Give up what a renderer does not need, for good.

    Call it while there is only one thread, so before the first picture, with libraries loaded and
    files of /proc open. The front must start the renderer from a thread that does not end: the
    kernel takes the end of that thread for the end of the front.

    Args:
        readable: Folders (or files) that stay readable; missing ones are ignored.
        parent: The front's process id. If it is no longer the parent, the process exits.

    Returns:
        The layers that the kernel supports.
    """
    if sys.platform != "linux":
        return Report(landlock=0, seccomp=False, no_new_privs=False)
    libc = ctypes.CDLL(None, use_errno=True)
    _prctl(libc, _PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:  # the front ended before that line
        os._exit(1)
    # No core, no attaching by another renderer of the same user; /proc/PID/statm stays
    # readable to all (unless /proc is mounted with hidepid), /proc/PID/fd does not.
    _prctl(libc, _PR_SET_DUMPABLE, 0)
    no_new_privs = _prctl(libc, _PR_SET_NO_NEW_PRIVS, 1)
    _limit()
    _drop_capabilities(libc)
    landlock = _restrict_files(libc, readable)
    return Report(landlock=landlock, seccomp=_filter_calls(libc), no_new_privs=no_new_privs)


def _limit() -> None:
    """Lower the resource limits.

    Not RLIMIT_AS: libvips crashes under it. Not RLIMIT_NPROC: it counts every thread of the
    user on the machine, other services' too, and root is exempt; seccomp refuses processes.
    """
    for which, most in LIMITS:
        hard = resource.getrlimit(which)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (most, most))


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """Drop capabilities, if run by root: CAP_SYS_RESOURCE could raise the limits again."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION, 0), 8)
    held = ctypes.create_string_buffer(24)  # effective, permitted, inheritable; then high halves
    if libc.capget(header, held) == 0:
        effective, permitted = struct.unpack_from("=II", held)
        libc.capset(header, struct.pack("=6I", effective & _KEPT, permitted & _KEPT, 0, 0, 0, 0))


def _restrict_files(libc: ctypes.CDLL, readable: Iterable[str]) -> int:
    """Forbid to open anything but `readable`, by Landlock; return the ABI in force."""
    known = _syscall(libc, _LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION)
    abi = min(known, _LANDLOCK_NEWEST)
    if abi < 1:  # not built in, switched off, or hidden by a container's own filter
        return 0
    # An older kernel accepts the longer struct as long as the unknown fields are 0.
    fields = (sum(bits for since, bits in row if since <= abi) for row in _HANDLED)
    attributes = struct.pack("=QQQ", *fields)
    ruleset = _syscall(libc, _LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return 0
    for path in readable:
        _add_rule(libc, ruleset, path)
    # A thread that already runs would stay outside, and it shares all memory with this one.
    alone = len(glob.glob("/proc/self/task/*")) == 1
    done = _syscall(libc, _LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return abi if done and alone else 0


def _add_rule(libc: ctypes.CDLL, ruleset: int, path: str) -> None:
    """Allow reading beneath `path`, if it exists and the kernel accepts the rule."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)  # READ_DIR on a file is an error
    rule = struct.pack("=Qi", _READ_FILE | _READ_DIR if folder else _READ_FILE, descriptor)
    _syscall(libc, _LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_PATH_BENEATH, rule, 0)
    os.close(descriptor)


def _filter_calls(libc: ctypes.CDLL) -> bool:
    """Install the system call filter on every thread; return whether it is in force."""
    machine = os.uname().machine
    if machine not in _MACHINES or sys.maxsize < 1 << 32:  # a 32-bit process on such a kernel
        return False
    program = _program(machine, os.getpid())
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(program), ctypes.addressof(buffer))  # struct sock_fprog
    return _syscall(libc, _MACHINES[machine][1], _MODE_FILTER, _TSYNC, header) == 0


def _program(machine: str, pid: int) -> list[Instruction]:
    """Assemble the filter: a foreign architecture is killed, the tables decide the rest.

    Its length costs nothing: since Linux 5.11 the kernel knows beforehand which numbers are
    always allowed.
    """
    arch, _, column = _MACHINES[machine]
    program: list[Instruction] = [
        (_LOAD, 0, 0, _AT_ARCH),
        (_EQUAL, 1, 0, arch),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _AT_NUMBER),
    ]
    if machine == "x86_64":
        program += [(_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, _KILL)]
    for table, error in ((_REFUSED, errno.EPERM), (_MISSING, errno.ENOSYS)):
        for number in _numbers(table, column).values():
            program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | error)]
    for row, mask, value in _ONLY_IF:
        (number,) = _numbers(row, column).values()
        program += [
            (_EQUAL, 0, 5, number),
            (_LOAD, 0, 0, _AT_FIRST),
            (_AND, 0, 0, mask),
            (_EQUAL, 0, 1, pid if value is None else value),
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        ]
    return [*program, (_RETURN, 0, 0, _ALLOW)]


def _numbers(table: str, column: int) -> dict[str, int]:
    """Return the number of each call in `table` that the architecture has, by name."""
    rows = re.findall(r"(\w+)/(\d+)/(\d+|-)", table)
    return {name: int(row[column]) for name, *row in rows if row[column] != "-"}


def _prctl(libc: ctypes.CDLL, option: int, value: int) -> bool:
    """Set a property of the process; return whether the kernel accepted it."""
    return bool(libc.prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0))) == 0)


def _syscall(libc: ctypes.CDLL, number: int, *args: int | bytes | None) -> int:
    """Make a system call that libc has no function for; return -1 on any error."""
    # Integers must go as longs: ctypes would leave the upper half of the register undefined.
    whole = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    libc.syscall.restype = ctypes.c_long
    return int(libc.syscall(ctypes.c_long(number), *whole))
