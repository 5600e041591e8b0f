// One build of all kernels: compiled once per ISA, under that ISA's flags and in its namespace.
#include "kernels.h"

#include "kernels/cells/gru.h"
#include "kernels/cells/lstm.h"
#include "kernels/cells/rnn.h"
#include "kernels/elementwise.h"
#include "kernels/recurrent/forward.h"
#include "kernels/softmax.h"
#include "kernels/squares.h"
#include "kernels/training.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

RECURRA_TRAINING(extern, float)
RECURRA_TRAINING(extern, double)

template <class T>
constexpr Kernels<T> kernels() {
  return {padded_units<T>,
          packed_forward_size<T>,
          packed_backward_size<T>,
          pack_forward<T>,
          pack_backward<T>,
          projected_size<T>,
          deltas_size,
          forward_sizes<T>,
          backward_sizes<T>,
          forward<T>,
          backward<T>,
          gradient<T>,
          input_gradient<T>,
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
          scale<T>,
          nullptr};
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
