// What the operating system says about the machine.
#pragma once

#include "kernels.h"

namespace recurra {

// CPUs that this process may run on: on Linux those of its affinity, on macOS the fast ones, elsewhere all. At least 1.
int usable_cpus();

// Of one CPU's second cache, or its share of one that several have; 1 MB where that isn't known.
Index l2_cache_bytes();

}  // namespace recurra
