"""Everything of Numba's that Numba does not promise to keep: the only module that imports numba.core.

PRIVATE lists each name with the reason for using it and the public alternative that falls short. When a new Numba lacks
one, tests/kernels/test_numba_internals.py says which. Public are numba.njit, numba.types, numba.extending and llvmlite.

Numba's compiler is changed in two ways. Numba optimizes every function with all that it calls, and makes machine code of
it, before the caller does the same again one level up; ten levels deep that is most of the time of compiling. Only the
kernel at the top is ever run. So functions that only kernels call stop at LLVM's intermediate code, and are optimized where
they are linked. And what is linked into a kernel belongs to it alone: its symbols are made local. Numba would leave them
visible, named after module, function, types and a counter that restarts in every process, so that of two kernels loaded
from the cache one could call into the other (numba #10486); and LLVM optimizes local functions better.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from llvmlite import ir
from llvmlite.binding import Linkage
from numba import types
from numba.core import cgutils
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.ccallback import CFunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.options import DefaultOptions

# (module, name) or (module, class, attribute): why it is needed; what the public API offers instead.
PRIVATE: dict[tuple[str, ...], str] = {
    ("numba.core.cgutils", "get_item_pointer"): "the address of an array's element; public: none for lowered code",
    ("numba.core.cgutils", "get_or_insert_function"): "calls of C functions; public: ctypes, which the cache cannot keep",
    ("numba.core.cgutils", "alloca_once_value"): "a byte on the stack; public: none for lowered code",
    ("numba.core.caching", "FunctionCache"): "a cache keyed by all sources; public: cache=True checks one file",
    ("numba.core.caching", "FunctionCache", "_index_key"): "a key that processes agree on; public: a pickle, which differs",
    ("numba.core.caching", "CompileResultCacheImpl", "_locator_classes"): "where the cache lies; public: one directory",
    ("numba.core.ccallback", "CFunc"): "functions called by address; public: numba.cfunc, which takes no cache of ours",
    ("numba.core.codegen", "JITCodeLibrary", "_optimize_final_module"): "no optimizing below kernels; public: opt for all",
    ("numba.core.codegen", "JITCodeLibrary", "_finalize_final_module"): "no machine code below kernels; public: none",
    ("numba.core.codegen", "JITCodeLibrary", "_finalize_dynamic_globals"): "what is left of finalizing; public: none",
    ("numba.core.compiler", "Compiler"): "Numba's passes into a library of ours; public: pipeline_class takes only this",
    ("numba.core.options", "DefaultOptions", "_nrt"): "no reference counts, see README.md; public: none",
    ("numba.core.options", "DefaultOptions", "no_cpython_wrapper"): "half the time of compiling; public: none",
    ("numba.core.options", "DefaultOptions", "no_cfunc_wrapper"): "the same; public: none",
}

# Whether functions are compiled. With NUMBA_DISABLE_JIT=1 kernels are the plain Python that they are written in.
JIT = not getattr(numba.config, "DISABLE_JIT", 0)

NO_REFERENCE_COUNTS: dict[str, Any] = {"_nrt": False}
ONLY_CALLED_BY_KERNELS: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
assert all(hasattr(DefaultOptions, name) for name in (*NO_REFERENCE_COUNTS, *ONLY_CALLED_BY_KERNELS))


# --- intermediate code -----------------------------------------------------------------------------------------------


def item_pointer(context: Any, builder: Any, array_type: Any, array: Any, indices: Any) -> Any:
    """Return the address of array[indices]; no bounds check, no wraparound."""
    struct = context.make_array(array_type)(context, builder, array)
    return cgutils.get_item_pointer(context, builder, array_type, struct, indices, wraparound=False, boundscheck=False)


def declared_function(module: ir.Module, kind: ir.FunctionType, name: str) -> Any:
    """Return a function that is defined elsewhere: an LLVM intrinsic, or one of the C library."""
    return cgutils.get_or_insert_function(module, kind, name)


def on_stack(builder: Any, value: ir.Constant) -> Any:
    """Return the address of a place on the stack that holds `value`."""
    return cgutils.alloca_once_value(builder, value)


# --- compilers -------------------------------------------------------------------------------------------------------


class _NoMachineCode:
    """Stands for the library's code generator, where Numba would register an environment with running code."""

    def __init__(self, codegen: Any) -> None:
        self._codegen = codegen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)

    def set_env(self, env_name: str, env: Any) -> None:
        """Do nothing: code that never runs needs no environment."""


