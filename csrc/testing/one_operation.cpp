// Compiled once per ISA, under its flags and in its namespace, as kernels.cpp is.
#include "testing/one_operation.h"

#include "kernels/program/interpreter.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

template <class T>
void one_operation(std::int32_t operation, Index count, T *a, T *b, T *c, T *to) {
  constexpr Index V = Vec<T>::size;
  const Place<T> places[] = {{to, 0, V}, {a, 0, V}, {b, 0, V}, {c, 0, V}};
  const Instruction instruction{operation, 0, {1, 2, 3}};
  run_program(&instruction, 1, places, 1, count / V);
}

}  // namespace

testing::OneOperations one_operations() { return {one_operation<float>, one_operation<double>}; }

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
