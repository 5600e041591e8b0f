#include "kernels/gradients/weights.h"

#include "compiled_cells.h"
#include "testing/cells.h"
#include "testing/kernel_test.h"
#include "testing/layer_memory.h"
#include "testing/workers.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

template <class T>
using Gradients = std::vector<std::vector<T>>;  // by the cell's table

// Gradients by the definition: each number a chain over the rows of a block, and the sum of all blocks.
template <class T>
struct Expected {
  const LayerMemory<T> &memory;
  const CellShape &shape;
  const Cell &cell;
  const std::vector<Place> places;
  const std::vector<Index> begins;
  Gradients<T> gradients;

  explicit Expected(const LayerMemory<T> &of)
      : memory(of),
        shape(of.shape),
        cell(*of.shape.cell),
        places(visits(of.batch, of.reverse)),
        begins(delta_places(of.shape)) {
    for (int p = 0; p < cell.parameter_count; ++p) {
      gradients.emplace_back(static_cast<std::size_t>(parameter_size(shape, p)), T(0));
    }
    for (int d = 0; d < cell.delta_count; ++d) add(d);
  }

  // add_row(sum, row) over the rows, block by block.
  template <class Value, class AddRow>
  T blocks(const Value &finish, const AddRow &add_row) const {
    T total = 0;
    for (Index from = 0; from < memory.batch.total(); from += 128) {
      std::vector<T> sums;
      add_row(from, std::min<Index>(from + 128, memory.batch.total()), sums);
      const T sum = finish(sums);
      total = from ? total + sum : sum;
    }
    return total;
  }
  // Σ δ[column] v(row), or Σ δ[column] where there is no v.
  template <class Value>
  T product(Index column, const Value &value) const {
    return blocks([](const std::vector<T> &sums) { return sums[0]; },
                  [&](Index from, Index to, std::vector<T> &sums) {
                    T sum = 0;
                    for (Index n = from; n < to; ++n) {
                      sum = scalar_fma(memory.deltas[n * memory.delta_stride + column],
                                       value(places[static_cast<std::size_t>(n)]), sum);
                    }
                    sums.push_back(sum);
                  });
  }
  T sum(Index column) const {
    return product(column, [](const Place &) { return T(1); });
  }
  // Of a number: what units add to it in each block, summed over the units.
  T sum_over_units(Index column) const {
    return blocks([](const std::vector<T> &sums) { return sum_of(sums.data(), static_cast<Index>(sums.size())); },
                  [&](Index from, Index to, std::vector<T> &sums) {
                    for (Index unit = 0; unit < shape.hidden_size; ++unit) {
                      T sum = 0;
                      for (Index n = from; n < to; ++n) sum += memory.deltas[n * memory.delta_stride + column + unit];
                      sums.push_back(sum);
                    }
                  });
  }
  T &at(int parameter, Index element) {
    return gradients[static_cast<std::size_t>(parameter)][static_cast<std::size_t>(element)];
  }
  void add(int d) {
    const DeltaDescription &delta = cell.deltas[d];
    const Index begin = begins[static_cast<std::size_t>(d)], size = begins[static_cast<std::size_t>(d) + 1] - begin;
    if (delta.of == kOfScalar) at(parameter_of(cell, kScalar, delta.index), 0) = sum_over_units(begin);
    for (Index unit = 0; unit < size; ++unit) {
      if (delta.of == kOfUnit) at(parameter_of(cell, kUnitVector, delta.index), unit) = sum(begin + unit);
      if (delta.of == kOfColumn) add_column(cell.columns[delta.index], delta.index, begin + unit, unit);
    }
  }
  void add_column(const Column &column, int number, Index delta, Index unit) {
    const Index H = shape.hidden_size, I = shape.input_size;
    const auto bias = [&](Role role, Index block) {
      if (block >= 0 && parameter_of(cell, role) >= 0) at(parameter_of(cell, role), block * H + unit) = sum(delta);
    };
    bias(kInputBias, column.input_bias);
    bias(kRecurrentBias, column.recurrent_bias);
    for (Index i = 0; column.input_block >= 0 && i < I; ++i) {
      at(parameter_of(cell, kInputWeight), (column.input_block * H + unit) * I + i) =
          product(delta, [&](const Place &place) { return memory.x_row(place)[i]; });
    }
    for (int p = 0; p < cell.product_count; ++p) {
      const Product &read = cell.products[p];
      if (number < read.column || number >= read.column + read.count) continue;
      const Index block = cell.blocks[read.first_block + number - read.column];
      const Index heads = cell.parameters[read.parameter].heads, columns = parameter_columns(shape, read.parameter);
      const Index head = heads == 1 ? 0 : unit / (H / heads);
      for (Index i = 0; i < columns; ++i) {
        at(read.parameter, (block * H + unit) * columns + i) =
            product(delta, [&](const Place &place) { return memory.source(read.source, place, head * columns + i); });
      }
    }
  }
};

