#include "kernels/narrow/quantise.h"

#include <limits>

#include "testing/integer_problem.h"
#include "testing/kernel_test.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

bool same_scale(float a, float b) { return same_bits(a, b) || (a != a && b != b); }

void check(const GuardedArray<float> &row, float floor, Guard guard) {
  const Quantisation expected(row, floor);
  const GuardedArray<Quantised> to(quantised_size(row.size()), guard);
  const float scale = quantise(row.data(), row.size(), floor, to.data());
  CHECK(same_scale(scale, expected.scale));
  bool same = true;
  for (Index k = 0; k < to.size(); ++k) {
    same = same && activation_at(to.data(), k) == (k < row.size() ? expected.values[k] : 0);
  }
  CHECK(same);
}

std::vector<Index> depths() {
  std::vector<Index> sizes = odd_sizes<float>();
  for (const Index size : {31, 32, 33, 63, 64, 65}) sizes.push_back(size);
  return sizes;
}

TEST_CASE("quantise: rows of every length, by their largest magnitude") {
  Random random(1);
  for (const Index depth : depths()) {
    for (const float floor : {0.0f, 1.0f}) {
      for (const float factor : {1e-38f, 3e-29f, 0.3f, 1.0f, 2.0f, 1e30f}) {
        CAPTURE(depth);
        CAPTURE(floor);
        CAPTURE(factor);
        const auto row = random.array<float>(depth, random.guard());
        for (float &value : row) value *= factor;
        check(row, floor, random.guard());
      }
    }
  }
}

TEST_CASE("quantise: one extraordinary value anywhere") {
  Random random(2);
  const float values[] = {kInfinity,   -kInfinity, kNaN,   1.0f,   -1.0f, 1.0000001f,
                          -1.0000001f, 1e-30f,     9e-31f, 1e-45f, -0.0f};
  for (const Index depth : depths()) {
    for (Index at = 0; at < depth; at += at + 3 < depth ? random.integer(1, 3) : 1) {
      for (const float value : values) {
        for (const float others : {0.0f, 0.9f}) {
          for (const float floor : {0.0f, 1.0f}) {
            CAPTURE(depth);
            CAPTURE(at);
            CAPTURE(value);
            CAPTURE(floor);
            const auto row = random.array<float>(depth, random.guard());
            for (float &other : row) other *= others;
            row[at] = value;
            check(row, floor, random.guard());
          }
        }
      }
    }
  }
}

TEST_CASE("quantise: halves go to the even neighbour, and nothing beyond 2047") {
  const GuardedArray<float> row{2047.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 1023.5f, -1024.5f, -2047.0f, 2046.5f};
  const GuardedArray<Quantised> to(quantised_size(row.size()));
  CHECK(same_bits(quantise(row.data(), row.size(), 0.0f, to.data()), 1.0f));
  const int expected[] = {2047, 0, 2, 2, 0, -2, -2, 1024, -1024, -2047, 2046};
  for (Index k = 0; k < row.size(); ++k) CHECK(activation_at(to.data(), k) == expected[k]);
}

TEST_CASE("quantise: a row's largest value becomes 2047, whichever way its factor was rounded") {
  Random random(3);
  const GuardedArray<float> row(2);
  const GuardedArray<Quantised> to(quantised_size(2));
  bool all = true;
  for (int i = 0; i < 20000; ++i) {
    row[0] = (random.number<float>() + 1.5f) * 1e-3f;
    row[1] = -row[0];
    quantise(row.data(), 2, 0.0f, to.data());
    all = all && activation_at(to.data(), 0) == 2047 && activation_at(to.data(), 1) == -2047;
  }
  CHECK(all);
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
