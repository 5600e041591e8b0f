// Runs random models, and every operation of programs, in the ISA that RECURRA_ISA names, and prints a hash of all that
// each computes: the output must be the same of AVX2, AVX-512 and NEON.
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "dispatch.h"
#include "model/linear.h"
#include "model/narrow.h"
#include "model/optimizer.h"
#include "model/softmax.h"
#include "system/float_mode.h"
#include "testing/narrow_weights.h"
#include "testing/network_problem.h"
#include "testing/one_operation.h"
#include "testing/varied_cells.h"

namespace recurra {
namespace testing {
namespace {

// FNV-1a, of the bits of every number that is added; NaN is one number, since its sign is the CPU's choice.
class Hash {
 public:
  template <class T>
  void add(const T *values, Index count) {
    for (Index i = 0; i < count; ++i) {
      const T value = values[i] == values[i] ? values[i] : std::numeric_limits<T>::quiet_NaN();
      unsigned char bytes[sizeof(T)];
      std::memcpy(bytes, &value, sizeof(T));
      for (const unsigned char byte : bytes) state_ = (state_ ^ byte) * 0x100000001b3u;
    }
  }
  template <class T>
  void add(const Values<T> &values) {
    add(values.data(), static_cast<Index>(values.size()));
  }
  std::uint64_t value() const { return state_; }

 private:
  std::uint64_t state_ = 0xcbf29ce484222325u;
};

// A layer's weights with gradients and what an optimizer keeps of them, all arrays in the order of the parameters.
template <class T>
struct Trained {
  Parameters<T> &parameters;
  std::vector<Values<T>> gradients, means, squares;
  std::vector<T *> gradient_pointers, mean_pointers, square_pointers;

