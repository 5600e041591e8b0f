// Runs a program, instruction by instruction, each over a whole strip of vectors. What it costs to find an
// instruction's loop is paid once per strip, and what the instructions hand to each other stays in L1.
#pragma once

#include "kernels/program/operations.h"
#include "kernels/program/strip.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// Not inlined, and by values alone: what a call has beside the operations' loops would take registers from them.
template <class T>
__attribute__((noinline)) void run_strip(const Instruction *first, const Instruction *end, const Place<T> *operands,
                                         Index Place<T>::*stride, Index count) {
  const Strip<T> strip{operands, stride, count};
  for (const Instruction *instruction = first; instruction < end; ++instruction) {
    const Instruction &i = *instruction;
    switch (i.operation) {
        // clang-format off
      case kMove: apply_to<T, same>(strip, i); break;
      case kNegate: apply_to<T, negative>(strip, i); break;
      case kAbsolute: apply_to<T, absolute>(strip, i); break;
      case kAdd: apply_to<T, sum>(strip, i); break;
      case kSubtract: apply_to<T, difference>(strip, i); break;
      case kMultiply: apply_to<T, product>(strip, i); break;
      case kDivide: apply_to<T, quotient>(strip, i); break;
      case kFma: apply_to<T, fma>(strip, i); break;
      case kFms: apply_to<T, fms>(strip, i); break;
      case kFnma: apply_to<T, fnma>(strip, i); break;
      case kMinimum: apply_to<T, minimum>(strip, i); break;
      case kMaximum: apply_to<T, maximum>(strip, i); break;
      case kLess: apply_to<T, less>(strip, i); break;
      case kLessEqual: apply_to<T, less_equal>(strip, i); break;
      case kEqual: apply_to<T, equals>(strip, i); break;
      case kNotEqual: apply_to<T, differs>(strip, i); break;
      case kSelect: apply_to<T, choose>(strip, i); break;
      case kSquareRoot: apply_to<T, square_root>(strip, i); break;
      case kExp: apply_to<T, exp>(strip, i); break;
      case kExpm1: apply_to<T, expm1>(strip, i); break;
      case kLog: apply_to<T, log>(strip, i); break;
      case kLog1p: apply_to<T, log1p>(strip, i); break;
      case kSigmoid: apply_to<T, sigmoid>(strip, i); break;
      case kTanh: apply_to<T, tanh>(strip, i); break;
      case kSin: apply_to<T, sin>(strip, i); break;
      case kCos: apply_to<T, cos>(strip, i); break;
      case kErf: apply_to<T, erf>(strip, i); break;
      default: break;
        // clang-format on
    }
  }
}

// How many operands an operation reads.
RECURRA_INLINE int operands_read(std::int32_t operation) {
  constexpr std::uint32_t kTwo = 1u << kAdd | 1u << kSubtract | 1u << kMultiply | 1u << kDivide | 1u << kMinimum |
                                 1u << kMaximum | 1u << kLess | 1u << kLessEqual | 1u << kEqual | 1u << kNotEqual;
  constexpr std::uint32_t kThree = 1u << kFma | 1u << kFms | 1u << kFnma | 1u << kSelect;
  static_assert(kOperationCount <= 32, "an operation is a bit here");
  return 1 + static_cast<int>(kTwo >> operation & 1) + 2 * static_cast<int>(kThree >> operation & 1);
}

// Whether one stride leads through all vectors of an instruction's operands, from row to row as within a row.
template <class T>
RECURRA_INLINE bool is_flat(const Instruction &instruction, const Place<T> *operands, Index vectors) {
  const auto off = [&](std::int32_t number) { return operands[number].row - vectors * operands[number].vector; };
  const int read = operands_read(instruction.operation);
  const std::int32_t second = read < 2 ? instruction.to : instruction.from[1];
  const std::int32_t third = read < 3 ? instruction.to : instruction.from[2];
  return (off(instruction.to) | off(instruction.from[0]) | off(second) | off(third)) == 0;
}

// Runs instructions strip by strip, `turns` of them, one stride `across` apart. It moves copies of the operands, so
// that the loops needn't know of turns: they are small for it, and faster where there is one strip.
template <class T>
__attribute__((noinline)) void run_strips(const Instruction *first, const Instruction *end, const Place<T> *operands,
                                          Index Place<T>::*stride, Index count, Index Place<T>::*across, Index turns) {
  constexpr int kMost = 8;  // at once
  Instruction instructions[kMost];
  Place<T> places[4 * kMost];
  while (first < end) {
    Instruction *last = instructions;
    Place<T> *place = places;
    for (; first < end && last < instructions + kMost; ++first, ++last, place += 4) {
      const std::int32_t number = static_cast<std::int32_t>(place - places);
      *last = {first->operation, number, {number + 1, number + 2, number + 3}};
      place[0] = operands[first->to];
      const int read = operands_read(first->operation);  // what it doesn't read may have no place
      place[1] = operands[first->from[0]];
      place[2] = operands[read < 2 ? first->to : first->from[1]];
      place[3] = operands[read < 3 ? first->to : first->from[2]];
    }
    for (Index turn = 1;; ++turn) {
      run_strip(instructions, last, places, stride, count);
      if (turn == turns) break;
      for (Place<T> *moved = places; moved < place; ++moved) {
        __asm__ volatile("");  // else this rare loop becomes a kilobyte of gathers and scatters
        moved->base += moved->*across;
      }
    }
  }
}

// Runs `count` instructions, whose operands' numbers count places, over all vectors of `rows` x `vectors`, of which
// there is at least one. `to` may be a place that the instruction reads, and must not overlap with it otherwise. No
// number is checked here.
template <class T>
void run_program(const Instruction *first, Index count, const Place<T> *operands, Index rows, Index vectors) {
  constexpr Index Place<T>::*kRow = &Place<T>::row, Place<T>::*kVector = &Place<T>::vector;
  const Instruction *const end = first + count;
  if (rows == 1 || vectors == 1) {
    run_strip(first, end, operands, rows == 1 ? kVector : kRow, rows * vectors);
    return;
  }
  while (first < end) {
    const bool flat = is_flat(*first, operands, vectors);
    const Instruction *next = first + 1;
    while (next < end && is_flat(*next, operands, vectors) == flat) {
      ++next;
    }
    if (flat) {
      run_strip(first, next, operands, kVector, rows * vectors);
    } else if (rows > vectors) {
      run_strips(first, next, operands, kRow, rows, kVector, vectors);
    } else {
      run_strips(first, next, operands, kVector, vectors, kRow, rows);
    }
    first = next;
  }
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
