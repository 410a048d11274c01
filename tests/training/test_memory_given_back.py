"""What compiling frees goes back to the system."""

import ctypes

import pytest

from memory import MIB, held
from uphill.training.process import give_back_memory

BLOCK, COUNT = 2048, 100_000


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"),
    reason="not glibc, which alone keeps what is freed in pieces",
)
def test_freed_pieces_between_others_go_back_to_the_system() -> None:
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    library.free.argtypes = [ctypes.c_void_p]
    blocks = [library.malloc(BLOCK) for _ in range(COUNT)]
    for block in blocks:
        ctypes.memset(block, 1, BLOCK)
    *others, last = blocks  # the last one is at the end of the heap, which so can't shrink
    for block in others:
        library.free(block)
    before = held("VmRSS")
    give_back_memory()
    library.free(last)
    assert before - held("VmRSS") > BLOCK * COUNT / 2
    assert before > BLOCK * COUNT > 100 * MIB