  explicit Trained(Parameters<T> &of) : parameters(of) {
    for (const auto &entry : parameters.entries) {
      for (auto *arrays : {&gradients, &means, &squares}) arrays->emplace_back(static_cast<std::size_t>(entry.size));
    }
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      gradient_pointers.push_back(gradients[i].data());
      mean_pointers.push_back(means[i].data());
      square_pointers.push_back(squares[i].data());
    }
  }
  void draw(Random &random, T scale) {
    for (std::size_t i = 0; i < parameters.entries.size(); ++i) {
      for (Index k = 0; k < parameters.entries[i].size; ++k) parameters.data(i)[k] = random.number<T>() * scale;
    }
  }
  void step(long long count, bool adam) {
    std::vector<Gradient<T>> given;
    for (T *values : gradient_pointers) given.push_back({values});
    const std::vector<Index> groups(given.size(), 0);
    const StepArrays<T> arrays{
        &parameters, given.data(), {mean_pointers.data(), square_pointers.data()}, groups.data(), -1};
    if (adam) {
      AdamTasks<T> tasks(1);
      tasks.begin({{0.01, 0.9, 0.999, 1e-8, 0.01}}, count % 2 == 0, count);
      adam_step(arrays, tasks);
    } else {
      sgd_step(arrays, {{0.01, 0.9, 0.001, count % 2 == 0}});
    }
  }
  void add_to(Hash &hash) const {
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      hash.add(gradients[i]);
      hash.add(parameters.data(i), parameters.entries[i].size);
    }
  }
};

// An inference, then forward with a tape and back; all results go into the hash.
template <class T>
void run_network(const NetworkProblem<T> &problem, const Network<T> &network, const ParametersPtr<T> &parameters,
                 Trained<T> &trained, Hash &hash) {
  TapeMemory<T> tape(problem.sequences());
  auto untaped = run_forward<T>(problem, network, parameters, tape.sequences, nullptr),
       taped = run_forward(problem, network, parameters, tape.sequences, &tape);
  run_backward(problem, network, tape, trained.gradient_pointers, taped);
  for (const auto *answer : {&untaped, &taped}) {
    for (const auto *values : {&answer->y, &answer->dx, &answer->dtable}) hash.add(*values);
    for (const auto *arrays : {&answer->final, &answer->dinitial}) {
      for (const auto &values : *arrays) hash.add(values);
    }
    for (const auto &values : answer->dinputs) hash.add(values);
  }
}

NetworkShape random_shape(Random &random, const std::shared_ptr<const NamedCell> &cell) {
  constexpr Index sizes[] = {1, 2, 3, 7, 8, 13, 16, 17, 31, 32, 33, 47, 64, 65, 100, 128};
  Index heads = 1;
  for (const ParameterDescription &parameter : cell->arrays.parameters) {
    heads = std::max<Index>(heads, parameter.heads);
  }
  const auto random_size = [&] { return (sizes[random.integer(0, 15)] + heads - 1) / heads * heads; };
  NetworkShape shape{};
  shape.cell = cell;
  shape.hidden_size = random_size();
  shape.projected_size = cell->cell.projects ? random_size() : shape.hidden_size;
  shape.directions = static_cast<int>(random.integer(1, 2));
  shape.input_size = cell->cell.raw ? shape.hidden_size : random.integer(1, 70);
  shape.layers = cell->cell.raw && shape.features() != shape.hidden_size ? 1 : random.integer(1, 3);
  shape.bias = random.integer(0, 4) > 0;
  shape.reverse = shape.directions == 1 && random.integer(0, 2) == 0;
  shape.learned = random.integer(0, 2) == 0;
  return shape;
}

template <class T>
void check_network(int number, const std::shared_ptr<const NamedCell> &cell) {
  Random random(static_cast<std::uint64_t>(number) * 2 + sizeof(T) / 8);
  const NetworkShape shape = random_shape(random, cell);
  const Network<T> network(shape);
  const auto parameters = std::make_shared<Parameters<T>>(network.table);
  Trained<T> trained(*parameters);
  // Every tenth is one that explodes.
  trained.draw(random, number % 10 == 9 ? T(2) : T(1) / std::sqrt(static_cast<T>(shape.hidden_size)));
  Hash hash;
  for (int step = 1; step <= 2; ++step) {  // the second with other weights
    run_network(NetworkProblem<T>(random, shape, 24, 21), network, parameters, trained, hash);
    trained.step(step, number % 2 == 0);
  }
  trained.add_to(hash);
  std::printf("network %d %s %s %016" PRIx64 "\n", number, cell->name.c_str(), sizeof(T) == 4 ? "float32" : "float64",
              hash.value());
}

const char *name_of(Weights form) {
  return form == Weights::kBfloat16 ? "bfloat16" : form == Weights::kFloat16 ? "float16" : "int8";
}

// The same network with narrow weights, at two problems.
void check_narrow(int number, const std::shared_ptr<const NamedCell> &cell) {
  Random random(5000 + static_cast<std::uint64_t>(number));
  const NetworkShape shape = random_shape(random, cell);
  Parameters<float> parameters(Network<float>(shape).table);
  Trained<float> trained(parameters);
  trained.draw(random, number % 10 == 9 ? 2.0f : 1 / std::sqrt(static_cast<float>(shape.hidden_size)));
  const NetworkProblem<float> first(random, shape, 24, 21), second(random, shape, 24, 1);
  for (const Weights form : {Weights::kBfloat16, Weights::kFloat16, Weights::kInt8}) {
    const NarrowedWeights narrowed(parameters, form);
    const Network<float> network(shape, parameters.table, form);
    const PackedPtr<float> packed = network.pack(narrowed.arrays, nullptr);
    Hash hash;
    for (const auto *problem : {&first, &second}) {
      const auto answer = run_forward(*problem, network, packed);
      hash.add(answer.y);
      for (const auto &values : answer.final) hash.add(values);
    }
    std::printf("network %d %s %s %016" PRIx64 "\n", number, cell->name.c_str(), name_of(form), hash.value());
  }
}

void check_narrow_linear(int number) {
  Random random(6000 + static_cast<std::uint64_t>(number));
  const Index rows = random.integer(0, 60), in = number == 0 ? 9001 : random.integer(0, 300),
              out = random.integer(1, 80);
  const bool bias = random.integer(0, 1) == 1;
  Linear<float> linear(in, out, bias);
  Trained<float>(*linear.parameters).draw(random, 1.0f);
  const auto x = random_values<float>(random, rows * in, 3.0f);
  for (const Weights form : {Weights::kBfloat16, Weights::kFloat16, Weights::kInt8}) {
    const NarrowedWeights narrowed(*linear.parameters, form);
    NarrowLinear narrow(in, out, bias, form);
    narrow.pack(narrowed.arrays, nullptr);
    Values<float> y(static_cast<std::size_t>(rows * out));
    narrow.forward(rows, x.data(), y.data(), nullptr);
    Hash hash;
    hash.add(y);
    std::printf("linear %d %s %016" PRIx64 "\n", number, name_of(form), hash.value());
  }
}

template <class T>
void check_linear(int number) {
  Random random(1000 + static_cast<std::uint64_t>(number) * 2 + sizeof(T) / 8);
  const Index rows = random.integer(0, 300), in = random.integer(0, 80), out = random.integer(1, 80);
  Linear<T> linear(in, out, random.integer(0, 1) == 1);
  Trained<T> trained(*linear.parameters);
  trained.draw(random, T(1));
  const auto x = random_values<T>(random, rows * in), dy = random_values<T>(random, rows * out);
  Values<T> y(dy.size()), dx(x.size()), probabilities(dy.size());
  long long version = 0;
  linear.forward(rows, x.data(), y.data(), nullptr, version);
  bool outdated = false;
  linear.backward(rows, linear.packed_backward(version, nullptr, outdated), x.data(), dy.data(), dx.data(),
                  trained.gradient_pointers.data(), nullptr);
  trained.step(1, number % 2 == 0);
  SoftmaxTask<T> task{};
  task.rows = rows;
  task.columns = out;
  task.x = y.data();
  task.y = probabilities.data();
  softmax_rows(task, nullptr);
  Hash hash;
  for (const auto *values : {&y, &dx, &probabilities}) hash.add(*values);
  trained.add_to(hash);
  std::printf("linear %d %s %016" PRIx64 "\n", number, sizeof(T) == 4 ? "float32" : "float64", hash.value());
}

template <class T>
void check_activations() {
  Random random(2000);
  const auto small = random_values<T>(random, 4001, T(3)), large = random_values<T>(random, 4001, T(900));
  Values<T> y(small.size());
  Hash hash;
  for (const auto *x : {&small, &large}) {
    kernels_of<T>().sigmoid(static_cast<Index>(x->size()), x->data(), y.data());
    hash.add(y);
    kernels_of<T>().tanh(static_cast<Index>(x->size()), x->data(), y.data());
    hash.add(y);
  }
  std::printf("activations %s %016" PRIx64 "\n", sizeof(T) == 4 ? "float32" : "float64", hash.value());
}

OneOperations operations_of_active_isa() {
  const std::string isa = active_kernels().isa;
#ifdef RECURRA_HAVE_AVX2
  if (isa == "avx2") return isa_avx2::one_operations();
#endif
#ifdef RECURRA_HAVE_AVX512
  if (isa == "avx512" || isa == "avx512vnni") return isa_avx512::one_operations();
#endif
#ifdef RECURRA_HAVE_NEON
  if (isa == "neon") return isa_neon::one_operations();
#endif
#ifdef RECURRA_HAVE_BASELINE
  if (isa == "baseline") return isa_baseline::one_operations();
#endif
  throw std::logic_error("bits: no operations of " + isa);
}

// Numbers of every sign and exponent, infinities, NaN and subnormal ones among them; then as many of moderate size.
template <class T>
Values<T> sweep(Random &random) {
  constexpr Index kHalf = 1 << 16;
  Values<T> values(2 * kHalf);
  for (Index i = 0; i < kHalf; ++i) {
    constexpr int kBits = 8 * static_cast<int>(sizeof(T));
    const std::uint64_t bits = (static_cast<std::uint64_t>(i) << (kBits - 16)) | (random.bits() >> (64 - (kBits - 16)));
    std::memcpy(&values[static_cast<std::size_t>(i)], &bits, sizeof(T));  // of the low end of `bits`
    values[static_cast<std::size_t>(kHalf + i)] = random.number<T>() * (i % 2 ? T(4) : T(100));
  }
  return values;
}

template <class T>
void check_operations(OneOperation<T> run) {
  Random random(3000);
  Values<T> a = sweep<T>(random), b = sweep<T>(random), c = sweep<T>(random), to(a.size());
  for (Values<T> *values : {&b, &c}) {  // in another order each
    for (std::size_t i = values->size() - 1; i > 0; --i)
      std::swap((*values)[i], (*values)[static_cast<std::size_t>(random.integer(0, static_cast<Index>(i)))]);
  }
  for (std::int32_t operation = 0; operation < kOperationCount; ++operation) {
    run(operation, static_cast<Index>(a.size()), a.data(), b.data(), c.data(), to.data());
    Hash hash;
    hash.add(to);
    std::printf("operation %d %s %016" PRIx64 "\n", operation, sizeof(T) == 4 ? "float32" : "float64", hash.value());
  }
}

void check_all() {
  std::fprintf(stderr, "bits of %s\n", active_kernels().isa);
  int number = 0;
  const auto check_networks = [&](int rounds, const std::vector<std::shared_ptr<const NamedCell>> &cells) {
    for (int round = 0; round < rounds; ++round) {
      for (const auto &cell : cells) {
        check_network<float>(number, cell);
        check_network<double>(number, cell);
        check_narrow(number++, cell);
      }
    }
  };
  std::vector<std::shared_ptr<const NamedCell>> compiled, programs;
  for (int id = 0; id < kCompiledCells; ++id) compiled.push_back(compiled_cell(static_cast<CompiledCell>(id)));
  for (const CellSource &source : varied_sources()) programs.push_back(interpreted(source));
  check_networks(8, compiled);
  check_networks(4, programs);
  for (int i = 0; i < 6; ++i) {
    check_linear<float>(i);
    check_linear<double>(i);
    check_narrow_linear(i);
  }
  check_activations<float>();
  check_activations<double>();
  check_operations<float>(operations_of_active_isa().f32);
  check_operations<double>(operations_of_active_isa().f64);
}

}  // namespace
}  // namespace testing
}  // namespace recurra

int main() {
  const recurra::FloatMode mode;  // as within a call from Python
  recurra::testing::check_all();
}
