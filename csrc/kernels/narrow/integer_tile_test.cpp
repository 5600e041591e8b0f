#include "kernels/narrow/integer_tile.h"

#include "testing/integer_problem.h"
#include "testing/kernel_test.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

// Rows of a tile, quantised by `floor`.
struct TileRows {
  std::vector<Quantisation> expected;
  std::vector<GuardedArray<Quantised>> quantised;
  std::vector<QuantisedRow> rows;

  TileRows(Random &random, int count, Index depth, bool extreme = false) {
    for (int r = 0; r < count; ++r) {
      const auto values = random.array<float>(depth);
      for (float &value : values) value = extreme ? value < 0 ? -1.0f : 1.0f : value;
      expected.emplace_back(values, 0.0f);
      quantised.emplace_back(quantised_size(depth));
      rows.push_back({quantised.back().data(), quantise(values.data(), depth, 0.0f, quantised.back().data())});
    }
  }
};

void check(Random &random, const TileRows &tile, const WeightPanel &panel, Index first, Index depth,
           const IntegerPrefetch &ahead) {
  const auto count = static_cast<int>(tile.rows.size());
  const Index width = panel.width;
  for (const Index from_stride : {Index(0), width, width + 3}) {
    for (const bool in_place : {false, true}) {
      if (in_place && from_stride == 0) continue;
      CAPTURE(count);
      CAPTURE(panel.vectors);
      CAPTURE(first);
      CAPTURE(depth);
      CAPTURE(from_stride);
      CAPTURE(in_place);
      const auto from = random.array<float>((count - 1) * from_stride + width);
      const std::vector<float> begun(from.begin(), from.end());
      const Index to_stride = in_place ? from_stride : width + random.integer(0, 5);
      const GuardedArray<float> other((count - 1) * to_stride + width, random.guard());
      float *to = in_place ? from.data() : other.data();
      integer_tile_for(count, panel.vectors)(from.data(), from_stride, tile.rows.data(), panel.packed.data(), first,
                                             depth, to, to_stride, ahead);
      bool same = true, beside = true;
      for (int r = 0; r < count; ++r) {
        const Quantisation &row = tile.expected[static_cast<std::size_t>(r)];
        for (Index c = 0; c < width; ++c) {
          const float expected = product_of(row, panel.row(c), panel.scales[static_cast<std::size_t>(c)],
                                            begun[static_cast<std::size_t>(r * from_stride + c)], 0, panel.depth);
          same = same && same_bits(to[r * to_stride + c], expected);
        }
        for (Index c = width; !in_place && r + 1 < count && c < to_stride; ++c) {
          beside = beside && other.untouched(r * to_stride + c);
        }
      }
      CHECK(same);
      CHECK(beside);
    }
  }
}

TEST_CASE("integer tile: exact sums, rounded once, scaled and added") {
  Random random(1);
  for (int vectors = 1; vectors <= kPanelVectors; ++vectors) {
    for (int count = 1; count == integer_rows(count, vectors); ++count) {
      for (const Index depth : {0, 1, 2, 3, 4, 5, 7, 16, 37, 64}) {
        const TileRows tile(random, count, depth);
        const WeightPanel panel(random, depth, vectors, false, random.integer(0, kOutputs - 1));
        const GuardedArray<std::int8_t> next(integer_panel_bytes(depth, vectors));
        check(random, tile, panel, 0, depth, {nullptr, 0, 0});
        check(random, tile, panel, 0, depth, {next.data(), 1, 3});
        check(random, tile, panel, 0, depth, {next.data(), 2, 1});
      }
    }
  }
}

