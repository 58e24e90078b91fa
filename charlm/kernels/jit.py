"""Kernels: Python functions that are compiled when they are first called, into a store on disk.

Once they are there, nothing of Numba is needed to run them. A kernel may call inner functions, which are compiled into it,
and other kernels, which are compiled on their own and called where they lie: so each part of the work is compiled once, and
two processes can compile at the same time.
"""

import ctypes
import dis
import functools
import os
import threading
import traceback
import types
from collections.abc import Callable
from typing import Any, NamedTuple, get_type_hints

from llvmlite import binding

from . import machine_code
from .code_store import Code, Store, start_helper, symbol_of
from .records import ArrayKind, ByValue, Handed, flattened, is_record, kind_of, kind_of_hint

# With NUMBA_DISABLE_JIT=1 kernels are the plain Python that they are written in.
JIT = os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")
LANE_COUNTS = (4, 8, 16)


def _lane_count() -> int:
    """Return how many float32 numbers a vector has: $CHARLM_SIMD, to try another processor's code, else this one's."""
    forced = os.environ.get("CHARLM_SIMD")
    if forced is not None:
        if forced not in map(str, LANE_COUNTS):
            raise ValueError(f"CHARLM_SIMD={forced}: choose from {', '.join(map(str, LANE_COUNTS))}")
        return int(forced)
    features = binding.get_host_cpu_features()
    return 16 if features.get("avx512f") else 8 if features.get("avx2") else 4


LANES = _lane_count()
_ARM64 = binding.get_process_triple().split("-")[0] in ("aarch64", "arm64")
REGISTERS = 32 * 4 // LANES if _ARM64 else 32 if LANES == 16 else 16  # how many vectors of LANES numbers they hold

# Called with a kernel's name when it is about to be compiled, not loaded, and when it has been.
on_compile: list[Callable[[str], None]] = []
on_compiled: list[Callable[[str], None]] = []


_store = Store(LANES)

inner_functions: list[Callable] = []
kernels: list["Kernel"] = []


def inner(function: Any) -> Any:
    """Let kernels call a function, which stays an ordinary one for Python."""
    inner_functions.append(function)
    return function


class Entry(NamedTuple):
    """Loaded machine code."""

    address: int
    call: Any


class Kernel:
    """A function that Python calls compiled. Other kernels may call it too if its arguments are annotated.

    on_demand: whether it is compiled or loaded when another kernel calls it for the first time, not before.
    """

    def __init__(self, function: Callable, on_demand: bool = False) -> None:
        functools.update_wrapper(self, function)
        self.function, self.name, self.on_demand = function, function.__name__, on_demand
        self._entries: dict[Any, Entry] = {}
        self._slots: list[Any] = []  # where kernels look up its address, if it is on demand

    def __call__(self, *arguments: Any) -> Any:
        """Call the function. Arrays must be C-contiguous; a record may be laid out already."""
        if not JIT:
            return self.function(*(each.record if isinstance(each, Handed) else each for each in arguments))
        kinds = tuple(map(kind_of, arguments))
        entry = self._entries.get(kinds) or self.entry(kinds)
        laid_out, values = [], []
        for kind, value in zip(kinds, arguments, strict=True):
            if is_record(kind):
                laid_out.append(value if isinstance(value, Handed) else Handed(value))
                values.append(laid_out[-1].address)
            elif kind is float:
                values.append(value)
            else:
                values += flattened(kind, value)
        return entry.call(*values)

    @functools.cached_property
    def declared(self) -> tuple[Any, ...]:
        """The kinds of the arguments, as annotated."""
        hints = get_type_hints(self.function, include_extras=True)
        hints.pop("return", None)
        return tuple(map(kind_of_hint, hints.values()))

    @property
    def returns(self) -> Any:
        """The kind of the result, as annotated; None if there is none."""
        return kind_of_hint(get_type_hints(self.function)["return"])

    @functools.cached_property
    def symbol(self) -> str:
        """The name by which other kernels call it."""
        return symbol_of(self.function, self.declared)

    @functools.cached_property
    def named(self) -> list["Kernel"]:
        """The kernels that it calls itself."""
        return list(dict.fromkeys(_kernels_named(self.function, set())))

    @functools.cached_property
    def calls(self) -> list["Kernel"]:
        """The kernels that must be there before it is: those that it calls, and what they call, in order."""
        return self._reached(on_demand=False)

    @functools.cached_property
    def may_call(self) -> list["Kernel"]:
        """The same with those that are on demand."""
        return self._reached(on_demand=True)

    def _reached(self, on_demand: bool) -> list["Kernel"]:
        found: dict[Kernel, None] = {}
        for each in self.named:
            if on_demand or not each.on_demand:
                found.update(dict.fromkeys([*each._reached(on_demand), each]))
        return list(found)

    @property
    def is_made(self) -> bool:
        """True if the store has its code."""
        return _store.holds(self.symbol)

    def slot_in(self, caller: str) -> str:
        """Return the name of the place where a caller with this symbol looks up the address."""
        return f"{self.symbol}_in_{caller}"

    def entry(self, kinds: tuple[Any, ...]) -> Entry:
        """Load the code for arguments of these kinds, and of the kernels that it calls; compile what is missing."""
        with _lock:
            if kinds not in self._entries:
                self._entries[kinds] = entry = self._load(kinds)
                for slot in self._slots:
                    slot.value = entry.address
            return self._entries[kinds]

    def _fill(self, slot: Any) -> None:
        """Write the address to a slot; if there is no code yet, that of a function that fetches and calls it."""
        self._slots.append(slot)
        found = self._entries.get(self.declared)
        slot.value = found.address if found else ctypes.cast(self._arrival, ctypes.c_void_p).value

    @functools.cached_property
    def _arrival(self) -> Any:
        def arrive(*values: Any) -> Any:
            try:
                return self.entry(self.declared).call(*values)
            except BaseException:  # noqa: BLE001  the kernel that called would go on with nothing
                traceback.print_exc()
                os._exit(1)

        if any(isinstance(kind, ByValue) for kind in self.declared):
            raise TypeError(f"{self.name}: a kernel on demand is handed no records by value")
        return _prototype(_RESULTS[self.returns], self.declared)(arrive)

    def _load(self, kinds: tuple[Any, ...]) -> Entry:
        symbol = symbol_of(self.function, kinds)
        found = _store.read(symbol)
        if found is None or not all(each.is_made for each in self.calls):
            self.make(kinds)
            found = _store.read(symbol)
            assert found is not None
        for each in self.calls:
            each.entry(each.declared)
        address = machine_code.load(symbol, found.machine_code)
        for each in self.named:
            if each.on_demand:
                each._fill(machine_code.variable(each.slot_in(symbol)))
        return Entry(address, _prototype(found.returns, kinds)(address))

    def make(self, kinds: tuple[Any, ...] | None = None, alone: bool = False) -> None:
        """Have the code, and unless it is alone that of the kernels that it calls, in the store.

        kinds: of the arguments, if not those declared.
        """
        kinds = self.declared if kinds is None else kinds
        wanted = {each.symbol: (each, each.declared) for each in (() if alone else self.calls)}
        wanted[symbol_of(self.function, kinds)] = self, kinds
        missing = [symbol for symbol in wanted if _store.read(symbol) is None]
        for listener in on_compile if missing else ():
            listener(self.name)
        if kinds == self.declared:
            ahead(self)
        _store.all_made(missing, lambda symbol: _store.write(symbol, _compiled(*wanted[symbol], symbol)))
        for listener in on_compiled if missing else ():
            listener(self.name)


