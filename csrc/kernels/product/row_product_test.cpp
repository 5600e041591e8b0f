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

template <class T>
void check_panels(Random &random, Index n, Index count, int vectors, int last_vectors, Index depth, bool backwards,
                  bool names) {
  constexpr Index V = Vec<T>::size;
  CAPTURE(n);
  CAPTURE(count);
  CAPTURE(vectors);
  CAPTURE(last_vectors);
  CAPTURE(depth);
  CAPTURE(backwards);
  const Index width = vectors * V, stride = depth * width + random.integer(0, 4), all = count + (last_vectors ? 1 : 0);
  const auto weights = random.array<T>((count - 1) * stride + depth * width);
  const auto last = random.array<T>(depth * last_vectors * V), values = random.array<T>(n * depth);
  const Index from_stride = n > 1 ? width : 0, from_panel_stride = n > 1 ? n * width : width;
  const auto from = random.array<T>((count - 1) * from_panel_stride + (n - 1) * from_stride + width);
  const auto last_from = random.array<T>(last_vectors * V);
  std::vector<const T *> rows;
  for (Index r = 0; r < n; ++r) rows.push_back(values.data() + r * depth);
  const Panels<T> panels{count, vectors, last_vectors, weights.data(), last.data(), stride, depth, nullptr, backwards};
  Plan plan;
  plan.depth_block = 11;
  plan.tile_rows = 8;
  const GuardedArray<T> stash(n * width);
  Index prepared = 0, finished = 0;
  bool same = true;
  const auto finish = [&](Index first, Index rows_done, const T *sums) {
    finished += rows_done;
    for (Index r = first; r < first + rows_done; ++r) {
      for (Index p = 0; p < all; ++p) {
        const int own = p < count ? vectors : last_vectors;
        const T *panel = p < count ? weights.data() + p * stride : last.data();
        const T *begin = p < count ? from.data() + p * from_panel_stride : last_from.data();
        for (Index c = 0; c < own * V; ++c, ++sums) {
          T sum = begin[r * from_stride + c];
          for (Index k = 0; k < depth; ++k) sum = scalar_fma(rows[r][k], panel[k * own * V + c], sum);
          same = same && same_bits(*sums, sum);
        }
      }
    }
  };
  const auto product = [&](auto prepare) {
    panels_product(plan, n, rows.data(), panels, from.data(), from_stride, from_panel_stride, last_from.data(),
                   stash.data(), finish, prepare);
  };
  if (names) {
    product([&](Index, Index, Index rows_next, Lines &lines) {
      lines.add(weights.data());
      prepared += rows_next;
    });
  } else {
    product([&](Index, Index, Index rows_next) { prepared += rows_next; });
  }
  CHECK(same);
  CHECK(finished == n);
  CHECK(prepared == n * all);
}

TEST_CASE_TEMPLATE("row product: one row, several panels and an uneven last one", T, float, double) {
  Random random(1);
  for (int vectors = 1; vectors <= kPanelVectors; ++vectors) {
    for (Index count = 1; count <= kRowGroup; ++count) {
      for (int last = 0; last < (vectors == kPanelVectors ? kPanelVectors : 1); ++last) {
        for (const Index depth : {0, 1, 2, 13, 64}) {
          for (const bool backwards : {false, true}) {
            check_panels<T>(random, 1, count, vectors, last, depth, backwards, count % 2 == 0);
          }
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("row product: several rows take one panel", T, float, double) {
  Random random(2);
  for (int vectors = 1; vectors <= kPanelVectors; ++vectors) {
    for (const Index n : {2, 3, 8, 13}) {
      for (const Index depth : {1, 10, 11, 12, 40}) check_panels<T>(random, n, 1, vectors, 0, depth, false, n % 2 == 0);
    }
  }
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
