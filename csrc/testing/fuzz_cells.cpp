// fuzz_cells COUNT [SEED]: makes so many damaged descriptions of cells, and runs each that is accepted all the same,
// and those that are whole, in tiny networks, forward without and with a tape and back. Under a sanitizer it shows
// whether what the check lets through can make the kernels touch memory that isn't theirs, or read what nobody has
// written; by itself, whether a tape or a second call changes results.
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <numeric>

#include "dispatch.h"
#include "testing/cell_mutations.h"
#include "testing/network_problem.h"

namespace recurra {
namespace testing {
namespace {

constexpr Index kMostUnits = 70;

// Numbers of NaN may have any bits.
template <class T>
bool same_values(const Values<T> &a, const Values<T> &b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](T x, T y) { return same_bits(x, y) || (x != x && y != y); });
}

// The number that sizes must be multiples of, so that heads divide them.
Index heads_of(const Cell &cell) {
  Index common = 1;
  for (int i = 0; i < cell.parameter_count; ++i) {
    if (cell.parameters[i].heads > kMostUnits) return kMostUnits + 1;
    common = std::lcm(common, static_cast<Index>(cell.parameters[i].heads));
  }
  return common;
}

// Often one more or less than some vectors have; sometimes so many that a single row takes several panels at once.
Index random_size(Random &random, Index factor) {
  const Index vectors = random.integer(1, random.integer(0, 30) ? 8 : 80);
  const Index size = random.integer(0, 1) ? 8 * vectors + random.integer(-1, 1) : random.integer(1, 20);
  return factor * std::max<Index>(1, size / factor);
}

// A shape that the cell can have; hidden_size is 0 if there is none so small.
NetworkShape random_shape(Random &random, const std::shared_ptr<const NamedCell> &named) {
  const Cell &cell = named->cell;
  const Index factor = heads_of(cell);
  NetworkShape shape{};
  shape.cell = named;
  if (factor > kMostUnits) return shape;
  shape.hidden_size = random_size(random, factor);
  shape.projected_size = cell.projects ? random_size(random, factor) : shape.hidden_size;
  shape.directions = static_cast<int>(random.integer(1, 2));
  shape.layers = random.integer(1, 2);
  shape.input_size = random.integer(1, 20);
  shape.bias = random.integer(0, 1) == 1;
  if (cell.raw) {  // x, of every layer, has as many features as there are units
    shape.input_size = shape.hidden_size;
    if (shape.features() != shape.hidden_size) shape.layers = 1;
  }
  shape.reverse = shape.directions == 1 && random.integer(0, 3) == 0;
  shape.learned = random.integer(0, 2) == 0;
  return shape;
}

template <class T>
struct Results {
  NetworkAnswer<T> untaped, taped;
  std::vector<Values<T>> gradients;
};

template <class T>
Results<T> compute(const NetworkProblem<T> &problem, const Network<T> &network, const ParametersPtr<T> &parameters,
                   [[maybe_unused]] unsigned char fresh) {
#ifdef __SANITIZE_ADDRESS__
  fresh_byte = fresh;
#endif
  Results<T> results;
  std::vector<T *> pointers;
  for (const auto &entry : parameters->entries) results.gradients.emplace_back(static_cast<std::size_t>(entry.size));
  for (Values<T> &gradient : results.gradients) pointers.push_back(gradient.data());
  TapeMemory<T> tape(problem.sequences());
  results.untaped = run_forward<T>(problem, network, parameters, tape.sequences, nullptr);
  results.taped = run_forward(problem, network, parameters, tape.sequences, &tape);
  run_backward(problem, network, tape, pointers, results.taped);
  return results;
}

template <class Arrays>
bool all_same(const Arrays &a, const Arrays &b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto &one, const auto &other) { return same_values(one, other); });
}

template <class T>
bool same_forward(const NetworkAnswer<T> &a, const NetworkAnswer<T> &b) {
  return same_values(a.y, b.y) && all_same(a.final, b.final);
}

// What is wrong, or null.
template <class T>
const char *run_network(Random &random, const NetworkShape &shape) {
  const Network<T> network(shape);
  const auto parameters = std::make_shared<Parameters<T>>(network.table);
  for (std::size_t i = 0; i < parameters->entries.size(); ++i) {
    for (Index k = 0; k < parameters->entries[i].size; ++k) parameters->data(i)[k] = random.number<T>();
  }
  const NetworkProblem<T> problem(random, shape, 5, 9);
  const Results<T> one = compute(problem, network, parameters, 0xff), other = compute(problem, network, parameters, 0);
  const bool settled = same_forward(one.untaped, other.untaped) && same_forward(one.taped, other.taped) &&
                       same_values(one.taped.dx, other.taped.dx) && same_values(one.taped.dtable, other.taped.dtable) &&
                       all_same(one.taped.dinitial, other.taped.dinitial) &&
                       all_same(one.taped.dinputs, other.taped.dinputs) && all_same(one.gradients, other.gradients);
  if (!settled) return "results depend on what memory was before";
  const bool comparable = problem.masks.empty();  // which only calls with a tape have
  return comparable && !same_forward(one.untaped, one.taped) ? "the tape changes results" : nullptr;
}

class Run {
 public:
  explicit Run(std::uint64_t seed) : seeds_(seed) {}

  void add(int description, const std::shared_ptr<const NamedCell> &cell) {
    const std::uint64_t seed = seeds_.bits();
    Random random(seed);
    const NetworkShape shape = random_shape(random, cell);
    if (shape.hidden_size == 0) return;
    ++networks_;
    const char *wrong = random.integer(0, 3) ? run_network<float>(random, shape) : run_network<double>(random, shape);
    if (!wrong) return;
    ++wrong_;
    std::printf("description %d, %s, network of seed %" PRIu64 ": %s\n", description, cell->name.c_str(), seed, wrong);
  }
  int networks() const { return networks_; }
  int wrong() const { return wrong_; }

 private:
  Random seeds_;
  int networks_ = 0, wrong_ = 0;
};

int run(int count, std::uint64_t seed) {
  Run networks(seed + 1);
  DamagedCells cells(seed);
  int accepted = 0;
  for (int i = 0; i < count; ++i) {
    const auto cell = cells.next();
    if (!cell) continue;
    ++accepted;
    networks.add(i, cell);
  }
  for (const CellSource &source : varied_sources()) networks.add(count, interpreted(source));
  for (const CellWriter &writer : good_codes()) networks.add(count, checked(writer));
  for (int id = 0; id < kCompiledCells; ++id) networks.add(count, compiled_cell(static_cast<CompiledCell>(id)));
  std::printf("%s: %d of %d descriptions accepted, %d networks, %d wrong\n", active_kernels().isa, accepted, count,
              networks.networks(), networks.wrong());
  return networks.wrong() == 0 ? 0 : 1;
}

}  // namespace
}  // namespace testing
}  // namespace recurra

int main(int arguments, char **values) {
  const int count = arguments > 1 ? std::atoi(values[1]) : 20000;
  return recurra::testing::run(count, arguments > 2 ? std::strtoull(values[2], nullptr, 10) : 1);
}
