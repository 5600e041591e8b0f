// What instructions are: how much they read, and which memory those of a direction may read and write.
#pragma once

#include "cells.h"

namespace recurra {

enum class Access {
  kNone,
  kRead,
  kWriteOnce,      // each of them is written exactly once, and never read
  kReadWriteOnce,  // the same, then read
  kReadWrite,      // written any number of times, each read after the first
};

// How many of its `from` an operation reads.
int arity(std::int32_t operation);

// How many there are of a kind of memory in a direction; of means, whose number is a stage's own, 0.
std::int32_t slots(const Cell &cell, std::int32_t kind, bool backward);

constexpr bool is_read(Access access) { return access != Access::kNone && access != Access::kWriteOnce; }
constexpr bool is_written(Access access) { return access != Access::kNone && access != Access::kRead; }
constexpr bool is_written_once(Access access) {
  return access == Access::kWriteOnce || access == Access::kReadWriteOnce;
}

struct KindRule {
  const char *name;
  Access forward, backward;
};

constexpr KindRule kKindRules[kKindCount] = {
    {"kTemporary", Access::kReadWrite, Access::kReadWrite},
    {"kColumn", Access::kRead, Access::kNone},
    {"kGradient", Access::kNone, Access::kRead},
    {"kOld", Access::kRead, Access::kRead},
    {"kNew", Access::kReadWriteOnce, Access::kRead},
    {"kKept", Access::kReadWriteOnce, Access::kRead},
    {"kHeld", Access::kReadWrite, Access::kReadWrite},
    {"kStaged", Access::kReadWriteOnce, Access::kReadWriteOnce},
    {"kMean", Access::kRead, Access::kRead},
    {"kUnit", Access::kRead, Access::kRead},
    {"kNumber", Access::kRead, Access::kRead},
    {"kInput", Access::kRead, Access::kRead},
    {"kRaw", Access::kRead, Access::kRead},
    {"kIncoming", Access::kNone, Access::kRead},
    {"kOutgoing", Access::kNone, Access::kReadWrite},
    {"kDelta", Access::kNone, Access::kWriteOnce},
};

}  // namespace recurra
