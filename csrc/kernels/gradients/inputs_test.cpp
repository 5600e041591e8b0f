#include "kernels/gradients/inputs.h"

#include "kernels/recurrent/packing.h"
#include "testing/cells.h"
#include "testing/compiled_cells.h"
#include "testing/kernel_test.h"
#include "testing/layer_memory.h"
#include "testing/workers.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

template <class T>
struct Direction {
  LayerMemory<T> memory;
  std::vector<GuardedArray<T>> parameters;
  GuardedArray<T> packed;

  Direction(Random &random, const CellShape &shape, const RandomBatch &batch, bool reverse)
      : memory(random, shape, batch, reverse, Vec<T>::size), packed(packed_backward_size<T>(&shape)) {
    Worker worker = endless_worker();
    PackTask<T> task{};
    task.shape = shape;
    task.to = packed.data();
    task.worker = &worker;
    for (int p = 0; p < shape.cell->parameter_count; ++p) {
      parameters.push_back(random.array<T>(parameter_size(shape, p)));
      task.parameters[p] = parameters.back().data();
    }
    CHECK(pack_backward(&task));
  }

  // Where the deltas of (t, b) are, and those of raw x among them.
  const T *deltas(Index t, Index b) const {
    Index visited = 0;
    for (const Place &place : visits(memory.batch, memory.reverse)) {
      if (place.t == t && place.b == b) break;
      ++visited;
    }
    return memory.deltas.data() + visited * memory.delta_stride;
  }
  T raw(const T *deltas, Index unit) const {
    const Cell &cell = *memory.shape.cell;
    for (int d = 0; d < cell.delta_count; ++d) {
      if (cell.deltas[d].of == kOfRaw) return deltas[delta_places(memory.shape)[static_cast<std::size_t>(d)] + unit];
    }
    return 0;
  }
  // The chain goes on through δ W_ih, column by column.
  T go_on(const T *deltas, Index feature, T sum) const {
    const CellShape &shape = memory.shape;
    const int weight = find_parameter(*shape.cell, kInputWeight);
    for (Index i = 0; i < shape.cell->input_columns * shape.hidden_size; ++i) {
      const Index row = shape.cell->columns[i / shape.hidden_size].input_block * shape.hidden_size;
      sum = scalar_fma(
          deltas[i],
          parameters[static_cast<std::size_t>(weight)][(row + i % shape.hidden_size) * shape.input_size + feature],
          sum);
    }
    return sum;
  }
};

template <class T>
void check_input(Random &random, const Cell &cell, Index heads, Index most_units) {
  const Index H = heads * ceil_div(most_units, heads), I = cell.raw ? H : random.integer(1, 5 * Vec<T>::size);
  const CellShape shape{&cell, I, H, cell.projects ? heads * random.integer(1, 4) : H};
  const RandomBatch batch(random, random.integer(1, 20), random.integer(1, 30));
  const Rows rows = batch.rows();
  const int directions = static_cast<int>(random.integer(1, 2));
  const bool reverse = directions == 1 && random.integer(0, 1) == 1;
  CAPTURE(H);
  CAPTURE(I);
  CAPTURE(batch.total());
  CAPTURE(directions);
  CAPTURE(reverse);
  std::vector<Direction<T>> layer;
  for (int d = 0; d < directions; ++d) layer.emplace_back(random, shape, batch, d == 1 || reverse);
  const GuardedArray<T> expected(batch.total() * I);
  for (const Place &at : visits(batch, true)) {
    std::vector<const T *> deltas;
    for (const Direction<T> &direction : layer) deltas.push_back(direction.deltas(at.t, at.b));
    for (Index i = 0; i < I; ++i) {
      T sum = layer[0].raw(deltas[0], i);
      if (directions == 2) sum += layer[1].raw(deltas[1], i);
      for (std::size_t d = 0; d < layer.size(); ++d) sum = layer[d].go_on(deltas[d], i, sum);
      expected[layer[0].memory.row(at.t, at.b) * I + i] = sum;
    }
  }
  for (const bool compact : {true, false}) {
    CAPTURE(compact);
    const GuardedArray<T> dx((compact ? batch.total() : batch.longest * batch.batch()) * I);
    const GuardedArray<T> work(input_gradient_work<T>());
    Worker worker = endless_worker();
    Plan plan;
    plan.depth_block = random.integer(1, 50);
    plan.tile_rows = static_cast<int>(random.integer(1, 8));
    InputGradientTask<T> task{};
    task.shape = shape;
    task.rows = rows;
    task.directions = directions;
    task.reverse = reverse;
    for (int d = 0; d < directions; ++d) {
      const Direction<T> &direction = layer[static_cast<std::size_t>(d)];
      task.packed[d] = direction.packed.data();
      task.deltas[d] = {direction.memory.deltas.data(), direction.memory.delta_stride, -1};
    }
    task.dx = {dx.data(), compact ? 0 : batch.batch() * I, I, compact};
    task.work = work.data();
    task.plan = &plan;
    task.worker = &worker;
    for (; task.first < batch.total(); task.first = task.last) {
      task.last = random.integer(task.first, batch.total());
      CHECK(input_gradient(&task));
    }
    Index written = 0;
    bool same = true;
    for (const Place &at : visits(batch, true)) {
      const T *row = row_at(task.dx, rows, at.t, at.b);
      same = same && same_bits(row, expected.data() + layer[0].memory.row(at.t, at.b) * I, I);
    }
    CHECK(same);
    for (Index i = 0; i < dx.size(); ++i) written += dx.untouched(i) ? 0 : 1;
    CHECK(written == expected.size());
  }
}

