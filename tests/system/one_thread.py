"""One thread of a process stands still while the others go on: what it would do is not done meanwhile."""
import contextlib
import ctypes
import os

from rankd import poll, thread_state, threads

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17  # of ptrace(2)
WALL = 0x40000000                              # of waitpid(2): threads too

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, tid):
    if libc.ptrace(request, tid, None, None) == -1:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x} of thread {tid}")


def name_of(pid, tid):
    with open(f"/proc/{pid}/task/{tid}/comm") as f:
        return f.read().strip()


@contextlib.contextmanager
def one_thread_stopped(pid, name):
    """Stops the thread of this name, once it sleeps: then it holds no lock that others need."""
    (tid,) = [int(t) for t in threads(pid) if name_of(pid, t) == name]
    poll(f"{name} sleeps", lambda: thread_state(pid, tid) == "S")
    ptrace(SEIZE, tid)
    try:
        ptrace(INTERRUPT, tid)
        os.waitpid(tid, WALL)
        yield
    finally:
        ptrace(DETACH, tid)
