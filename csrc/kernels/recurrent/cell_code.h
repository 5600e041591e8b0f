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
struct ForwardCode {
  ForwardEpilogue<T> stages[2];
};
template <class T>
struct BackwardCode {
  BackwardEpilogue<T> stages[2];
};

template <class Cell, class T>
constexpr ForwardCode<T> forward_code_of() {
  if constexpr (Cell::kStages > 1) {
    return {{stage<Cell, T>, apply<Cell, T>}};
  } else {
    return {{apply<Cell, T>, nullptr}};
  }
}
template <class Cell, class T>
constexpr BackwardCode<T> backward_code_of() {
  if constexpr (Cell::kStages > 1) {
    return {{reverse_tile<Cell, T>, reverse_stage<Cell, T>}};
  } else {
    return {{reverse_tile<Cell, T>, nullptr}};
  }
}

// In two tables, as forward passes with narrow weights have no need of the second.
template <class T>
inline const ForwardCode<T> &forward_code(std::int32_t compiled) {
  static constexpr ForwardCode<T> codes[kCompiledCells] = {
      forward_code_of<Rnn<false>, T>(), forward_code_of<Rnn<true>, T>(), forward_code_of<Lstm, T>(),
      forward_code_of<Gru, T>(), forward_code_of<GruResetBefore, T>()};
  return codes[compiled];
}
template <class T>
inline const BackwardCode<T> &backward_code(std::int32_t compiled) {
  static constexpr BackwardCode<T> codes[kCompiledCells] = {
      backward_code_of<Rnn<false>, T>(), backward_code_of<Rnn<true>, T>(), backward_code_of<Lstm, T>(),
      backward_code_of<Gru, T>(), backward_code_of<GruResetBefore, T>()};
  return codes[compiled];
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
