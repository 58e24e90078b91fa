"""Numba's compiler, changed in two ways for a few kernels that call many functions.

Numba optimizes every function with all that it calls, and makes machine code of it, before the caller does the same
again one level up; ten levels deep that is most of the time of compiling. Only the kernel at the top is ever run. So
functions that only kernels call stop at LLVM's intermediate code, and are optimized where they are linked.

What is linked into a kernel belongs to it alone: its symbols are made local. Numba would leave them visible, named after
module, function, types and a counter that restarts in every process, so that of two kernels loaded from the cache one
could call into the other (numba #10486); and LLVM optimizes local functions better.
"""

from typing import Any

from llvmlite.binding import Linkage
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class _NoMachineCode:
    """Stands for the library's code generator where Numba would register an environment with running code."""

    def __init__(self, codegen: Any) -> None:
        self._codegen = codegen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)

    def set_env(self, env_name: str, env: Any) -> None:
        """Nothing runs, so nothing needs it."""


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
        """Compiles a function; see Numba's class."""
        self.state.library = self.library(self.state.targetctx.codegen(), func.__qualname__)
        self.state.library.enable_object_caching()
        return super().compile_extra(func)


class InnerCompiler(_Compiler):
    """For functions that only kernels call."""

    library = _InnerLibrary


class KernelCompiler(_Compiler):
    """For kernels, which Python calls."""

    library = _KernelLibrary