// How a test has the gradients computed.
struct Schedule {
  Index parts;
  bool ranges, biases;
};

// What the kernel computes, of arrays that end where they may.
template <class T>
Gradients<T> computed(Random &random, const LayerMemory<T> &memory, GradientTask<T> task, const Schedule &schedule) {
  const Cell &cell = *memory.shape.cell;
  std::vector<GuardedArray<T>> gradients;
  const Guard guard = random.guard();
  for (int p = 0; p < cell.parameter_count; ++p) {
    const std::int32_t role = cell.parameters[p].role;
    const bool given = schedule.biases || (role != kInputBias && role != kRecurrentBias);
    gradients.emplace_back(given ? parameter_size(memory.shape, p) : 0, guard);
    task.gradients[p] = given ? gradients.back().data() : nullptr;
  }
  const GuardedArray<T> work(gradient_work<T>(&memory.shape, task.tokens ? task.alphabet : 0));
  Worker worker = endless_worker();
  task.work = work.data();
  task.worker = &worker;
  task.parts = schedule.parts;
  const Index total = memory.batch.total(), ring_rows = 256;
  const GuardedArray<T> ring(schedule.ranges ? ring_rows * memory.delta_stride : 0);
  for (Index from = 0, to; from < total || from == 0; from = to) {
    to = schedule.ranges ? std::min(total, from + 128 * random.integer(1, 2)) : total;
    if (schedule.ranges) {  // rows are overwritten by those that come a ring later
      for (T &value : ring) value = std::numeric_limits<T>::quiet_NaN();
      for (Index i = from * memory.delta_stride; i < to * memory.delta_stride; ++i) {
        ring[i % ring.size()] = memory.deltas[i];
      }
      task.deltas = {ring.data(), memory.delta_stride, ring_rows - 1};
    }
    task.from = from;
    task.to = to;
    for (task.part = 0; task.part < task.parts; ++task.part) CHECK(gradient(&task));
    if (to == total) break;
  }
  Gradients<T> result;
  for (const GuardedArray<T> &own : gradients) result.emplace_back(own.begin(), own.end());
  return result;
}

template <class T>
void check_same(const Gradients<T> &got, const Gradients<T> &expected) {
  for (std::size_t p = 0; p < expected.size(); ++p) {
    CAPTURE(p);
    if (got[p].empty()) continue;  // a bias that isn't asked for
    REQUIRE(got[p].size() == expected[p].size());
    CHECK(same_bits(got[p].data(), expected[p].data(), static_cast<Index>(got[p].size())));
  }
}

template <class T>
void check_schedules(Random &random, const LayerMemory<T> &memory, const GradientTask<T> &task,
                     const Gradients<T> &expected) {
  check_same(computed(random, memory, task, {1, false, true}), expected);
  const Schedule other{random.integer(1, 3), memory.batch.total() > 128, random.integer(0, 3) > 0};
  CAPTURE(other.parts);
  CAPTURE(other.ranges);
  CAPTURE(other.biases);
  check_same(computed(random, memory, task, other), expected);
}

