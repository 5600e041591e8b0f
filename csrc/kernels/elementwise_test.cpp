#include "kernels/elementwise.h"

#include "testing/kernel_test.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

// One element at a time, so that the compiler makes no vectors of it.
template <class T>
void adam_element(const AdamTask<T> &task, Index i) {
  const auto as = [](double value) { return static_cast<T>(value); };
  const T g = task.gradient[i] + as(task.weight_decay) * task.parameter[i];
  task.mean[i] = as(task.beta1) * task.mean[i] + as(1 - task.beta1) * g;
  task.square[i] = as(task.beta2) * task.square[i] + as(1 - task.beta2) * (g * g);
  const T root = std::sqrt(task.square[i]) / as(task.root) + as(task.eps);
  task.parameter[i] = as(task.shrink) * task.parameter[i] - as(task.step_size) * (task.mean[i] / root);
}

TEST_CASE_TEMPLATE("elementwise: Adam is its scalar formula", T, float, double) {
  Random random(1);
  for (const Index size : odd_sizes<T>()) {
    for (const Guard guard : kGuards) {
      for (const double decay : {0.0, 0.1}) {
        CAPTURE(size);
        CAPTURE(decay);
        const auto gradient = random.array<T>(size, guard);
        const auto parameter = random.array<T>(size, guard), mean = random.array<T>(size, guard);
        const auto square = random.array<T>(size, guard);
        for (T &value : square) value *= value;
        AdamTask<T> task{
            size, parameter.data(), gradient.data(), mean.data(), square.data(), 0.9, 0.999, 1e-8, decay, 0.99, 0.02,
            0.4};
        std::vector<T> p(parameter.begin(), parameter.end()), m(mean.begin(), mean.end());
        std::vector<T> s(square.begin(), square.end());
        AdamTask<T> expected = task;
        expected.parameter = p.data();
        expected.mean = m.data();
        expected.square = s.data();
        adam(&task);
        for (Index i = 0; i < size; ++i) adam_element(expected, i);
        CHECK(same_bits(parameter.data(), p.data(), size));
        CHECK(same_bits(mean.data(), m.data(), size));
        CHECK(same_bits(square.data(), s.data(), size));
      }
    }
  }
}

TEST_CASE_TEMPLATE("elementwise: SGD with and without momentum", T, float, double) {
  Random random(2);
  for (const Index size : odd_sizes<T>()) {
    for (const bool momentum : {false, true}) {
      for (const bool nesterov : {false, true}) {
        CAPTURE(size);
        CAPTURE(momentum);
        CAPTURE(nesterov);
        const Guard guard = random.guard();
        const auto gradient = random.array<T>(size, guard), parameter = random.array<T>(size, guard);
        const auto velocity = random.array<T>(size, guard);
        const std::vector<T> p(parameter.begin(), parameter.end()), v(velocity.begin(), velocity.end());
        const SgdTask<T> task{size, parameter.data(), gradient.data(), momentum ? velocity.data() : nullptr, 0.1, 0.9,
                              0.01, nesterov};
        sgd(&task);
        bool same = true;
        for (Index i = 0; i < size; ++i) {
          T g = gradient[i] + static_cast<T>(0.01) * p[i];
          if (momentum) {
            const T next = static_cast<T>(0.9) * v[i] + g;
            same = same && same_bits(velocity[i], next);
            g = nesterov ? g + static_cast<T>(0.9) * next : next;
          }
          same = same && same_bits(parameter[i], p[i] - static_cast<T>(0.1) * g);
        }
        CHECK(same);
      }
    }
  }
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
