#include "kernels/narrow_kernels.h"

#include "testing/integer_problem.h"
#include "testing/narrow_weights.h"
#include "testing/workers.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

TEST_CASE("narrow kernels: a fully connected layer of int8 weights is exact sums, each rounded once") {
  Random random(1);
  Worker worker = endless_worker();
  const Kernels<float> kernels = narrow_kernels<Int8Weights>();
  for (const Index rows : {1, 2, 13, 37}) {
    for (const Index in : odd_sizes<float>()) {
      const Index out = random.integer(1, rows == 1 ? 140 : 40);
      CAPTURE(rows);
      CAPTURE(in);
      CAPTURE(out);
      const auto x = random.array<float>(rows * in), bias = random.array<float>(out), scales = random.array<float>(out);
      const GuardedArray<std::int8_t> weight(out * in);
      for (std::int8_t &value : weight) value = static_cast<std::int8_t>(random.integer(-127, 127));
      const GuardedArray<float> packed(kernels.linear_packed(in, out)), work(kernels.linear_work(in)), y(rows * out);
      CHECK(kernels.pack_linear_forward(in, out, weight.data(), scales.data(), bias.data(), packed.data(), &worker));
      LinearTask<float> task{};
      task.rows = task.last = rows;
      task.in = in;
      task.out = out;
      task.packed = packed.data();
      task.x = x.data();
      task.y = y.data();
      task.work = work.data();
      task.worker = &worker;
      CHECK(kernels.linear_forward(&task));
      bool same = true;
      for (Index row = 0; row < rows; ++row) {
        const Quantisation quantised(std::vector<float>(x.data() + row * in, x.data() + (row + 1) * in), 0.0f);
        for (Index o = 0; o < out; ++o) {
          same = same &&
                 same_bits(y[row * out + o], product_of(quantised, weight.data() + o * in, scales[o], bias[o], 0, in));
        }
      }
      CHECK(same);
    }
  }
}

template <class W>
void check_widening(const GuardedArray<typename W::Storage> &from, float scale, const std::vector<float> &expected) {
  const GuardedArray<float> to(from.size(), from.size() % 2 ? Guard::kBefore : Guard::kAfter);
  narrow_kernels<W>().widen(from.size(), from.data(), scale, to.data());
  CHECK(same_bits(to.data(), expected.data(), to.size()));
}

TEST_CASE("narrow kernels: rows of a table are widened") {
  Random random(2);
  for (const Index size : odd_sizes<float>()) {
    CAPTURE(size);
    const GuardedArray<std::int8_t> bytes(size, random.guard());
    const GuardedArray<std::uint16_t> halves(size, random.guard());
    std::vector<float> of_bytes, of_bfloat16, of_float16;
    for (Index i = 0; i < size; ++i) {
      bytes[i] = static_cast<std::int8_t>(random.integer(-127, 127));
      halves[i] = static_cast<std::uint16_t>(random.integer(0, 0x7bff));
      of_bytes.push_back(static_cast<float>(bytes[i]) * 0.37f);
      of_bfloat16.push_back(widened_bfloat16(halves[i]));
      of_float16.push_back(widened_float16(halves[i]));
    }
    check_widening<Int8Weights>(bytes, 0.37f, of_bytes);
    check_widening<Bfloat16Weights>(halves, 1, of_bfloat16);
    check_widening<Float16Weights>(halves, 1, of_float16);
  }
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
