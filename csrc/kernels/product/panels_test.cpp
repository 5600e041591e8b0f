#include "kernels/product/panels.h"

#include "kernels/product/tile_shapes.h"
#include "testing/kernel_test.h"
#include "testing/workers.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

TEST_CASE_TEMPLATE("panels: a matrix as it stands, missing columns zero", T, float, double) {
  constexpr Index V = Vec<T>::size;
  Random random(1);
  for (int vectors = 1; vectors <= kPanelVectors; ++vectors) {
    for (const Index columns : odd_sizes<T>()) {
      for (const Index rows : {0, 1, 3, 17}) {
        CAPTURE(vectors);
        CAPTURE(columns);
        CAPTURE(rows);
        const Index stride = columns + random.integer(0, 3), padded = ceil_div(columns, V) * V;
        const auto from = random.array<T>(rows > 0 ? (rows - 1) * stride + columns : 0);
        const GuardedArray<T> to(padded * rows, random.guard());
        Worker worker = endless_worker();
        CHECK(pack_rows(from.data(), rows, columns, stride, vectors, to.data(), &worker));
        bool same = true;
        Index at = 0;
        for (Index first = 0; first < columns; first += vectors * V) {
          const Index width = smaller(vectors * V, padded - first);
          for (Index row = 0; row < rows; ++row) {
            for (Index c = first; c < first + width; ++c, ++at) {
              same = same && same_bits(to[at], c < columns ? from[row * stride + c] : T(0));
            }
          }
        }
        CHECK(same);
        CHECK(at == to.size());
      }
    }
  }
}

TEST_CASE_TEMPLATE("panels: a matrix turned, missing lanes zero", T, float, double) {
  constexpr Index V = Vec<T>::size;
  Random random(2);
  for (Index lanes = 0; lanes <= V; ++lanes) {
    for (const Index depth : odd_sizes<T>()) {
      for (int vectors = 1; vectors <= kPanelVectors; ++vectors) {
        CAPTURE(lanes);
        CAPTURE(depth);
        CAPTURE(vectors);
        const Index stride = depth + random.integer(0, 3), width = vectors * V;
        const auto from = random.array<T>(lanes > 0 ? (lanes - 1) * stride + depth : 0, random.guard());
        const GuardedArray<T> to(depth > 0 ? (depth - 1) * width + V : 0, random.guard());
        pack_transposed(from.data(), lanes, depth, stride, width, to.data());
        bool same = true;
        for (Index i = 0; i < to.size(); ++i) {
          const Index k = i / width, lane = i % width;
          same =
              same && (lane >= V ? to.untouched(i) : same_bits(to[i], lane < lanes ? from[lane * stride + k] : T(0)));
        }
        CHECK(same);
      }
    }
  }
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
