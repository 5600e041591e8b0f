// Which build of the kernels runs: chosen once, from CPUID, the operating system and RECURRA_ISA.
#pragma once

#include <vector>

#include "kernels.h"

namespace recurra {

// The kernels of the ISA in use. The first call chooses: the best one that was built and that CPU and operating
// system support, or the one RECURRA_ISA names. Throws std::runtime_error when that one is unknown or unavailable.
// Call it from a bound function, not from module initialisation: there pybind11 makes an ImportError of it.
const KernelTable &active_kernels();

// The same, in one precision.
template <class T>
const Kernels<T> &kernels_of();
template <>
inline const Kernels<float> &kernels_of<float>() {
  return active_kernels().f32;
}
template <>
inline const Kernels<double> &kernels_of<double>() {
  return active_kernels().f64;
}

// Those that compute with a form of weights. Of narrow ones they are forward passes alone, and all else is null.
const Kernels<float> &kernels_with(Weights weights);

struct BuildInfo {
  const char *version;                       // of the package
  const char *compiler;                      // name and version
  const char *flags;                         // common ones, then those of each ISA
  std::vector<const char *> isas;            // built, weakest first
  std::vector<const char *> isas_available;  // those of them that this machine runs
  const char *isa;                           // in use
};

// Throws what active_kernels() throws.
BuildInfo build_info();

}  // namespace recurra
