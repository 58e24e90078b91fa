"""From a Python function to machine code: Numba's compiler, with types of our own and no more passes than needed.

Only imported where something must be compiled, since importing Numba takes long.
"""

import functools
import gc
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, models, register_model, type_callable

from .. import jit
from .instructions import declared_function
from .numba_internals import (
    NO_REFERENCE_COUNTS,
    ONLY_CALLED_BY_KERNELS,
    InnerCompiler,
    KernelLibrary,
    global_compiler_lock,
    infer_global,
    signature,
    target,
)
from .numba_types import numba_type

for _name in ("arithmetic", "folds", "lines", "masks", "memory", "peak", "steps", "threads", "tile"):
    importlib.import_module(f".{_name}", __name__)

# No fastmath: contract would fuse what one processor can fuse and another cannot, arcp and afn would approximate, reassoc
# would add in an order that depends on the unrolling of a loop, nnan and ninf would fold isnan() to False. Without them
# results are the same bits on every processor, and a diverging run is noticed.
OPTIONS: dict[str, Any] = {
    "fastmath": False,
    "error_model": "numpy",
    "nogil": True,
    **NO_REFERENCE_COUNTS,
    **ONLY_CALLED_BY_KERNELS,
    "pipeline_class": InnerCompiler,
}


class _InnerType(types.Dispatcher):
    """An inner function, compiled for kinds of numbers, not once more for each number that a caller writes."""

    def get_call_type(self, context: Any, args: Any, kws: Any) -> Any:
        """Return the signature that a call of these types uses."""
        return super().get_call_type(
            context, tuple(_general(each) for each in args), {k: _general(v) for k, v in kws.items()}
        )


register_model(_InnerType)(models.OpaqueModel)


def _general(kind: Any) -> Any:
    found: Any = types.unliteral(kind)
    return types.int64 if isinstance(found, types.Integer) and found != types.uint64 else found


# Stands for a kernel's symbol in the names of its variables, as long as functions are not linked into it.
_THIS = "this_kernel"
_callable: list[jit.Kernel] = []  # kernels that Numba knows
_dispatchers: list[Any] = []  # of the inner functions that Numba knows


def _make_known() -> None:
    """Let Numba compile each inner function where a kernel calls it."""
    for function in jit.inner_functions[len(_dispatchers) :]:
        _dispatchers.append(numba.njit(**OPTIONS)(function))
        infer_global(function, _InnerType(_dispatchers[-1]))
    for kernel in jit.kernels[len(_callable) :]:
        _callable.append(kernel)
        type_callable(kernel)(functools.partial(_type_of_call, kernel))
        lower_builtin(kernel, types.VarArg(types.Any))(functools.partial(_lower_call, kernel))


def _type_of_call(kernel: jit.Kernel, context: Any) -> Callable:
    def typer(*arguments: Any) -> Any:
        returned = types.none if kernel.returns is None else numba_type(kernel.returns)
        return signature(returned, *map(numba_type, kernel.declared))

    typer.pysig = inspect.signature(kernel.function)  # type: ignore[attr-defined]
    return typer


def _lower_call(kernel: jit.Kernel, context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Call another kernel where it lies, or where a variable says that it lies."""
    packer = context.get_arg_packer(sig.args)
    kind = _function_type(context, sig.return_type, packer)
    if kernel.on_demand:
        called = builder.load(_slot(builder.module, kernel, kind.as_pointer()))
    else:
        called = declared_function(builder.module, kind, kernel.symbol)
    value = builder.call(called, packer.as_arguments(builder, args))
    return context.get_dummy_value() if sig.return_type is types.none else value


def _slot(module: ir.Module, kernel: jit.Kernel, kind: ir.PointerType) -> ir.GlobalVariable:
    """Return the variable that holds a kernel's address."""
    name = kernel.slot_in(_THIS)
    if name not in module.globals:
        variable = ir.GlobalVariable(module, kind, name)
        variable.linkage, variable.initializer = "weak", ir.Constant(kind, None)
    return module.globals[name]


def _function_type(context: Any, returned: Any, packer: Any) -> Any:
    plain = ir.VoidType() if returned is types.none else context.get_value_type(returned)
    return ir.FunctionType(plain, packer.argument_types)


def linked(function: Callable, kinds: tuple[Any, ...], symbol: str) -> KernelLibrary:
    """Compile a function for arguments of these kinds (see records.py), together with the inner functions that it calls.

    Other code calls it by its symbol. Returns Numba's library.
    """
    _make_known()
    collects = gc.isenabled()
    gc.disable()  # the compiler makes millions of objects, and hardly any cycles
    try:
        return _linked(function, tuple(map(numba_type, kinds)), symbol)
    finally:
        if collects:
            gc.freeze()  # and unfreeze: the next collection need not go through all that at once
            gc.unfreeze()
            gc.enable()


@global_compiler_lock
def _linked(function: Callable, arguments: tuple[Any, ...], symbol: str) -> KernelLibrary:
    dispatcher = numba.njit(**OPTIONS)(function)
    dispatcher.compile(arguments)
    result = dispatcher.overloads[arguments]
    returned, context = result.signature.return_type, target()
    library = KernelLibrary(context.codegen(), symbol)
    library.returns, library.ending = str(returned), _THIS
    module = library.create_ir_module(symbol)
    # The function that others call, by the rules of C, and in it the call of Numba's, which knows other rules.
    packer = context.get_arg_packer(arguments)
    entry = ir.Function(module, _function_type(context, returned, packer), symbol)
    builder = ir.IRBuilder(entry.append_basic_block())
    body = ir.Function(module, context.call_conv.get_function_type(returned, arguments), result.fndesc.llvm_func_name)
    values = packer.from_arguments(builder, entry.args)
    _, value = context.call_conv.call_function(builder, body, returned, arguments, values)
    if returned is types.none:
        builder.ret_void()
    else:
        builder.ret(value)
    library.add_ir_module(module)
    library.add_linking_library(result.library)
    library.finalize()
    return library
