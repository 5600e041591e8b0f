#include "kernels/gradients/input_tokens.h"

#include "testing/cells.h"
#include "testing/compiled_cells.h"
#include "testing/weight_gradients.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

// Rows with a single 1 in place of tokens, or rows of a table.
template <class T>
void check_tokens(Random &random, const Cell &cell, Index heads, bool table) {
  const Index H = heads * random.integer(1, 12), I = random.integer(1, 20);
  const CellShape shape{&cell, I, H, cell.projects ? heads * random.integer(1, 12) : H};
  const Index alphabet = table ? random.integer(1, 300) : I;
  CAPTURE(H);
  CAPTURE(alphabet);
  CAPTURE(table);
  const RandomBatch batch(random, random.integer(1, 20), random.integer(1, 30));
  // Token by token the deltas are what they would be of one-hot rows, so this is where sums come from.
  const CellShape one_hot{&cell, alphabet, H, shape.projected_size};
  LayerMemory<T> memory(random, one_hot, batch, random.integer(0, 1) == 1, Vec<T>::size);
  const GuardedArray<Index> tokens(batch.total());
  for (T &value : memory.x) value = 0;
  for (const Place &at : visits(batch, memory.reverse)) {
    const Index token = random.integer(0, alphabet - 1);
    tokens[memory.row(at.t, at.b)] = token;
    const_cast<T *>(memory.x_row(at))[token] = 1;
  }
  Gradients<T> expected = Expected<T>(memory).gradients;
  const Index width = cell.input_columns * H;
  std::vector<T> sums(static_cast<std::size_t>(alphabet * width));
  const int weight = find_parameter(cell, kInputWeight);
  for (Index i = 0; i < alphabet * width; ++i) {
    const Index token = i / width, column = i % width / H, unit = i % H;
    const Index row = cell.columns[column].input_block * H + unit;
    sums[static_cast<std::size_t>(i)] =
        expected[static_cast<std::size_t>(weight)][static_cast<std::size_t>(row * alphabet + token)];
  }
  const auto rows = random.array<T>(alphabet * I);
  if (table && weight >= 0) {
    std::vector<T> &gradient = expected[static_cast<std::size_t>(weight)];
    gradient.assign(static_cast<std::size_t>(cell.input_columns * H * I), T(0));
    for (Index i = 0; i < width * I; ++i) {
      const Index column = i / I / H, unit = i / I % H, feature = i % I;
      T &total = gradient[static_cast<std::size_t>((cell.columns[column].input_block * H + unit) * I + feature)];
      for (Index from = 0; from < alphabet; from += 128) {
        T sum = 0;
        for (Index token = from; token < std::min<Index>(from + 128, alphabet); ++token) {
          sum = scalar_fma(sums[static_cast<std::size_t>(token * width + column * H + unit)], rows[token * I + feature],
                           sum);
        }
        total = from ? total + sum : sum;
      }
    }
  }
  const GuardedArray<T> token_sums(alphabet * width);
  GradientTask<T> task = memory.task(batch.rows());
  task.x = {};
  task.shape = memory.shape = shape;
  task.tokens = tokens.data();
  task.table = table ? rows.data() : nullptr;
  task.alphabet = alphabet;
  task.token_sums = token_sums.data();
  check_schedules(random, memory, task, expected);
  CHECK(same_bits(token_sums.data(), sums.data(), token_sums.size()));
}

TEST_CASE_TEMPLATE("gradients of weights: tokens are one-hot rows, or rows of a table", T, float, double) {
  Random random(3);
  for (const bool table : {false, true}) {
    for (int id = 0; id < kCompiledCells; ++id) {
      CAPTURE(id);
      for (int i = 0; i < 3; ++i) check_tokens<T>(random, kCells[id], 1, table);
    }
    for (int i = 0; i < 15; ++i) {
      CAPTURE(i);
      const RandomCell example(random);
      check_tokens<T>(random, example.cell, example.heads, table);
    }
  }
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
