// The compiled epilogues of the cells that have some, by stage.
#pragma once

#include "kernels/cells/gru.h"
#include "kernels/cells/lstm.h"
#include "kernels/cells/rnn.h"
#include "kernels/recurrent/backward_epilogue.h"
#include "kernels/recurrent/forward_epilogue.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class T>
struct CellCode {
  ForwardEpilogue<T> forward[2];
  BackwardEpilogue<T> backward[2];
};

template <class Cell, class T>
constexpr CellCode<T> code_of() {
  if constexpr (Cell::kStages > 1) {
    return {{stage<Cell, T>, apply<Cell, T>}, {reverse_tile<Cell, T>, reverse_stage<Cell, T>}};
  } else {
    return {{apply<Cell, T>, nullptr}, {reverse_tile<Cell, T>, nullptr}};
  }
}

template <class T>
inline const CellCode<T> &cell_code(std::int32_t compiled) {
  static constexpr CellCode<T> codes[kCompiledCells] = {code_of<Rnn<false>, T>(), code_of<Rnn<true>, T>(),
                                                        code_of<Lstm, T>(), code_of<Gru, T>(),
                                                        code_of<GruResetBefore, T>()};
  return codes[compiled];
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
