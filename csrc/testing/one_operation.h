// One operation of a program on arrays, as the interpreter of each ISA runs it; for bits.cpp.
#pragma once

#include "kernels.h"
#include "program.h"

namespace recurra {
namespace testing {

// to = operation(a, b, c) of `count` numbers, a multiple of 16 so that they are whole vectors on every ISA.
template <class T>
using OneOperation = void (*)(std::int32_t operation, Index count, T *a, T *b, T *c, T *to);

struct OneOperations {
  OneOperation<float> f32;
  OneOperation<double> f64;
};

}  // namespace testing

// clang-format off
namespace isa_baseline { testing::OneOperations one_operations(); }
namespace isa_avx2 { testing::OneOperations one_operations(); }
namespace isa_avx512 { testing::OneOperations one_operations(); }
namespace isa_neon { testing::OneOperations one_operations(); }
// clang-format on

}  // namespace recurra
