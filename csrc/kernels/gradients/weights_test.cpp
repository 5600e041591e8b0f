#include "kernels/gradients/weights.h"

#include "testing/cells.h"
#include "testing/compiled_cells.h"
#include "testing/weight_gradients.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

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