TEST_CASE_TEMPLATE("gradient of the input: compiled cells", T, float, double) {
  Random random(1);
  for (int id = 0; id < kCompiledCells; ++id) {
    CAPTURE(id);
    for (const Index units : odd_sizes<T>()) {
      if (units > 0 && units < 40) check_input<T>(random, kCells[id], 1, units);
    }
  }
}

TEST_CASE_TEMPLATE("gradient of the input: cells of any columns, which may read x itself, or nothing of it", T, float,
                   double) {
  Random random(2);
  for (int i = 0; i < 60; ++i) {
    CAPTURE(i);
    const RandomCell example(random);
    check_input<T>(random, example.cell, example.heads, random.integer(1, 2 * Vec<T>::size + 3));
  }
}

TEST_CASE_TEMPLATE("gradient of the input: from a ring of deltas", T, float, double) {
  Random random(3);
  const CellShape shape{&kCells[kGru], 7, 5, 5};
  const RandomBatch batch(random, 30, 40);
  const Direction<T> direction(random, shape, batch, false);
  const Rows rows = batch.rows();
  const Index stride = direction.memory.delta_stride, total = batch.total(), ring_rows = 256, count = batch.offset[5];
  REQUIRE(count <= ring_rows);
  REQUIRE(total > ring_rows);
  const GuardedArray<T> ring(ring_rows * stride), whole(total * 7), part(total * 7), work(input_gradient_work<T>());
  // The first steps in memory are the last that are visited.
  for (Index i = (total - count) * stride; i < total * stride; ++i) {
    ring[i % ring.size()] = direction.memory.deltas[i];
  }
  Worker worker = endless_worker();
  Plan plan;
  plan.depth_block = 100;
  plan.tile_rows = 8;
  InputGradientTask<T> task{};
  task.shape = shape;
  task.rows = rows;
  task.last = count;
  task.directions = 1;
  task.packed[0] = direction.packed.data();
  task.work = work.data();
  task.plan = &plan;
  task.worker = &worker;
  task.deltas[0] = {direction.memory.deltas.data(), stride, -1};
  task.dx = {whole.data(), 0, 7, true};
  CHECK(input_gradient(&task));
  task.deltas[0] = {ring.data(), stride, ring_rows - 1};
  task.dx.base = part.data();
  CHECK(input_gradient(&task));
  CHECK(same_bits(whole.data(), part.data(), count * 7));
  worker = stopping_worker();
  CHECK_FALSE(input_gradient(&task));
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
