// Gradients of weights by their definition, and as the kernel computes them under one schedule or another.
#pragma once

#include "kernels/gradients/weights.h"
#include "testing/kernel_test.h"
#include "testing/layer_memory.h"
#include "testing/workers.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

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
    if (delta.of == kOfScalar) at(find_parameter(cell, kScalar, delta.index), 0) = sum_over_units(begin);
    for (Index unit = 0; unit < size; ++unit) {
      if (delta.of == kOfUnit) at(find_parameter(cell, kUnitVector, delta.index), unit) = sum(begin + unit);
      if (delta.of == kOfColumn) add_column(cell.columns[delta.index], delta.index, begin + unit, unit);
    }
  }
  void add_column(const Column &column, int number, Index delta, Index unit) {
    const Index H = shape.hidden_size, I = shape.input_size;
    const auto bias = [&](Role role, Index block) {
      if (block >= 0 && find_parameter(cell, role) >= 0) at(find_parameter(cell, role), block * H + unit) = sum(delta);
    };
    bias(kInputBias, column.input_bias);
    bias(kRecurrentBias, column.recurrent_bias);
    for (Index i = 0; column.input_block >= 0 && i < I; ++i) {
      at(find_parameter(cell, kInputWeight), (column.input_block * H + unit) * I + i) =
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

// The gradients that one part has computed, NaN where it has computed none. They end where they may, or lie side by
// side, as a call has them.
template <class T>
struct PartGradients {
  std::vector<GuardedArray<T>> memory;
  std::vector<T *> at;

  PartGradients(const CellShape &shape, bool biases, bool apart, Guard guard) {
    const Cell &cell = *shape.cell;
    std::vector<Index> sizes;
    Index total = 0;
    for (int p = 0; p < cell.parameter_count; ++p) {
      const std::int32_t role = cell.parameters[p].role;
      sizes.push_back(biases || (role != kInputBias && role != kRecurrentBias) ? parameter_size(shape, p) : 0);
      total += sizes.back();
      if (apart) memory.emplace_back(sizes.back(), guard);
    }
    if (!apart) memory.emplace_back(total, guard);
    T *next = memory[0].data();
    for (std::size_t p = 0; p < sizes.size(); ++p) {
      if (apart) next = memory[p].data();
      at.push_back(sizes[p] ? next : nullptr);
      next += sizes[p];
    }
    for (const GuardedArray<T> &array : memory) {
      for (T &value : array) value = std::numeric_limits<T>::quiet_NaN();
    }
  }
};

// What the kernel computes, each element in one part.
template <class T>
Gradients<T> computed(Random &random, const LayerMemory<T> &memory, GradientTask<T> task, const Schedule &schedule) {
  const Cell &cell = *memory.shape.cell;
  std::vector<PartGradients<T>> gradients;
  const Guard guard = random.guard();
  const bool apart = random.integer(0, 1) == 1;
  for (Index part = 0; part < schedule.parts; ++part) {
    gradients.emplace_back(memory.shape, schedule.biases, apart, guard);
  }
  const GuardedArray<T> work(gradient_work<T>(&memory.shape, task.tokens ? task.alphabet : 0));
  Worker worker = endless_worker();
  task.work = work.data();
  task.worker = &worker;
  task.parts = schedule.parts;
  const Index total = memory.batch.total(), ring_rows = 256;
  const GuardedArray<T> ring(schedule.ranges ? ring_rows * memory.delta_stride : 0);
  do {
    task.to = schedule.ranges ? std::min(total, task.from + 128 * random.integer(1, 2)) : total;
    if (schedule.ranges) {  // rows are overwritten by those that come a ring later
      for (T &value : ring) value = std::numeric_limits<T>::quiet_NaN();
      for (Index i = task.from * memory.delta_stride; i < task.to * memory.delta_stride; ++i) {
        ring[i % ring.size()] = memory.deltas[i];
      }
      task.deltas = {ring.data(), memory.delta_stride, ring_rows - 1};
    }
    for (task.part = 0; task.part < task.parts; ++task.part) {
      const std::vector<T *> &own = gradients[static_cast<std::size_t>(task.part)].at;
      std::copy(own.begin(), own.end(), task.gradients);
      CHECK(gradient(&task));
    }
    task.from = task.to;
  } while (task.from < total);
  Gradients<T> result;
  Index written = 0;
  for (int p = 0; p < cell.parameter_count; ++p) {
    const Index size = gradients[0].at[static_cast<std::size_t>(p)] ? parameter_size(memory.shape, p) : 0;
    result.emplace_back(static_cast<std::size_t>(size));
    for (Index i = 0; i < size; ++i) {
      for (const PartGradients<T> &part : gradients) {
        const T value = part.at[static_cast<std::size_t>(p)][i];
        if (std::isnan(value)) continue;
        result.back()[static_cast<std::size_t>(i)] = value;
        ++written;
      }
    }
    written -= size;
  }
  CHECK(written == 0);
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

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