class _InnerLibrary(JITCodeLibrary):
    """A library to link into others, never run."""

    @property
    def codegen(self) -> Any:
        return _NoMachineCode(self._codegen)

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        return 0


class _KernelLibrary(JITCodeLibrary):
    """A kernel's library, which keeps what was linked into it to itself."""

    def _optimize_final_module(self) -> None:
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage == Linkage.linkonce_odr:
                function.linkage = Linkage.internal
        super()._optimize_final_module()


class _Compiler(Compiler):
    """Numba's default pipeline, into a library of ours."""

    library: Any = JITCodeLibrary

    def compile_extra(self, func: Any) -> Any:
        """Compile a function; see Numba's class."""
        self.state.library = self.library(self.state.targetctx.codegen(), func.__qualname__)
        self.state.library.enable_object_caching()
        return super().compile_extra(func)


class InnerCompiler(_Compiler):
    """For functions that only kernels call."""

    library = _InnerLibrary


class KernelCompiler(_Compiler):
    """For kernels, which Python calls."""

    library = _KernelLibrary


# --- the cache -------------------------------------------------------------------------------------------------------


class Locator:
    """Tells Numba where compiled code lies; the interface that CompileResultCacheImpl expects of its locators."""

    def __init__(self, module: str, file: Path) -> None:
        self._module = module
        self._file = file

    def get_cache_path(self) -> str:
        """Return the directory. To be defined by a subclass."""
        raise NotImplementedError

    def ensure_cache_path(self) -> None:
        """Create the directory. Nobody else may be able to write there: the cache is a pickle."""
        Path(self.get_cache_path()).mkdir(mode=0o700, parents=True, exist_ok=True)

    def get_source_stamp(self) -> str:
        """Return a digest of the function's own file, which lies outside this folder for cells, optimizers and tests."""
        return hashlib.sha256(self._file.read_bytes()).hexdigest()

    def get_disambiguator(self) -> str:
        """Return what tells functions of the same name apart."""
        return self._module

    @classmethod
    def from_function(cls, function: Callable, file: str) -> "Locator":
        """Return the locator of a function."""
        return cls(function.__module__, Path(file))


def cache_class(locator: type[Locator]) -> type[FunctionCache]:
    """Return Numba's cache of a function, with code where `locator` says, under a key that processes agree on."""

    class _Implementation(CompileResultCacheImpl):
        _locator_classes: Any = [locator]

    class _Cache(FunctionCache):
        _impl_class = _Implementation

        def _index_key(self, sig: Any, codegen: Any) -> Any:
            # Numba's key holds a pickle of what a nested function closes over, which differs from process to process if
            # that is a compiled function.
            code = hashlib.sha256(self._py_func.__code__.co_code).hexdigest()
            return sig, codegen.magic_tuple(), code, closed_over(self._py_func)

    return _Cache


def closed_over(function: Any) -> tuple[str, ...]:
    """Describe the values that a nested function closes over: functions by their names, the rest by what they are."""
    return tuple(_described(cell.cell_contents) for cell in getattr(function, "__closure__", None) or ())


def _described(value: Any) -> str:
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if name is None:
        return repr(value)
    return f"{getattr(value, '__module__', '')}.{name}{closed_over(getattr(value, 'py_func', value))}"


def keep_on_disk(dispatcher: Any, cache: FunctionCache) -> Any:
    """Let a compiled function use a cache of ours."""
    dispatcher._cache = cache
    return dispatcher


def compiled_callback(function: Callable, arguments: tuple[Any, ...], options: dict[str, Any], cache: FunctionCache) -> Any:
    """Compile a function of these types that returns nothing. Its `address` is valid as long as the result lives."""
    compiled: Any = CFunc(function, (arguments, types.void), {}, options, pipeline_class=KernelCompiler)
    compiled._cache = cache
    compiled.compile()
    return compiled
