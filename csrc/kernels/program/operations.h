// The arithmetic of programs, by name, so that a loop can be a template over it.
#pragma once

#include "kernels/functions/functions.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
RECURRA_INLINE Vec<T> same(Vec<T> a) {
  return a;
}
template <class T>
RECURRA_INLINE Vec<T> sum(Vec<T> a, Vec<T> b) {
  return a + b;
}
template <class T>
RECURRA_INLINE Vec<T> difference(Vec<T> a, Vec<T> b) {
  return a - b;
}
template <class T>
RECURRA_INLINE Vec<T> product(Vec<T> a, Vec<T> b) {
  return a * b;
}
template <class T>
RECURRA_INLINE Vec<T> quotient(Vec<T> a, Vec<T> b) {
  return a / b;
}
// a * b - c with one rounding.
template <class T>
RECURRA_INLINE Vec<T> fms(Vec<T> a, Vec<T> b, Vec<T> c) {
  return fma(a, b, negative(c));
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