def _compiled(kernel: Kernel, kinds: tuple[Any, ...], symbol: str) -> Code:
    from .compiler import linked

    library = linked(kernel.function, kinds, symbol)
    named = {each.symbol for each in kernel.named}
    hidden = [each.name for each in kernels if each.symbol in library.undefined and each.symbol not in named]
    if hidden:
        raise TypeError(f"{kernel.name} calls kernels by names that are not theirs: {', '.join(hidden)}")
    return Code(library.returns, library.code)


def ahead(*wanted: Kernel) -> None:
    """Let a helper begin to compile what will soon be needed, if it is not in the store; one helper a process.

    Of the last kernel that is wanted all must be there before the first call, so that comes first.
    """
    global _helped
    if JIT and not _helped:
        urgent = [*wanted[-1].calls, wanted[-1]]
        every = dict.fromkeys(each for one in wanted for each in [*one.may_call, one])
        missing = [[each for each in every if (each in urgent) == now and not each.is_made] for now in (False, True)]
        if sum(map(len, missing)) > 1 and _store.is_shared():
            _helped = True
            start_helper(*([f"{each.__module__}:{each.name}" for each in names] for names in missing))


_lock = threading.RLock()
_helped = False


def _kernels_named(function: Any, seen: set[Any]) -> list[Kernel]:
    """Return the kernels whose names stand in a function, or in the inner functions whose names stand there."""
    found: list[Kernel] = []
    value: Any = None
    for instruction in dis.get_instructions(function):
        if instruction.opname == "LOAD_GLOBAL":
            value = function.__globals__.get(instruction.argval)
        else:  # a name in a module, or something else that is none of ours
            value = getattr(value, str(instruction.argval), None) if isinstance(value, types.ModuleType) else None
        if isinstance(value, Kernel):
            found.append(value)
        elif isinstance(value, types.FunctionType) and value in inner_functions and value not in seen:
            seen.add(value)
            found += _kernels_named(value, seen)
    return found


def kernel(function: Any) -> Any:
    """Compile a function when it is called, and keep its code on disk."""
    kernels.append(Kernel(function))
    return kernels[-1]


def kernel_on_demand(function: Any) -> Any:
    """Compile or load a function when a kernel first calls it: one that many networks do not need."""
    kernels.append(Kernel(function, on_demand=True))
    return kernels[-1]


def step_address(function: Callable, *kinds: Any) -> Any:
    """Compile a function for arguments of these kinds, keep the code on disk, and return its address.

    Without the compiler return the function itself.
    """
    return Kernel(function).entry(kinds).address if JIT else function


_RESULTS = {None: "none", int: "int64", float: "float64"}
_C_RESULTS = {"none": None, "int64": ctypes.c_int64, "float64": ctypes.c_double, "float32": ctypes.c_float}


def _prototype(returns: str, kinds: tuple[Any, ...]) -> Any:
    """Return the type of a function, for ctypes, which lets other threads run meanwhile."""
    return ctypes.CFUNCTYPE(_C_RESULTS[returns], *(each for kind in kinds for each in _c_types(kind)))


def _c_types(kind: Any) -> list[Any]:
    if kind is float:
        return [ctypes.c_double]
    return [ctypes.c_int64] * (1 + kind.dimensions if isinstance(kind, ArrayKind) else 1)
