// The compiled epilogues of every cell, by its id.
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
  ForwardEpilogue<T> forward;
  BackwardEpilogue<T> backward;
};

template <class Cell, class T>
constexpr CellCode<T> code_of() {
  return {forward_epilogue<Cell, T>(), backward_epilogue<Cell, T>()};
}

template <class T>
inline const CellCode<T> &cell_code(CellId cell) {
  static constexpr CellCode<T> codes[kCellCount] = {code_of<Rnn<false>, T>(), code_of<Rnn<true>, T>(),
                                                    code_of<Lstm, T>(), code_of<Gru, T>(),
                                                    code_of<GruResetBefore, T>()};
  return codes[cell];
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