template <class T>
void check_cell(Random &random, const Cell &cell, Index heads, Index most_units) {
  const Index H = heads * ceil_div(most_units, heads);
  const Index P = cell.projects ? heads * random.integer(1, ceil_div(most_units, heads)) : H;
  const CellShape shape{&cell, cell.raw ? H : random.integer(1, 20), H, P};
  const RandomBatch batch(random, random.integer(1, 20), random.integer(1, 30));
  const LayerMemory<T> memory(random, shape, batch, random.integer(0, 1) == 1, Vec<T>::size);
  CAPTURE(H);
  CAPTURE(P);
  CAPTURE(shape.input_size);
  CAPTURE(batch.total());
  CAPTURE(memory.reverse);
  check_schedules(random, memory, memory.task(batch.rows()), Expected<T>(memory).gradients);
}

TEST_CASE_TEMPLATE("gradients of weights: compiled cells", T, float, double) {
  Random random(1);
  for (int id = 0; id < kCompiledCells; ++id) {
    CAPTURE(id);
    for (const Index units : odd_sizes<T>()) {
      if (units > 0 && units < 40) check_cell<T>(random, kCells[id], 1, units);
    }
  }
}

TEST_CASE_TEMPLATE("gradients of weights: cells of any sources, heads, projections, units and numbers", T, float,
                   double) {
  Random random(2);
  for (int i = 0; i < 80; ++i) {
    CAPTURE(i);
    const RandomCell example(random);
    check_cell<T>(random, example.cell, example.heads, random.integer(1, 2 * Vec<T>::size + 3));
  }
}

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
  const int weight = parameter_of(cell, kInputWeight);
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

TEST_CASE_TEMPLATE("gradients of weights: zeros where there are no rows", T, float, double) {
  Random random(4);
  for (int i = 0; i < 20; ++i) {
    CAPTURE(i);
    const RandomCell example(random);
    const Index H = example.heads * random.integer(1, 12);
    const CellShape shape{&example.cell, random.integer(1, 9), H, example.cell.projects ? example.heads : H};
    const RandomBatch batch(random, random.integer(0, 2), 0);
    const LayerMemory<T> memory(random, shape, batch, false, Vec<T>::size);
    Gradients<T> expected;
    for (int p = 0; p < example.cell.parameter_count; ++p) {
      expected.emplace_back(static_cast<std::size_t>(parameter_size(shape, p)), T(0));
    }
    const Schedule schedule{random.integer(1, 3), false, random.integer(0, 1) == 1};
    check_same(computed(random, memory, memory.task(batch.rows()), schedule), expected);
  }
}

TEST_CASE_TEMPLATE("gradients of weights: stop when they are told to", T, float, double) {
  Random random(5);
  const RandomBatch batch(random, 3, 5);
  const CellShape shape{&kCells[kLstm], 4, 8, 8};
  const LayerMemory<T> memory(random, shape, batch, false, Vec<T>::size);
  const GuardedArray<T> weight_ih(4 * 8 * 4), weight_hh(4 * 8 * 8), work(gradient_work<T>(&shape, 0));
  GradientTask<T> task = memory.task(batch.rows());
  task.gradients[0] = weight_ih.data();
  task.gradients[1] = weight_hh.data();
  task.work = work.data();
  Worker worker = stopping_worker();
  task.worker = &worker;
  CHECK_FALSE(gradient(&task));
}

TEST_CASE_TEMPLATE("gradients of weights: the built-in cells have as few strips as may be", T, float, double) {
  constexpr int strips_of[kCompiledCells] = {1, 1, 1, 3, 2};
  for (int id = 0; id < kCompiledCells; ++id) {
    CAPTURE(id);
    const Index H = 5;
    GradientTask<T> task{};
    task.shape = {&kCells[id], 3, H, H};
    task.parts = 1;
    const GuardedArray<T> memory(4 * H * 3 + 4 * H * H + 8 * H), work(gradient_work<T>(&task.shape, 0));
    T *const gradients[] = {memory.data(), memory.data() + 4 * H * 3, memory.data() + 4 * H * (3 + H),
                            memory.data() + 4 * H * (4 + H)};
    for (int p = 0; p < 4; ++p) task.gradients[p] = gradients[p];
    Arena arena{reinterpret_cast<char *>(work.data())};
    const WeightGradientWork<T> parts(arena, task.shape, 0);
    const Sides<T> sides(task, parts.block);
    Strips<T> strips(sides.all, sides.count);
    cut(task, sides, strips);
    CHECK(strips.count == strips_of[id]);
  }
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
