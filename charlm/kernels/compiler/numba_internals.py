"""Everything of Numba's that Numba does not promise to keep: the only module that imports numba.core.

PRIVATE lists each name with the reason for using it and the public alternative that falls short. When a new Numba lacks
one, tests/kernels/test_numba_internals.py says which. Public are numba.njit, numba.types, numba.extending and llvmlite.

Numba optimizes every function with all that it calls, and makes machine code of it, before the caller does the same again
one level up; ten levels deep that is most of the time of compiling. Here functions that kernels call stop at LLVM's
intermediate code. They are linked into the kernel, where they are optimized once. What is linked into a kernel belongs to it
alone: its symbols are made local. Numba would leave them visible, named after module, function, types and a counter that
restarts in every process, so that of two kernels loaded from disk one could call into the other (numba #10486); and LLVM
optimizes local functions better.
"""

from typing import Any

from llvmlite import binding
from llvmlite.binding import Linkage
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.compiler_lock import global_compiler_lock
from numba.core.options import DefaultOptions
from numba.core.registry import cpu_target
from numba.core.typing.templates import AttributeTemplate, infer_global, signature

# (module, name) or (module, class, attribute): why it is needed; what the public API offers instead.
PRIVATE: dict[tuple[str, ...], str] = {
    ("numba.core.codegen", "JITCodeLibrary", "_optimize_functions"): "no optimizing below kernels; public: opt for all",
    ("numba.core.codegen", "JITCodeLibrary", "_optimize_final_module"): "passes for explicit vectors; public: opt for all",
    ("numba.core.codegen", "JITCodeLibrary", "finalize"): "object files, and none below kernels; public: none",
    ("numba.core.compiler", "Compiler"): "Numba's passes into a library of ours; public: pipeline_class takes only this",
    ("numba.core.compiler", "Compiler", "define_pipelines"): "fewer passes; public: pipeline_class takes only this",
    ("numba.core.compiler_lock", "global_compiler_lock"): "one compilation at a time; public: none around a library",
    ("numba.core.options", "DefaultOptions", "_nrt"): "no reference counts, see README.md; public: none",
    ("numba.core.options", "DefaultOptions", "no_cpython_wrapper"): "half the time of compiling; public: none",
    ("numba.core.options", "DefaultOptions", "no_cfunc_wrapper"): "the same; public: none",
    ("numba.core.registry", "cpu_target"): "the processor's lowering; public: none",
    ("numba.core.typing.templates", "AttributeTemplate"): "fields of a type of ours; public: infer_getattr takes only this",
    ("numba.core.typing.templates", "infer_global"): "functions that stay plain Python; public: register_jitable, slower",
    ("numba.core.typing.templates", "signature"): "types that arguments are cast to; public: none",
}

NO_REFERENCE_COUNTS: dict[str, Any] = {"_nrt": False}
ONLY_CALLED_BY_KERNELS: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
assert all(hasattr(DefaultOptions, name) for name in (*NO_REFERENCE_COUNTS, *ONLY_CALLED_BY_KERNELS))

__all__ = [
    "AttributeTemplate",
    "InnerCompiler",
    "KernelLibrary",
    "global_compiler_lock",
    "infer_global",
    "signature",
    "target",
]


class _NoMachineCode:
    """Stands for the library's code generator, where Numba would register an environment with running code."""

    def __init__(self, codegen: Any) -> None:
        self._codegen = codegen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)

    def set_env(self, env_name: str, env: Any) -> None:
        """Do nothing: code that never runs needs no environment."""


class _Library(JITCodeLibrary):
    """A library whose functions are not optimized one by one."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout


class _InnerLibrary(_Library):
    """A library to link into others, never run."""

    @property
    def codegen(self) -> Any:
        return _NoMachineCode(self._codegen)

    def finalize(self) -> None:
        """Leave everything to the kernel."""
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        return 0


# Passes for what kernels do not use: closures, `with`, literals as types, overloads that are inlined, rewrites of arrays'
# expressions. LLVM prunes dead branches itself. Most rebuild their picture of the whole function when they are done.
_UNUSED = {
    "AnnotateTypes",
    "DeadBranchPrune",
    "DumpParforDiagnostics",
    "FindLiterallyCalls",
    "InlineClosureLikes",
    "InlineInlinables",
    "InlineOverloads",
    "LiteralPropagationSubPipelinePass",
    "LiteralUnroll",
    "MakeFunctionToJitFunction",
    "NoPythonSupportedFeatureValidation",
    "NopythonRewrites",
    "RewriteDynamicRaises",
    "RewriteSemanticConstants",
    "WithLifting",
}


class InnerCompiler(Compiler):
    """Numba's passes without those that kernels do not need, into a library to link into others."""

    def define_pipelines(self) -> list[Any]:
        """Return the passes; see Numba's class."""
        pipelines = super().define_pipelines()
        for pipeline in pipelines:
            pipeline.passes[:] = [each for each in pipeline.passes if each[0].__name__ not in _UNUSED]
        return pipelines

    def compile_extra(self, func: Any) -> Any:
        """Compile a function; see Numba's class."""
        self.state.library = _InnerLibrary(self.state.targetctx.codegen(), func.__qualname__)
        self.state.library.enable_object_caching()
        return super().compile_extra(func)


class KernelLibrary(_Library):
    """A library that becomes an object file, `code`. What was linked into it belongs to it alone.

    returns: the name of the type that its function returns. undefined: functions that lie elsewhere. ending: of variables'
    names, for which its own name is put.
    """

    code = b""
    returns = ""
    ending = "\0"
    undefined: frozenset[str] = frozenset()

    def add_linking_library(self, library: Any) -> None:
        """Add what a function needs, once."""
        if library not in self._linking_libraries:
            self._linking_libraries.append(library)
            for each in library._linking_libraries:
                self.add_linking_library(each)

    def finalize(self) -> None:
        """Link, optimize, and make machine code."""
        for library in self._linking_libraries:
            self._final_module.link_in(library._final_module, preserve=True)
        for variable in self._final_module.global_variables:
            if variable.name.endswith(self.ending):
                variable.name = variable.name.removesuffix(self.ending) + self.name
        self._optimize_final_module()
        self.undefined = frozenset(each.name for each in self._final_module.functions if each.is_declaration)
        self._final_module.verify()
        self.code = self._codegen._tm.emit_object(self._final_module)
        self._finalized = True

    def _optimize_final_module(self) -> None:
        for function in self._final_module.functions:
            if not function.is_declaration and function.name != self.name:
                function.linkage = Linkage.internal
        tuning = binding.PipelineTuningOptions(speed_level=2)
        # Vectors are explicit.
        tuning.loop_vectorization = tuning.slp_vectorization = tuning.loop_interleaving = False
        passes = binding.create_pass_builder(self._codegen._tm, tuning)
        passes.getModulePassManager().run(self._final_module, passes)


def target() -> Any:
    """Return Numba's context of lowering for this processor."""
    return cpu_target.target_context
