// Arithmetic on sizes.
#pragma once

#include "kernels.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

constexpr Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }
constexpr Index smaller(Index a, Index b) { return a < b ? a : b; }
constexpr Index larger(Index a, Index b) { return a > b ? a : b; }

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