TEST_CASE("integer tile: neither extreme numbers nor many of them overflow") {
  Random random(2);
  for (const Index depth : {Index(130), kExactDepth, kExactDepth + 1, 3 * kExactDepth + 5}) {
    const TileRows tile(random, 2, depth, true);
    for (const int vectors : {1, kPanelVectors}) {
      WeightPanel panel(random, depth, vectors, true);
      check(random, tile, panel, 0, depth, {nullptr, 0, 0});
      for (Index k = 0; k < depth; ++k) {  // one sum as large as can be
        const int sign = tile.expected[0].values[static_cast<std::size_t>(k)] < 0 ? -1 : 1;
        panel.weights[static_cast<std::size_t>(k)] = static_cast<std::int8_t>(127 * sign);
        panel.weights[static_cast<std::size_t>(depth + k)] = static_cast<std::int8_t>(-127 * sign);
      }
      for (const Index output : {0, 1}) {
        pack_output(panel.row(output), depth, panel.scales[static_cast<std::size_t>(output)], 0, output, vectors, depth,
                    panel.packed.data());
      }
      check(random, tile, panel, 0, depth, {nullptr, 0, 0});
    }
  }
}

TEST_CASE("integer tile: a range of depths, outside of which weights are zeros") {
  Random random(3);
  for (int i = 0; i < 60; ++i) {
    const Index depth = random.integer(1, 80), first = random.integer(0, depth - 1);
    const Index count = random.integer(1, depth - first);
    const int vectors = static_cast<int>(random.integer(1, kPanelVectors));
    const TileRows tile(random, integer_rows(static_cast<int>(random.integer(1, 3)), vectors), depth);
    WeightPanel panel(random, depth, vectors);
    for (Index output = 0; output < panel.width; ++output) {
      std::int8_t *row = panel.weights.data() + output * depth;
      for (Index k = 0; k < depth; ++k) row[k] = k < first || k >= first + count ? std::int8_t(0) : row[k];
      pack_output(row + first, count, panel.scales[static_cast<std::size_t>(output)], first, output, vectors, depth,
                  panel.packed.data());
    }
    const Index begin = first / kDepthStep * kDepthStep;
    check(random, tile, panel, begin, first + count - begin, {nullptr, 0, 0});
  }
}

TEST_CASE("integer tile: a token is a one-hot row") {
  Random random(4);
  for (int vectors = 1; vectors <= kPanelVectors; ++vectors) {
    const Index depth = 7;
    const WeightPanel panel(random, depth, vectors);
    for (Index k = 0; k < depth; ++k) {
      std::vector<float> hot(static_cast<std::size_t>(depth));
      hot[static_cast<std::size_t>(k)] = 1;
      const Quantisation row(hot, 0.0f);
      const auto from = random.array<float>(panel.width, random.guard());
      const GuardedArray<float> to(panel.width, random.guard());
      integer_look_up(from.data(), panel.packed.data(), vectors, k, to.data());
      bool same = true;
      for (Index c = 0; c < panel.width; ++c) {
        same = same && same_bits(to[c], product_of(row, panel.row(c), panel.scales[static_cast<std::size_t>(c)],
                                                   from[c], 0, depth));
      }
      CHECK(same);
    }
  }
}

TEST_CASE("integer tile: tiles prefetch every line of the next panel, and no more than one round too many") {
  for (int vectors = 1; vectors <= kPanelVectors; ++vectors) {
    for (const Index depth : {1, 2, 5, 64, 131}) {
      for (Index rows = 1; rows <= 40; ++rows) {
        const Index most = integer_tile_rows(vectors);
        const GuardedArray<std::int8_t> next(integer_panel_bytes(depth, vectors));
        IntegerPanelPrefetch ahead(next.data(), depth, vectors, rows, most);
        Index fetched = 0;
        for (Index tile = 0; tile < ceil_div(rows, most); ++tile) {
          const IntegerPrefetch part = ahead.take();
          if (!part.panel) continue;
          CHECK(part.panel == next.data() + fetched);
          CHECK(fetched < next.size());
          fetched += ceil_div(ceil_div(depth, kDepthGroup), part.every) * part.lines * kLineBytes;
        }
        // All but what is no group's: the head, and the end of the last lines and of the last step of a single row.
        const Index rest = panel_head(vectors) + (kDepthStep - kDepthGroup) * vectors * kOutputs;
        CHECK(fetched >= next.size() - rest - kLineBytes);
      }
    }
  }
  IntegerPanelPrefetch none(nullptr, 5, 1, 9, 3);
  CHECK(none.take().panel == nullptr);
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
