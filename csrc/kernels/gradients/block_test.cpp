#include "kernels/gradients/block.h"

#include "testing/kernel_test.h"
#include "testing/workers.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

// Rows that a block of deltas meets; every seventh is null where `nulls` says so.
template <class T>
struct SideRows {
  Index columns;
  Index first;
  GuardedArray<T> values;
  std::vector<const T *> rows;

  SideRows(Random &random, Index count, Index width, bool nulls, Index begin)
      : columns(width), first(begin), values(random.array<T>(count * (begin + width))) {
    for (Index n = 0; n < count; ++n)
      rows.push_back(nulls && n % 7 == 3 ? nullptr : values.data() + n * (begin + width));
  }
  Side<T> side() const { return {columns, rows.data(), first}; }
  T at(Index n, Index column) const { return rows[n] ? rows[n][first + column] : T(0); }
};

template <class T>
struct Workspace {
  GuardedArray<T> memory;
  Arena arena;
  GradientWork<T> work;

  static Index size() {
    Arena measured{nullptr};
    GradientWork<T>(measured, 1);
    return measured.used / static_cast<Index>(sizeof(T));
  }
  Workspace() : memory(size()), arena{reinterpret_cast<char *>(memory.data())}, work(arena, 1) {}
};

// Deltas of `count` rows against `sides`, in strips [0, cut) and [cut, deltas); the second has no biases and doesn't
// meet the last side.
template <class T>
void check_block(Random &random, Index count, Index deltas, Index cut, const std::vector<SideRows<T>> &sides,
                 bool add) {
  CAPTURE(count);
  CAPTURE(deltas);
  CAPTURE(cut);
  CAPTURE(sides.size());
  CAPTURE(sides[0].columns);
  CAPTURE(add);
  const Index delta_stride = deltas + random.integer(0, 3);
  const auto delta = random.array<T>((count - 1) * delta_stride + deltas);
  std::vector<Side<T>> side_list;
  std::vector<GuardedArray<T>> weights;
  std::vector<std::vector<T>> before;
  for (const SideRows<T> &rows : sides) {
    side_list.push_back(rows.side());
    weights.push_back(random.array<T>(deltas * rows.columns, random.guard()));
    before.emplace_back(weights.back().begin(), weights.back().end());
  }
  GuardedArray<T> bias[2] = {random.array<T>(cut), random.array<T>(cut)};
  for (Index i = 0; i < cut; ++i) bias[1][i] = bias[0][i];
  const std::vector<T> bias_before(bias[0].begin(), bias[0].end());
  DeltaColumns<T> strips[2] = {{0, cut, {}, {bias[0].data(), bias[1].data()}}, {cut, deltas, {}, {}}};
  for (std::size_t s = 0; s < sides.size(); ++s) {
    strips[0].weight[s] = weights[s].data();
    if (s + 1 < sides.size() || sides.size() == 1) strips[1].weight[s] = weights[s].data() + cut * sides[s].columns;
  }
  Workspace<T> workspace;
  Worker worker = endless_worker();
  CHECK(block_gradient(workspace.work, side_list.data(), static_cast<int>(sides.size()), strips, 2, count, delta.data(),
                       delta_stride, add, &worker));
  for (std::size_t s = 0; s < sides.size(); ++s) {
    bool same = true;
    const Index width = sides[s].columns;
    for (Index i = 0; i < weights[s].size(); ++i) {
      const Index row = i / width, column = i % width;
      T sum = 0;
      for (Index n = 0; n < count; ++n) sum = scalar_fma(delta[n * delta_stride + row], sides[s].at(n, column), sum);
      const bool met = row < cut || strips[1].weight[s];
      same = same && same_bits(weights[s][i], !met ? before[s][i] : add ? before[s][i] + sum : sum);
    }
    CAPTURE(s);
    CHECK(same);
  }
  bool same = true;
  for (Index row = 0; row < cut; ++row) {
    T sum = 0;
    for (Index n = 0; n < count; ++n) sum += delta[n * delta_stride + row];
    for (const GuardedArray<T> &own : bias) same = same && same_bits(own[row], add ? bias_before[row] + sum : sum);
  }
  CHECK(same);
}

TEST_CASE_TEMPLATE("block gradient: one side of any width", T, float, double) {
  Random random(1);
  for (const Index columns : odd_sizes<T>()) {
    if (columns == 0) continue;
    for (const Index count : {1, 2, 63, 64, 127, 128}) {
      const Index deltas = random.integer(1, 30);
      std::vector<SideRows<T>> sides;
      sides.emplace_back(random, count, columns, count > 2, columns % 3);
      check_block(random, count, deltas, random.integer(1, deltas), sides, count % 2 == 0);
    }
  }
}

TEST_CASE_TEMPLATE("block gradient: bands of deltas, groups of panels, and sides that a strip doesn't meet", T, float,
                   double) {
  Random random(2);
  constexpr Index group = kGroupPanels * kPanelVectors * Vec<T>::size;
  const std::vector<Index> widths[] = {{5, 3}, {group - 1, 7}, {group + 5, 2, 9}, {3, 2 * group + 1}, {1, 300, 300}};
  for (const auto &columns : widths) {
    for (const Index deltas : {kBandColumns - 1, kBandColumns + 1, 2 * kBandColumns + 7}) {
      for (const Index count : {1, 65, 128}) {
        std::vector<SideRows<T>> sides;
        for (const Index width : columns)
          sides.emplace_back(random, count, width, sides.size() == 1, sides.size() == 2 ? 5 : 0);
        check_block(random, count, deltas, deltas - random.integer(0, 3), sides, count == 65);
        check_block(random, count, deltas, kBandColumns / 2, sides, count != 65);
      }
    }
  }
}

TEST_CASE_TEMPLATE("block gradient: biases alone, where no side has columns", T, float, double) {
  Random random(3);
  for (const Index deltas : odd_sizes<T>()) {
    if (deltas == 0) continue;
    std::vector<SideRows<T>> sides;
    sides.emplace_back(random, 5, 0, false, 0);
    check_block(random, 5, deltas, deltas, sides, deltas % 2 == 0);
  }
}

TEST_CASE_TEMPLATE("block gradient: stops when it is told to", T, float, double) {
  Random random(4);
  const SideRows<T> rows(random, 9, 33, false, 0);
  const auto delta = random.array<T>(9 * 200), weight = random.array<T>(200 * 33);
  const Side<T> side = rows.side();
  const DeltaColumns<T> strip{0, 200, {weight.data()}, {}};
  Workspace<T> workspace;
  Worker worker = stopping_worker();
  CHECK_FALSE(block_gradient(workspace.work, &side, 1, &strip, 1, 9, delta.data(), 200, false, &worker));
}

TEST_CASE("block gradient: shares are whole tiles, and all of it") {
  for (const Index size : {0, 1, 5, 12, 97, 256}) {
    for (const Index parts : {1, 2, 3, 7, 100}) {
      CAPTURE(size);
      CAPTURE(parts);
      CHECK(share(size, 0, parts) == 0);
      CHECK(share(size, parts, parts) == size);
      for (Index part = 0; part < parts; ++part) {
        CHECK(share(size, part, parts) <= share(size, part + 1, parts));
        CHECK((share(size, part, parts) == size || share(size, part, parts) % tile_rows(kPanelVectors) == 0));
      }
    }
  }
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
