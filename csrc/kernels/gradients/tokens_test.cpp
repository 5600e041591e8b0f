#include "kernels/gradients/tokens.h"

#include "testing/kernel_test.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

TEST_CASE_TEMPLATE("tokens: a block's deltas are summed by token in the rows' order, then added", T, float, double) {
  Random random(1);
  std::vector<Index> sizes = odd_sizes<T>();
  sizes.insert(sizes.end(), {kTokenColumns - 1, kTokenColumns, kTokenColumns + 1, 2 * kTokenColumns + 3});
  for (const Index columns : sizes) {
    for (const Index alphabet : {1, 2, 5, 300}) {
      for (const Index count : {0, 1, 7, 128}) {
        CAPTURE(columns);
        CAPTURE(alphabet);
        CAPTURE(count);
        const Index first = random.integer(0, 5), last = first + columns;
        const Index delta_stride = last + random.integer(0, 3), width = columns + random.integer(0, 2);
        const auto deltas = random.array<T>(count > 0 ? (count - 1) * delta_stride + last : 0);
        const GuardedArray<Index> tokens(count);
        for (Index &token : tokens) token = random.integer(0, alphabet - 1);
        const auto sums = random.array<T>((alphabet - 1) * width + columns, random.guard());
        std::vector<T> expected(sums.begin(), sums.end());
        Arena measured{nullptr};
        TokenWork<T>{measured, alphabet};
        const GuardedArray<char> memory(measured.used);
        Arena arena{memory.data()};
        TokenWork<T> work(arena, alphabet);
        for (Index token = 0; token < alphabet; ++token) work.slot[token] = -1;
        block_token_gradient(work, tokens.data(), count, deltas.data(), delta_stride, first, last, sums.data(), width);
        for (Index token = 0; token < alphabet; ++token) {
          for (Index c = 0; c < columns; ++c) {
            T sum = 0;
            bool met = false;
            for (Index n = 0; n < count; ++n) {
              if (tokens[n] != token) continue;
              sum += deltas[n * delta_stride + first + c];
              met = true;
            }
            if (met) expected[token * width + c] += sum;
          }
          CHECK(work.slot[token] == -1);  // ready for the next block
        }
        CHECK(same_bits(sums.data(), expected.data(), sums.size()));
      }
    }
  }
}

TEST_CASE_TEMPLATE("tokens: sums turned are the gradient of the weight", T, float, double) {
  Random random(2);
  for (const Index alphabet : {0, 1, 15, 16, 17, 50}) {
    for (const Index rows : {0, 1, 7, 33}) {
      CAPTURE(alphabet);
      CAPTURE(rows);
      const Index width = rows + random.integer(0, 3);
      const auto sums = random.array<T>(alphabet > 0 ? (alphabet - 1) * width + rows : 0);
      const GuardedArray<T> weight(rows * alphabet);
      turn_token_sums(sums.data(), width, rows, alphabet, weight.data());
      bool same = true;
      for (Index i = 0; i < weight.size(); ++i) {
        same = same && same_bits(weight[i], sums[i % alphabet * width + i / alphabet]);
      }
      CHECK(same);
    }
  }
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
