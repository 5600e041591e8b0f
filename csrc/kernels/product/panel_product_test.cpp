#include "kernels/product/panel_product.h"

#include "testing/kernel_test.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

// A product of `rows` rows with one panel in several terms, and what must come out.
template <class T>
struct Problem {
  Index rows;
  int vectors;
  Index width, from_stride;
  std::vector<GuardedArray<T>> values, panels;  // of each term; a term's rows lie in one array
  std::vector<std::vector<const T *>> pointers;
  std::vector<Term<T>> terms;
  GuardedArray<T> from;
  std::vector<T> sums;  // (rows, width)

  Problem(Random &random, Index row_count, int vector_count, const std::vector<Index> &depths, bool bias)
      : rows(row_count),
        vectors(vector_count),
        width(vector_count * Vec<T>::size),
        from_stride(bias ? 0 : width + random.integer(0, 3)),
        from(random.array<T>(row_count > 0 ? (row_count - 1) * from_stride + width : 0)) {
    pointers.resize(depths.size());
    for (std::size_t s = 0; s < depths.size(); ++s) {
      const Index offset = random.integer(0, 2), stride = offset + depths[s];
      values.push_back(random.array<T>(rows * stride));
      panels.push_back(random.array<T>(depths[s] * width));
      for (Index r = 0; r < rows; ++r) pointers[s].push_back(values[s].data() + r * stride);
      terms.push_back({pointers[s].data(), offset, panels[s].data(), depths[s]});
    }
    for (Index r = 0; r < rows; ++r) {
      for (Index c = 0; c < width; ++c) {
        T sum = from[r * from_stride + c];
        for (const Term<T> &term : terms) {
          for (Index k = 0; k < term.depth; ++k) {
            sum = scalar_fma(term.rows[r][term.row_offset + k], term.panel[k * width + c], sum);
          }
        }
        sums.push_back(sum);
      }
    }
  }
};

constexpr Index kRows[] = {0, 1, 2, 3, 5, 6, 7, 8, 13, 33};
const std::vector<Index> kDepths[] = {{0}, {1}, {7}, {37}, {16, 3}, {0, 5}, {5, 0, 9}};

TEST_CASE_TEMPLATE("panel product: the same chains for every block of depth and size of tile", T, float, double) {
  Random random(1);
  for (const Index rows : kRows) {
    for (int vectors = 1; vectors <= kPanelVectors; ++vectors) {
      for (const auto &depths : kDepths) {
        const Problem<T> problem(random, rows, vectors, depths, random.integer(0, 1) == 1);
        for (const Index block : {1, 2, 5, 16, 1000}) {
          for (const Index tile : {1, 2, 3, 8}) {
            CAPTURE(rows);
            CAPTURE(vectors);
            CAPTURE(depths.size());
            CAPTURE(depths[0]);
            CAPTURE(block);
            CAPTURE(tile);
            const GuardedArray<T> accumulators(rows * problem.width);
            Index finished = 0;
            bool same = true;
            panel_product(PanelProduct<T>{rows, vectors, problem.from.data(), problem.from_stride, problem.terms.data(),
                                          static_cast<int>(problem.terms.size()), block, tile, accumulators.data(),
                                          nullptr, false},
                          [&](Index first, Index n, const T *sums) {
                            same = same && first == finished && n <= kScratchRows &&
                                   same_bits(sums, problem.sums.data() + first * problem.width, n * problem.width);
                            finished += n;
                          });
            CHECK(same);
            CHECK(finished == rows);
          }
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("panel product: prefetching and placing change nothing", T, float, double) {
  Random random(2);
  for (const Index rows : kRows) {
    for (int vectors = 1; vectors <= kPanelVectors; ++vectors) {
      const Problem<T> problem(random, rows, vectors, {random.integer(0, 40), random.integer(1, 9)}, false);
      const Index width = problem.width, columns = width + random.integer(0, 7);
      const auto next = random.array<T>(50 * width);
      for (const T *ahead : {static_cast<const T *>(nullptr), static_cast<const T *>(next.data())}) {
        for (const bool spread : {false, true}) {
          for (const Index block : {3, 1000}) {
            CAPTURE(rows);
            CAPTURE(vectors);
            CAPTURE(spread);
            CAPTURE(block);
            const GuardedArray<T> accumulators(rows * width), to(rows > 0 ? (rows - 1) * columns + width : 0);
            Index prepared = 0, finished = 0;
            panel_product(
                PanelProduct<T>{rows, vectors, problem.from.data(), problem.from_stride, problem.terms.data(), 2, block,
                                Index(8), accumulators.data(), ahead, spread},
                [&](Index first, Index n, const T *sums) {
                  CHECK(sums == to.data() + first * columns);
                  CHECK(first + n == prepared);  // a tile's lines are named before it is finished
                  finished += n;
                },
                [&](Index first, Index n, PrefetchList &lines) {
                  CHECK(first == prepared);
                  prepared += n;
                  for (Index r = 0; r < n; ++r) lines.add(next.data() + r);
                },
                [&](Index first, const Destination<T> &) {
                  return Destination<T>{to.data() + first * columns, columns};
                });
            CHECK(finished == rows);
            bool same = true;
            for (Index r = 0; r < rows; ++r) {
              same = same && same_bits(to.data() + r * columns, problem.sums.data() + r * width, width);
              for (Index c = width; r + 1 < rows && c < columns; ++c) same = same && to.untouched(r * columns + c);
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
