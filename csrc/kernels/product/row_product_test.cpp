#include "kernels/product/row_product.h"

#include "testing/kernel_test.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

TEST_CASE("row product: runs of panels visit each once, forwards or backwards") {
  for (Index panels = 0; panels <= 40; ++panels) {
    for (const Index rows : {1, 2, 7}) {
      for (const bool uneven : {false, true}) {
        for (const bool backwards : {false, true}) {
          CAPTURE(panels);
          CAPTURE(rows);
          CAPTURE(uneven);
          CAPTURE(backwards);
          std::vector<PanelRun> runs;
          CHECK(panel_runs(panels, rows, uneven, backwards, [&](const PanelRun &run) {
            runs.push_back(run);
            return true;
          }));
          Index seen = 0;
          for (std::size_t i = 0; i < runs.size(); ++i) {
            const PanelRun &run = runs[i];
            CHECK(run.first == (backwards ? panels - seen - run.count : seen));
            CHECK(run.count >= 1);
            CHECK(run.count <= (rows == 1 ? kRowGroup + 1 : 1));
            CHECK(run.next == (i + 1 < runs.size() ? runs[i + 1].first : -1));
            CHECK(run.backwards == backwards);
            const bool joined = uneven && rows == 1 && panels > 1 && run.first + run.count == panels;
            CHECK(run.uneven == joined);
            seen += run.count;
          }
          CHECK(seen == panels);
        }
      }
    }
  }
}

TEST_CASE("row product: runs end when the visitor says so") {
  int visits = 0;
  CHECK_FALSE(panel_runs(5, 2, false, false, [&](const PanelRun &) { return ++visits < 3; }));
  CHECK(visits == 3);
}

TEST_CASE_TEMPLATE("row product: several panels at once, and an uneven last one", T, float, double) {
  constexpr Index V = Vec<T>::size;
  Random random(1);
  for (int vectors = 1; vectors <= kPanelVectors; ++vectors) {
    for (Index count = 1; count <= kRowGroup; ++count) {
      for (int last_vectors = 0; last_vectors < (vectors == kPanelVectors ? kPanelVectors : 1); ++last_vectors) {
        for (const Index depth : {0, 1, 2, 13, 64}) {
          for (const bool backwards : {false, true}) {
            CAPTURE(count);
            CAPTURE(vectors);
            CAPTURE(last_vectors);
            CAPTURE(depth);
            CAPTURE(backwards);
            const Index width = vectors * V, stride = depth * width + random.integer(0, 4);
            const Index from_stride = count % 2 ? width : 0;  // 0: every panel begins alike
            const auto row = random.array<T>(depth), weights = random.array<T>((count - 1) * stride + depth * width);
            const auto from = random.array<T>((count - 1) * from_stride + width);
            const auto last_from = random.array<T>(last_vectors * V);
            const auto last_weights = random.array<T>(depth * last_vectors * V);
            const GuardedArray<T> to(count * width + last_vectors * V, random.guard());
            const Panels<T> panels{count,  vectors, last_vectors, weights.data(), last_weights.data(),
                                   stride, depth,   nullptr,      backwards};
            CHECK(panels.all() == count + (last_vectors > 0));
            row_product(row.data(), panels, from.data(), from_stride, last_from.data(), to.data());
            bool same = true;
            for (Index i = 0; i < to.size(); ++i) {
              const bool last = i >= count * width;
              const Index p = i / width, c = last ? i - count * width : i % width,
                          columns = last ? last_vectors * V : width;
              const T *panel = last ? last_weights.data() : weights.data() + p * stride;
              T sum = last ? last_from[c] : from[p * from_stride + c];
              for (Index k = 0; k < depth; ++k) sum = scalar_fma(row[k], panel[k * columns + c], sum);
              same = same && same_bits(to[i], sum);
            }
            CHECK(same);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
