// Written by cmake/known_cells.py.
#pragma once

#include <cstddef>
#include <iterator>

#include "cells.h"

namespace recurra {

// A description as checked_cell takes it, and what its parts are called, separated by spaces.
struct KnownCell {
  const char *name, *gates, *states;
  const std::int32_t *code;
  std::size_t size;
  const double *constants;
  std::size_t constant_count;
};

// clang-format off
constexpr std::int32_t kRnnTanhCode[] = {
    1, 1, 0, 0, 4, 1, 1, 1, 1, 0, 0, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 6, 3, 1, 0, 0, 0, 1, 1, 1, 1, 1, 2, 1, 1, 3, 1, 1,
    0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 1, 2, 0, 0, 0, 1, 0, 4, 0, 10, 0, 13, 0, 15,
    0, 23, 2, 1, 0, 0, 9, 0, 2, 2, 3, 5, 5, 4, 0, 0,
};
constexpr double kRnnTanhConstants[] = {
    1.0,
};
constexpr std::int32_t kRnnReluCode[] = {
    1, 1, 0, 0, 4, 1, 1, 1, 1, 0, 0, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 6, 3, 1, 0, 0, 0, 1, 1, 1, 1, 1, 2, 1, 1, 3, 1, 1,
    0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 1, 2, 0, 0, 0, 1, 0, 4, 0, 10, 0, 13, 0, 15,
    0, 11, 2, 1, 3, 0, 12, 0, 3, 2, 0, 16, 5, 0, 4, 3,
};
constexpr double kRnnReluConstants[] = {
    0.0,
};
constexpr std::int32_t kLstmCode[] = {
    1, 2, 0, 0, 4, 4, 4, 1, 4, 0, 0, 1, 4, 0, 4, 4, 1, 1, 0, 0, 7, 0, 26, 29, 1, 0, 0, 0, 4, 1, 1, 4, 1, 2, 4, 1, 3, 4,
    1, 0, 0, 0, 0, 0, 1, 1, 1, 0, 2, 2, 2, 0, 3, 3, 3, 0, 1, 0, 4, 0, 0, 1, 2, 3, 0, 0, 1, 0, 0, 0, 12, 0, 0, 0, 1, 0,
    2, 0, 3, 0, 0, 1, 0, 0, 12, 17, 0, 0, 0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 1, 0, 1, 1, 1, 2, 1, 3, 3, 1, 4, 0, 4,
    1, 5, 0, 5, 1, 5, 2, 5, 3, 10, 0, 13, 0, 13, 1, 14, 1, 15, 0, 15, 1, 15, 2, 15, 3, 22, 0, 7, 0, 0, 0, 14, 0, 0, 0,
    22, 1, 8, 0, 0, 0, 15, 1, 0, 0, 23, 2, 9, 0, 0, 0, 16, 2, 0, 0, 22, 3, 10, 0, 0, 0, 17, 3, 0, 0, 5, 0, 0, 2, 0, 7,
    13, 11, 1, 0, 23, 0, 13, 0, 0, 5, 12, 3, 0, 0, 23, 0, 13, 0, 0, 9, 1, 14, 14, 14, 9, 2, 15, 15, 15, 9, 3, 16, 16,
    18, 9, 4, 17, 17, 17, 5, 5, 17, 19, 0, 5, 6, 19, 0, 0, 9, 0, 0, 0, 18, 5, 25, 4, 6, 0, 7, 0, 5, 0, 20, 5, 4, 11, 0,
    0, 5, 5, 14, 0, 0, 5, 21, 15, 0, 0, 5, 0, 16, 0, 0, 5, 22, 1, 0, 0, 5, 23, 2, 4, 0, 5, 24, 3, 5, 0,
};
constexpr double kLstmConstants[] = {
    1.0,
};
constexpr std::int32_t kGruCode[] = {
    1, 1, 0, 0, 4, 4, 3, 1, 3, 0, 0, 1, 4, 0, 3, 4, 1, 1, 0, 0, 5, 0, 22, 25, 1, 0, 0, 0, 3, 1, 1, 3, 1, 2, 3, 1, 3, 3,
    1, 0, 2, 2, -1, 0, 0, 0, 0, 0, 1, 1, 1, 0, -1, -1, 2, 0, 1, 1, 3, 0, 0, 1, 2, 0, 0, 1, 0, 0, 0, 11, 0, 0, 0, 1, 0,
    2, 0, 3, 0, 0, 1, 0, 0, 11, 14, 0, 0, 0, 0, 1, 0, 2, 0, 3, 0, 4, 1, 0, 1, 1, 1, 2, 1, 3, 3, 0, 4, 0, 5, 0, 5, 1, 5,
    2, 5, 3, 10, 0, 13, 0, 14, 0, 15, 0, 15, 1, 15, 2, 15, 3, 0, 11, 8, 0, 0, 22, 0, 6, 0, 0, 0, 12, 0, 0, 0, 22, 1, 7,
    0, 0, 0, 13, 1, 0, 0, 5, 2, 9, 1, 0, 4, 1, 15, 1, 0, 7, 0, 8, 0, 5, 23, 0, 0, 0, 0, 0, 14, 0, 0, 0, 7, 10, 1, 0, 2,
    9, 0, 12, 12, 12, 9, 1, 13, 13, 13, 5, 17, 13, 16, 0, 9, 2, 14, 14, 15, 5, 3, 14, 16, 0, 4, 4, 15, 13, 0, 8, 3, 9,
    16, 3, 5, 4, 16, 4, 0, 5, 20, 1, 3, 0, 5, 1, 2, 4, 0, 0, 18, 1, 0, 0, 5, 2, 11, 1, 0, 5, 21, 12, 1, 0, 5, 19, 0, 2,
    0,
};
constexpr double kGruConstants[] = {
    1.0,
};
constexpr std::int32_t kGruResetBeforeCode[] = {
    1, 1, 0, 0, 4, 3, 3, 2, 3, 1, 0, 2, 4, 2, 2, 3, 2, 2, 0, 1, 4, 0, 23, 24, 1, 0, 0, 0, 3, 1, 1, 3, 1, 2, 3, 1, 3, 3,
    1, 0, 0, 0, 0, 0, 1, 1, 1, 0, 2, 2, 2, 0, 1, 0, 2, 0, 1, 1, 2, 1, 2, 0, 1, 2, 2, 0, 0, 1, 0, 0, 0, 8, 0, 1, 1, 0, 0,
    8, 3, 0, 0, 0, 1, 0, 2, 0, 0, 1, 0, 0, 11, 9, 0, 1, 1, 0, 0, 20, 4, 0, 1, 0, 0, 0, 1, 0, 2, 0, 3, 1, 0, 1, 1, 1, 2,
    2, 1, 3, 0, 4, 0, 5, 0, 5, 1, 5, 2, 5, 3, 6, 0, 6, 1, 7, 0, 10, 0, 13, 0, 14, 0, 15, 0, 15, 1, 15, 2, 22, 0, 4, 0,
    0, 0, 10, 0, 0, 0, 22, 1, 5, 0, 0, 0, 11, 1, 0, 0, 5, 16, 8, 0, 0, 0, 12, 16, 0, 0, 5, 14, 8, 1, 0, 4, 15, 17, 1, 0,
    23, 0, 6, 0, 0, 0, 13, 0, 0, 0, 7, 9, 15, 0, 14, 9, 0, 11, 11, 11, 5, 14, 11, 18, 0, 9, 1, 13, 13, 17, 5, 2, 13, 18,
    0, 4, 3, 17, 11, 0, 8, 2, 8, 18, 2, 5, 3, 18, 3, 0, 5, 21, 0, 2, 0, 5, 22, 1, 3, 0, 5, 0, 7, 8, 0, 9, 1, 10, 10, 10,
    7, 19, 7, 10, 14, 5, 20, 0, 1, 0,
};
constexpr double kGruResetBeforeConstants[] = {
    1.0,
};

// By CompiledCell.
constexpr KnownCell kKnownCells[kCompiledCells] = {
    {"rnn_tanh", "a", "h", kRnnTanhCode, std::size(kRnnTanhCode), kRnnTanhConstants, std::size(kRnnTanhConstants)},
    {"rnn_relu", "a", "h", kRnnReluCode, std::size(kRnnReluCode), kRnnReluConstants, std::size(kRnnReluConstants)},
    {"lstm", "i f g o", "h c", kLstmCode, std::size(kLstmCode), kLstmConstants, std::size(kLstmConstants)},
    {"gru", "r z n", "h", kGruCode, std::size(kGruCode), kGruConstants, std::size(kGruConstants)},
    {"gru_reset_before", "r z n", "h", kGruResetBeforeCode, std::size(kGruResetBeforeCode), kGruResetBeforeConstants, std::size(kGruResetBeforeConstants)},
};
// clang-format on

}  // namespace recurra
