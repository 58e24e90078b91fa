"""Numba's compiler, for functions that only kernels call: it stops at LLVM's intermediate code.

Numba optimizes every function with all that it calls, and makes machine code of it, before the caller does the same
again one level up; ten levels deep that is most of the time of compiling. Only the kernel at the top is ever run, and
what is linked into it is optimized there.
"""

from typing import Any

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


class _Library(JITCodeLibrary):
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


class InnerCompiler(Compiler):
    """Numba's default pipeline, into such a library."""

    def compile_extra(self, func: Any) -> Any:
        codegen = self.state.targetctx.codegen()
        self.state.library = _Library(codegen, func.__qualname__)
        self.state.library.enable_object_caching()
        return super().compile_extra(func)
