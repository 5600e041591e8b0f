// The loops of instructions over a strip of vectors.
#pragma once

#include "kernels.h"
#include "kernels/simd.h"
#include "program.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

// The vector of row r and vector v is at base + r * row + v * vector; a stride is 0 where all share one.
template <class T>
struct Place {
  T *base;
  Index row, vector;
};

// `count` vectors of every operand from its base on, a stride apart.
template <class T>
struct Strip {
  const Place<T> *operands;
  Index Place<T>::*stride;
  Index count;
};

// Where an operand's next vector is. Local variables of a loop, since for all the compiler knows a vector that is
// stored may change what an operand says.
template <class T>
struct Position {
  T *at;
  Index stride;

  RECURRA_INLINE Position(const Strip<T> &strip, std::int32_t number)
      : at(strip.operands[number].base), stride(strip.operands[number].*strip.stride) {}
  RECURRA_INLINE Vec<T> next() {
    const Vec<T> value = Vec<T>::load(at);
    at += stride;
    return value;
  }
  RECURRA_INLINE void put(Vec<T> value) {
    value.store(at);
    at += stride;
  }
};

// One vector after the other: none waits for another, so the processor overlaps them by itself, and loops that do two
// at a time were larger and no faster.
template <class T, Vec<T> (*function)(Vec<T>)>
RECURRA_INLINE void apply_to(const Strip<T> &strip, const Instruction &instruction) {
  Position<T> to(strip, instruction.to), a(strip, instruction.from[0]);
  Index left = strip.count;
  do {
    to.put(function(a.next()));
  } while (--left > 0);
}
template <class T, Vec<T> (*function)(Vec<T>, Vec<T>)>
RECURRA_INLINE void apply_to(const Strip<T> &strip, const Instruction &instruction) {
  Position<T> to(strip, instruction.to), a(strip, instruction.from[0]), b(strip, instruction.from[1]);
  Index left = strip.count;
  do {
    const Vec<T> first = a.next(), second = b.next();
    to.put(function(first, second));
  } while (--left > 0);
}
template <class T, Vec<T> (*function)(Vec<T>, Vec<T>, Vec<T>)>
RECURRA_INLINE void apply_to(const Strip<T> &strip, const Instruction &instruction) {
  Position<T> to(strip, instruction.to), a(strip, instruction.from[0]), b(strip, instruction.from[1]),
      c(strip, instruction.from[2]);
  Index left = strip.count;
  do {
    const Vec<T> first = a.next(), second = b.next(), third = c.next();
    to.put(function(first, second, third));
  } while (--left > 0);
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
