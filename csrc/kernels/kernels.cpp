// One build of all kernels: compiled once per ISA, under that ISA's flags and in its namespace.
#include "kernels.h"

#include "kernels/cells/gru.h"
#include "kernels/cells/lstm.h"
#include "kernels/cells/rnn.h"
#include "kernels/elementwise.h"
#include "kernels/gradients/inputs.h"
#include "kernels/gradients/weights.h"
#include "kernels/linear.h"
#include "kernels/recurrent/forward.h"
#include "kernels/softmax.h"
#include "kernels/squares.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

template <class Cell, class T>
constexpr CellKernels<T> cell_kernels() {
  return {Cell::kGates,
          Cell::kKept,
          Cell::kDeltas,
          Cell::kCellState,
          packed_forward<Cell, T>,
          packed_backward<Cell, T>,
          pack_forward<Cell, T>,
          pack_backward<Cell, T>,
          projected<Cell, T>,
          forward_work<Cell, T>,
          forward_shared<Cell, T>,
          backward_work<Cell, T>,
          forward<Cell, T>,
          backward<Cell, T>,
          gradient<Cell, T>,
          input_gradient<Cell, T>};
}

template <class T>
constexpr Kernels<T> kernels() {
  return {{cell_kernels<Rnn<false>, T>(), cell_kernels<Rnn<true>, T>(), cell_kernels<Lstm, T>(), cell_kernels<Gru, T>(),
           cell_kernels<GruResetBefore, T>()},
          gradient_work<T>,
          input_gradient_work<T>,
          linear_packed<T>,
          pack_linear_forward<T>,
          pack_linear_backward<T>,
          linear_work<T>,
          linear_forward<T>,
          linear_backward<T>,
          adam<T>,
          sgd<T>,
          sigmoid_of<T>,
          tanh_of<T>,
          softmax<T>,
          mse<T>,
          add_squares<T>,
          scale<T>};
}

#define RECURRA_STRING_(text) #text
#define RECURRA_STRING(text) RECURRA_STRING_(text)

const KernelTable &kernel_table() {
  static constexpr KernelTable table{&RECURRA_STRING(RECURRA_ISA_NAMESPACE)[sizeof "isa"], kVectorBytes,
                                     kernels<float>(), kernels<double>()};
  return table;
}

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
