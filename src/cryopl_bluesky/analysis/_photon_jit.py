"""What the compiled photon kernels share: array types, the decorator, four machine instructions."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

Times = types.Array(types.int64, 1, "C", readonly=True)
Bytes = types.Array(types.uint8, 1, "C", readonly=True)
Flags = types.Array(types.boolean, 1, "C")
Integers = types.Array(types.int64, 1, "C")
Rows = types.Array(types.int64, 2, "C")
flag, whole, unsigned, byte, nothing = types.boolean, types.int64, types.uint64, types.uint8, types.void


def kernel(returns: Any, *arguments: Any) -> Any:
    """Decorator: compile for these types now, or take the machine code from the cache on disk."""
    return njit(returns(*arguments), cache=True, nogil=True)


def _high_product(typing, a, b):
    def generate(context, builder, signature, values):
        wide = [builder.zext(value, ir.IntType(128)) for value in values]
        return builder.trunc(builder.lshr(builder.mul(*wide), ir.IntType(128)(64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


def _float_of_bits(typing, bits):
    def generate(context, builder, signature, values):
        return builder.bitcast(values[0], ir.DoubleType())

    return types.float64(types.int64), generate


def _trailing_zeros(typing, number):
    def generate(context, builder, signature, values):
        return builder.cttz(values[0], ir.IntType(1)(1))  # 1: the result for 0 may be anything

    return types.uint64(types.uint64), generate


def _prefetch(typing, array, index):
    def generate(context, builder, signature, values):
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        address = builder.bitcast(builder.gep(data, [values[1]]), ir.IntType(8).as_pointer())
        hints = [ir.IntType(32)(0), ir.IntType(32)(3), ir.IntType(32)(1)]  # to read, into the nearest cache, data
        function = ir.FunctionType(ir.VoidType(), [address.type, *(hint.type for hint in hints)])
        builder.call(builder.module.declare_intrinsic("llvm.prefetch", [address.type], function), [address, *hints])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


high_product: Any = intrinsic(_high_product)
"""Upper 64 bits of the product of two uint64."""

float_of_bits: Any = intrinsic(_float_of_bits)
"""The float64 that has the bits of an int64."""

trailing_zeros: Any = intrinsic(_trailing_zeros)
"""Position of the lowest bit that is set in a uint64, which must not be 0."""

prefetch: Any = intrinsic(_prefetch)
"""Fetch the cache line of an element; the element need not exist."""
