#include "kernels/linear.h"

#include "testing/kernel_test.h"
#include "testing/workers.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

template <class T>
struct Layer {
  Index rows, in, out;
  GuardedArray<T> x, weight, bias, dy;

  Layer(Random &random, Index row_count, Index inputs, Index outputs)
      : rows(row_count),
        in(inputs),
        out(outputs),
        x(random.array<T>(row_count * inputs)),
        weight(random.array<T>(outputs * inputs)),
        bias(random.array<T>(outputs)),
        dy(random.array<T>(row_count * outputs)) {}

  LinearTask<T> task(T *work, Worker *worker) const {
    LinearTask<T> task{};
    task.rows = rows;
    task.in = in;
    task.out = out;
    task.last = rows;
    task.parts = 1;
    task.x = x.data();
    task.dy = dy.data();
    task.work = work;
    task.worker = worker;
    return task;
  }
};

template <class T, class Check>
void for_layers(Check check) {
  Random random(1);
  for (const Index rows : {0, 1, 2, 13, 129, 257}) {
    for (const Index in : odd_sizes<T>()) {
      for (const Index out : {random.integer(1, 9), random.integer(10, 140)}) {
        if (rows > 20 && in * out > 4000) continue;
        CAPTURE(rows);
        CAPTURE(in);
        CAPTURE(out);
        check(Layer<T>(random, rows, in, out));
      }
    }
  }
}

TEST_CASE_TEMPLATE("linear: y begins as the bias and goes on over the inputs", T, float, double) {
  for_layers<T>([](const Layer<T> &layer) {
    for (const bool biased : {false, true}) {
      CAPTURE(biased);
      const GuardedArray<T> packed(linear_packed<T>(layer.in, layer.out)), work(linear_work<T>(0));
      const GuardedArray<T> y(layer.rows * layer.out, kGuards[biased]);
      Worker worker = endless_worker();
      CHECK(pack_linear_forward(layer.in, layer.out, layer.weight.data(), nullptr, biased ? layer.bias.data() : nullptr,
                                packed.data(), &worker));
      LinearTask<T> task = layer.task(work.data(), &worker);
      task.packed = packed.data();
      task.y = y.data();
      task.last = layer.rows / 2;  // in two calls, as two threads would
      CHECK(linear_forward(&task));
      task.first = task.last;
      task.last = layer.rows;
      CHECK(linear_forward(&task));
      bool same = true;
      for (Index i = 0; i < y.size(); ++i) {
        const Index row = i / layer.out, o = i % layer.out;
        T sum = biased ? layer.bias[o] : T(0);
        for (Index k = 0; k < layer.in; ++k) {
          sum = scalar_fma(layer.x[row * layer.in + k], layer.weight[o * layer.in + k], sum);
        }
        same = same && same_bits(y[i], sum);
      }
      CHECK(same);
    }
  });
}

TEST_CASE_TEMPLATE("linear: gradients in blocks of rows, shared out by the weight's rows", T, float, double) {
  for_layers<T>([](const Layer<T> &layer) {
    for (const Index parts : {1, 3}) {
      CAPTURE(parts);
      const GuardedArray<T> packed(linear_packed<T>(layer.in, layer.out)), work(linear_work<T>(0));
      const GuardedArray<T> dx(layer.rows * layer.in, kGuards[parts / 2]);
      const GuardedArray<T> dweight(layer.out * layer.in), dbias(layer.out);
      Worker worker = endless_worker();
      CHECK(pack_linear_backward(layer.in, layer.out, layer.weight.data(), packed.data(), &worker));
      for (Index part = 0; part < parts; ++part) {
        LinearTask<T> task = layer.task(work.data(), &worker);
        task.packed = packed.data();
        task.first = layer.rows * part / parts;
        task.last = layer.rows * (part + 1) / parts;
        task.part = part;
        task.parts = parts;
        task.dx = dx.data();
        task.dweight = dweight.data();
        task.dbias = dbias.data();
        CHECK(linear_backward(&task));
      }
      bool same = true;
      for (Index i = 0; i < dx.size(); ++i) {
        T sum = 0;
        for (Index o = 0; o < layer.out; ++o) {
          sum = scalar_fma(layer.dy[i / layer.in * layer.out + o], layer.weight[o * layer.in + i % layer.in], sum);
        }
        same = same && same_bits(dx[i], sum);
      }
      CHECK(same);
      const auto blocks = [&](const auto &add) {
        T total = 0;
        for (Index begin = 0; begin < layer.rows; begin += kBlockRows) {
          T sum = 0;
          for (Index n = begin; n < smaller(layer.rows, begin + kBlockRows); ++n) sum = add(n, sum);
          total = begin > 0 ? total + sum : sum;
        }
        return total;
      };
      for (Index o = 0; o < layer.out; ++o) {
        same = same && same_bits(dbias[o], blocks([&](Index n, T sum) { return sum + layer.dy[n * layer.out + o]; }));
        for (Index i = 0; i < layer.in; ++i) {
          same = same && same_bits(dweight[o * layer.in + i], blocks([&](Index n, T sum) {
                                     return scalar_fma(layer.dy[n * layer.out + o], layer.x[n * layer.in + i], sum);
                                   }));
        }
      }
      CHECK(same);
    }
  });
}

TEST_CASE_TEMPLATE("linear: stops when it is told to", T, float, double) {
  Random random(3);
  const Layer<T> layer(random, 3, 5, 7);
  const GuardedArray<T> packed(linear_packed<T>(5, 7)), work(linear_work<T>(0)), y(3 * 7), dx(3 * 5), dweight(7 * 5);
  Worker worker = stopping_worker();
  LinearTask<T> task = layer.task(work.data(), &worker);
  CHECK_FALSE(pack_linear_forward(layer.in, layer.out, layer.weight.data(), nullptr, layer.bias.data(), packed.data(),
                                  &worker));
  task.packed = packed.data();
  task.y = y.data();
  CHECK_FALSE(linear_forward(&task));
  CHECK_FALSE(pack_linear_backward(layer.in, layer.out, layer.weight.data(), packed.data(), &worker));
  task.dx = dx.data();
  task.dweight = dweight.data();
  CHECK_FALSE(linear_backward(&task));
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
