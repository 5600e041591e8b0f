// What crosses between the kernels, compiled once per ISA, and the rest: plain data and function pointers.
// No functions with bodies here: an inline function compiled under two instruction sets would be one symbol with two
// contents, and the linker might keep the AVX-512 one for an older CPU.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cells.h"

namespace recurra {

using Index = std::ptrdiff_t;

// The schedule of one call. It decides where and when a number is computed, never its value.
struct Plan {
  int threads = 0;  // team size
  int split = 0;    // what the team shares out: 0 nothing, 1 batch rows, 2 directions, 3 hidden units
  int fused = 0;    // 1: each step multiplies its own input; 0: the input projection is hoisted, chunk by chunk
  Index chunk = 0;  // time steps in a hoisted chunk
  // 1: the recurrent weights exceed half of L2, so odd steps take the panels in reverse order, to use first what L2
  // still holds, and each panel prefetches the next. A single row always alternates, for what L1 holds.
  int alternate = 0;
  int tile_rows = 0;       // largest number of batch rows in a register tile
  Index depth_block = 0;   // depth of a product done over all rows before the next block of its panel is touched
  Index delta_blocks = 0;  // blocks of kBlockRows rows that BPTT visits before their deltas are multiplied; 0: all rows
};

// Rows summed from zero before they are added to the total. It fixes the order of every weight gradient's sum, so it
// is the same on all machines. With 128, long sums stay accurate, and a panel of a block, 16 KB on AVX2, stays in L1
// while it is multiplied by a band of deltas; with 256 rows products at H=512 reached 50 instead of 68 GFLOP/s.
constexpr Index kBlockRows = 128;

// Chains of a sum of squares: the i-th square is added to chain i mod 8, so it fixes the order of that sum. One chain
// would wait four cycles for each addition.
constexpr Index kSquareChains = 8;

// The (time, sequence) rows of a batch, longest sequence first, so that the sequences alive at a step are a prefix.
// Compact arrays hold only the rows that exist: row (t, b) is at offset[t] + b. What is a sequence here may be a part
// of one of the caller's, from one reset to the next.
struct Rows {
  Index steps;
  Index batch;
  const Index *order;     // (batch) sorted position -> place in arrays of states
  const Index *sequence;  // (batch) sorted position -> the caller's sequence
  const Index *begin;     // (batch) sorted position -> the step of that sequence which is step 0 here
  const Index *alive;     // (steps + 1) sequences longer than t; 0 at the end
  const Index *offset;    // (steps + 1) prefix sums of alive; the total at the end
};

// Rows of features in memory, either compact (above) or the caller's own array, where row (t, b) is at
// base + (begin[b] + t) * step_stride + sequence[b] * row_stride. Strides count elements. A null base means "not
// given".
template <class T>
struct RowView {
  T *base;
  Index step_stride;
  Index row_stride;
  bool compact;
};

// Gradients of the pre-activations, rows in the order BPTT visits them: row r is at base + (r & wrap) * stride. The
// wrap is -1, or 2ⁿ - 1 of a ring of whole blocks, which holds the rows that are still needed.
template <class T>
struct Deltas {
  T *base;
  Index stride, wrap;
};

// Lets a long call be interrupted. `poll` returns true when the work should stop; it is called after every `budget`
// multiply-adds or so. `barrier` waits until the whole team has called it, and returns false when the work should stop.
struct Worker {
  Index credit;
  bool (*poll)(Worker *);
  bool (*barrier)(Worker *);
  void *shared;
  int member, members;
};

// A cell and its sizes: features of x, units, and units of h where the cell projects, else hidden_size again.
struct CellShape {
  const Cell *cell;
  Index input_size, hidden_size, projected_size;
};

// How matrices of weights are stored, and packed. With other than full weights all else is float32: biases, unit
// vectors, scalars, states.
enum class Weights : std::int32_t {
  kFull,      // as they are computed with
  kBfloat16,  // the upper half of a float32
  kFloat16,   // IEEE's
  kInt8,      // times a scale for each row
};

// Writes one direction of one layer's parameters as the kernels read them: weights as panels.
template <class T>
struct PackTask {
  CellShape shape;
  // By the cell's table; biases may be null. Matrices are arrays of T, or of std::uint16_t or std::int8_t.
  const void *parameters[kMaxParameters];
  const float *scales[kMaxParameters];  // of int8 matrices, one of each row
  T *to;
  Worker *worker;
};

// One direction of one layer over the sorted rows [first, last).
template <class T>
struct ForwardTask {
  CellShape shape;
  Rows rows;
  Index first, last;
  bool reverse;
  const T *packed;  // from pack_forward
  RowView<const T> x;
  const Index *tokens;  // compact, instead of x: where each row's only 1 is, or which row of the table is meant
  const T *table;       // (alphabet, input_size) behind tokens, or null: one-hot rows
  Index alphabet;       // rows of the table, 0 without
  const RowView<const T> *inputs;  // (cell->input_count)
  RowView<T> out;                  // h_t, (…, projected_size)
  RowView<T> copy;                 // h_t once more, or null
  // Of every state, (batch, its size) in the caller's order; initial ones may be null for zeros, and final ones may
  // take their place in memory.
  const T *initial[kMaxStates];
  T *final[kMaxStates];
  bool taped;
  T *kept;                // compact (rows, kept_stride): what the backward pass reads, each padded_units apart
  T *states[kMaxStates];  // compact (rows, padded_units): states after the step but h
  Index kept_stride;
  Index part, parts;  // which share of the hidden units; then with a barrier after every stage
  T *work;            // WorkSizes::work elements
  T *shared;          // WorkSizes::shared elements, the same for all parts
  const Plan *plan;
  Worker *worker;
};

// Scratch memory of a forward or a backward task.
struct WorkSizes {
  Index work, shared;
};

// Back-propagation through time of the same.
template <class T>
struct BackwardTask {
  CellShape shape;
  Rows rows;
  Index first, last;
  bool reverse;
  const T *packed;  // from pack_backward
  // x and inputs are read by cells that need them for their gradients, the others as forward has written them. Memory
  // goes on for a vector beyond the end of each of these arrays.
  RowView<const T> x;
  const Index *tokens;
  const T *table;
  const RowView<const T> *inputs;
  RowView<const T> out;
  const T *initial[kMaxStates];
  const T *kept, *states[kMaxStates];
  Index kept_stride;
  RowView<const T> dy[2];                // gradients of h_t from above and from the caller; each may be null
  RowView<const T> dstates[kMaxStates];  // gradients of the other states after each step from the caller, or null
  const T *dfinal[kMaxStates];
  T *dinitial[kMaxStates];
  Deltas<T> deltas;
  Index first_step, last_step;  // in the order of visits; a later call goes on where an earlier one with `work` ended
  Index part, parts;            // as above
  T *work, *shared;             // as WorkSizes says
  const Plan *plan;
  Worker *worker;
};

// Gradients of one direction's weights; `part` of `parts` computes its share of the elements.
template <class T>
struct GradientTask {
  CellShape shape;
  Rows rows;
  bool reverse;
  RowView<const T> x;
  const Index *tokens;  // compact, instead of x
  const T *table;       // (alphabet, input_size) behind tokens, or null: one-hot rows
  Index alphabet;       // of the tokens; input_size without a table
  T *token_sums;        // (alphabet, input_columns * hidden_size), with tokens: deltas are summed there, token by token
  RowView<const T> out;
  const T *initial[kMaxStates];
  const T *kept, *states[kMaxStates];  // as in a backward task
  Index kept_stride;
  Deltas<const T> deltas;
  Index from, to;  // rows in the order of visits, from the beginning of a block on; the first overwrite, others add
  T *gradients[kMaxParameters];  // by the cell's table; biases may be null
  Index part, parts;
  T *work;  // gradient_work elements
  Worker *worker;
};

// Gradient of a layer's input over the compact rows [first, last): one chain over both directions.
template <class T>
struct InputGradientTask {
  CellShape shape;
  Rows rows;
  Index first, last;
  int directions;
  bool reverse;        // of the first direction; a second one always is
  const T *packed[2];  // from pack_backward
  Deltas<const T> deltas[2];
  RowView<T> dx;
  T *work;  // input_gradient_work elements
  const Plan *plan;
  Worker *worker;
};

// A fully connected layer: y = x Wᵀ + b, x (rows, in), W (out, in), y (rows, out), all contiguous. A call does rows
// [first, last) of y or dx, and backward also share `part` of `parts` of the weight's gradient.
template <class T>
struct LinearTask {
  Index rows, in, out;
  Index first, last;
  Index part, parts;
  const T *packed;  // from pack_linear_forward or pack_linear_backward
  const T *x;
  T *y;
  const T *dy;
  T *dx;               // or null
  T *dweight, *dbias;  // overwritten; the bias may be null
  T *work;             // linear_work elements
  Worker *worker;
};

// Of x (rows, columns): y = w softmax(x), and log Σ e^x = maximum + log_sum in two parts, of which neither rounds the
// other away.
template <class T>
struct SoftmaxTask {
  Index rows, columns;
  const T *x;
  const double *weights;  // (rows), or null: 1
  T *y;
  double *maxima, *log_sums;  // (rows), or both null
  Worker *worker;
};

// The mean squared error of prediction and target (rows, columns): Σ w (prediction - target)² / total, and its
// gradient.
template <class T>
struct MseTask {
  Index rows, columns;
  const T *prediction, *target;
  const double *weights;  // (rows), or null: 1
  double total;           // the sum of all elements' weights
  T *gradient;
};

template <class T>
struct AdamTask {
  Index size;
  T *parameter;
  const T *gradient;
  T *mean, *square;
  double beta1, beta2, eps, weight_decay;
  double shrink;     // AdamW's decay, 1 - lr λ
  double step_size;  // lr / (1 - β₁ᵗ)
  double root;       // √(1 - β₂ᵗ)
};

template <class T>
struct SgdTask {
  Index size;
  T *parameter;
  const T *gradient;
  T *velocity;  // or null, without momentum
  double lr, momentum, weight_decay;
  bool nesterov;
};

template <class T>
struct Kernels {
  Index (*padded_units)(Index units);                    // whole vectors; of kept values and states on a tape
  Index (*packed_forward_size)(const CellShape *shape);  // in elements, as all sizes here
  Index (*packed_backward_size)(const CellShape *shape);
  bool (*pack_forward)(const PackTask<T> *task);  // false: interrupted, here and below
  bool (*pack_backward)(const PackTask<T> *task);
  Index (*projected_size)(const CellShape *shape);  // of one row of the hoisted projection
  Index (*deltas_size)(const CellShape *shape);     // of one row of deltas
  WorkSizes (*forward_sizes)(const CellShape *shape, Index rows, Index alphabet, bool taped, const Plan *plan);
  WorkSizes (*backward_sizes)(const CellShape *shape, Index rows);
  bool (*forward)(const ForwardTask<T> *task);
  bool (*backward)(const BackwardTask<T> *task);
  bool (*gradient)(const GradientTask<T> *task);
  bool (*input_gradient)(const InputGradientTask<T> *task);
  Index (*gradient_work)(const CellShape *shape, Index alphabet);  // of tokens; 0 without
  Index (*input_gradient_work)();
  Index (*linear_packed)(Index in, Index out);
  // Weight, scales and bias as those of a cell.
  bool (*pack_linear_forward)(Index in, Index out, const void *weight, const float *scales, const T *bias, T *to,
                              Worker *worker);
  bool (*pack_linear_backward)(Index in, Index out, const T *weight, T *to, Worker *worker);
  Index (*linear_work)(Index in);  // of a forward task, and of a backward one
  bool (*linear_forward)(const LinearTask<T> *task);
  bool (*linear_backward)(const LinearTask<T> *task);
  void (*adam)(const AdamTask<T> *task);
  void (*sgd)(const SgdTask<T> *task);
  void (*sigmoid)(Index size, const T *x, T *y);
  void (*tanh)(Index size, const T *x, T *y);
  bool (*softmax)(const SoftmaxTask<T> *task);
  Index (*mse)(const MseTask<T> *task, double *chains, Index counted);  // into kSquareChains chains
  void (*add_squares)(Index size, const T *x, double *chains);
  void (*scale)(Index size, double factor, T *x);
  void (*widen)(Index size, const void *from, float scale, T *to);  // narrow weights, of int8 times their scale
};

// Forward passes with narrow weights; the entries for what else there is are null.
struct NarrowFloatKernels {
  Kernels<float> bfloat16, float16;
};

struct KernelTable {
  const char *isa;
  int vector_bytes;
  Kernels<float> f32;
  Kernels<double> f64;
};

// One of each per kernel build; which of them are linked in, dispatch.cpp knows.
namespace isa_baseline {
const KernelTable &kernel_table();
const NarrowFloatKernels &narrow_float_kernels();
const Kernels<float> &int8_kernels();
}  // namespace isa_baseline
namespace isa_avx2 {
const KernelTable &kernel_table();
const NarrowFloatKernels &narrow_float_kernels();
const Kernels<float> &int8_kernels();
}  // namespace isa_avx2
namespace isa_avx512 {
const KernelTable &kernel_table();
const NarrowFloatKernels &narrow_float_kernels();
const Kernels<float> &int8_kernels();
}  // namespace isa_avx512
namespace isa_avx512vnni {  // all else is the same as without VNNI
const Kernels<float> &int8_kernels();
}
namespace isa_neon {
const KernelTable &kernel_table();
const NarrowFloatKernels &narrow_float_kernels();
const Kernels<float> &int8_kernels();
}  // namespace isa_neon

}  // namespace recurra
