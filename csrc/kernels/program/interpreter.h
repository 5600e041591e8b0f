// Runs a program, instruction by instruction, each over a whole strip: all rows and vectors of a tile. So what it takes
// to find an instruction's loop is paid once per strip, and what a strip's values need is L1 alone.
#pragma once

#include "kernels/program/operations.h"
#include "kernels/program/walk.h"
#include "program.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// How many operands an operation reads.
RECURRA_INLINE int operands_of(std::int32_t operation) {
  constexpr std::uint32_t kOfTwo = 1u << kAdd | 1u << kSubtract | 1u << kMultiply | 1u << kDivide | 1u << kMinimum |
                                   1u << kMaximum | 1u << kLess | 1u << kLessEqual | 1u << kEqual | 1u << kNotEqual;
  constexpr std::uint32_t kOfThree = 1u << kFma | 1u << kFms | 1u << kFnma | 1u << kSelect;
  static_assert(kOperationCount <= 32, "operations are bits here");
  return 1 + static_cast<int>(kOfTwo >> operation & 1) + 2 * static_cast<int>(kOfThree >> operation & 1);
}

// The longer of the two loops inside; one loop where every place has the vectors of the outer one's next turn after
// those of this one.
template <class T>
RECURRA_INLINE Walk<T> walk_of(const Instruction &instruction, const Place<T> *operands, Index rows, Index vectors) {
  const bool by_rows = rows > vectors;
  Walk<T> walk;
  walk.outer = by_rows ? vectors : rows;
  walk.inner = by_rows ? rows : vectors;
  const std::int32_t numbers[] = {instruction.to, instruction.from[0], instruction.from[1], instruction.from[2]};
  const int read = operands_of(instruction.operation);
  bool one_loop = true;
  for (int i = 0; i < Walk<T>::kMostPlaces; ++i) {
    const Place<T> &place = operands[numbers[i <= read ? i : 0]];  // what it doesn't read may have no place here
    walk.at[i] = place.base;
    walk.step[i] = by_rows ? place.row : place.vector;
    walk.turn[i] = by_rows ? place.vector : place.row;
    one_loop = one_loop & (walk.turn[i] == walk.inner * walk.step[i]);
  }
  if (one_loop) {
    walk.inner *= walk.outer;
    walk.outer = 1;
  }
  return walk;
}

// `to` of an instruction may be a place that it reads, but must not overlap with one otherwise. Nothing is checked.
template <class T>
void run_program(const Instruction *first, Index count, const Place<T> *operands, Index rows, Index vectors) {
  for (const Instruction *instruction = first; instruction < first + count; ++instruction) {
    const Walk<T> walk = walk_of(*instruction, operands, rows, vectors);
    switch (instruction->operation) {
      case kMove:
        two_by_two<T, same>(walk);
        break;
      case kNegate:
        two_by_two<T, negative>(walk);
        break;
      case kAbsolute:
        two_by_two<T, absolute>(walk);
        break;
      case kAdd:
        two_by_two<T, sum>(walk);
        break;
      case kSubtract:
        two_by_two<T, difference>(walk);
        break;
      case kMultiply:
        two_by_two<T, product>(walk);
        break;
      case kDivide:
        two_by_two<T, quotient>(walk);
        break;
      case kFma:
        two_by_two<T, fma>(walk);
        break;
      case kFms:
        two_by_two<T, fms>(walk);
        break;
      case kFnma:
        two_by_two<T, fnma>(walk);
        break;
      case kMinimum:
        two_by_two<T, minimum>(walk);
        break;
      case kMaximum:
        two_by_two<T, maximum>(walk);
        break;
      case kLess:
        two_by_two<T, less>(walk);
        break;
      case kLessEqual:
        two_by_two<T, less_equal>(walk);
        break;
      case kEqual:
        two_by_two<T, equals>(walk);
        break;
      case kNotEqual:
        two_by_two<T, differs>(walk);
        break;
      case kSelect:
        two_by_two<T, choose>(walk);
        break;
      case kSquareRoot:
        two_by_two<T, square_root>(walk);
        break;
      case kExp:
        one_by_one<T, exp>(walk);
        break;
      case kExpm1:
        one_by_one<T, expm1>(walk);
        break;
      case kLog:
        one_by_one<T, log>(walk);
        break;
      case kLog1p:
        one_by_one<T, log1p>(walk);
        break;
      case kSigmoid:
        one_by_one<T, sigmoid>(walk);
        break;
      case kTanh:
        one_by_one<T, tanh>(walk);
        break;
      case kSin:
        one_by_one<T, sin>(walk);
        break;
      case kCos:
        one_by_one<T, cos>(walk);
        break;
      case kErf:
        one_by_one<T, erf>(walk);
        break;
      default:
        break;
    }
  }
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
