// What compares and picks: absolute value, minimum, maximum, comparisons as numbers, and the choice by a number. They
// hand on bits as they are, so none of them flushes a subnormal number that is handed on.
#pragma once

#include "kernels/activations.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
RECURRA_INLINE typename Vec<T>::Bits sign_of(Vec<T> x) {  // the sign bit alone
  return x.bits() & constant(T(-0.0)).bits();
}

template <class T>
RECURRA_INLINE Vec<T> absolute(Vec<T> x) {
  return Vec<T>::from_bits(x.bits() & ~constant(T(-0.0)).bits());
}

template <class T>
RECURRA_INLINE Vec<T> negative(Vec<T> x) {
  return {-x.raw};
}

// NaN if either is; a where they are equal, and so of two zeros.
template <class T>
RECURRA_INLINE Vec<T> minimum(Vec<T> a, Vec<T> b) {
  return Vec<T>::select((a.raw <= b.raw) | (a.raw != a.raw), a, b);
}
template <class T>
RECURRA_INLINE Vec<T> maximum(Vec<T> a, Vec<T> b) {
  return Vec<T>::select((a.raw >= b.raw) | (a.raw != a.raw), a, b);
}

// 1 where the comparison holds, else 0. With NaN only `differs` holds.
template <class T>
RECURRA_INLINE Vec<T> number_of(typename Vec<T>::Bits mask) {
  return Vec<T>::select(mask, constant(T(1)), Vec<T>::zero());
}
template <class T>
RECURRA_INLINE Vec<T> less(Vec<T> a, Vec<T> b) {
  return number_of<T>(a.raw < b.raw);
}
template <class T>
RECURRA_INLINE Vec<T> less_equal(Vec<T> a, Vec<T> b) {
  return number_of<T>(a.raw <= b.raw);
}
template <class T>
RECURRA_INLINE Vec<T> equals(Vec<T> a, Vec<T> b) {
  return number_of<T>(a.raw == b.raw);
}
template <class T>
RECURRA_INLINE Vec<T> differs(Vec<T> a, Vec<T> b) {
  return number_of<T>(a.raw != b.raw);
}

// condition != 0 ? yes : no, so that NaN is a yes.
template <class T>
RECURRA_INLINE Vec<T> choose(Vec<T> condition, Vec<T> yes, Vec<T> no) {
  return Vec<T>::select(condition.raw != Vec<T>::zero().raw, yes, no);
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
