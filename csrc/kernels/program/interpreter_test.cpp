#include "kernels/program/interpreter.h"

#include <iterator>

#include "testing/kernel_test.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {
namespace {

template <class T>
T lane_of(Vec<T> value) {
  T lanes[Vec<T>::size];
  value.store(lanes);
  return lanes[0];
}

// What an operation is to compute from numbers; functions.h has tests of its own.
template <class T>
T evaluate(std::int32_t operation, T a, T b, T c) {
  const Vec<T> value = Vec<T>::broadcast(a);
  switch (operation) {
      // clang-format off
    case kMove: return a;
    case kNegate: return -a;
    case kAbsolute: return std::abs(a);
    case kAdd: return a + b;
    case kSubtract: return a - b;
    case kMultiply: return a * b;
    case kDivide: return a / b;
    case kFma: return scalar_fma(a, b, c);
    case kFms: return scalar_fma(a, b, -c);
    case kFnma: return scalar_fma(-a, b, c);
    case kMinimum: return std::isnan(a) ? a : std::isnan(b) ? b : a <= b ? a : b;
    case kMaximum: return std::isnan(a) ? a : std::isnan(b) ? b : a >= b ? a : b;
    case kLess: return T(a < b);
    case kLessEqual: return T(a <= b);
    case kEqual: return T(a == b);
    case kNotEqual: return T(a != b);
    case kSelect: return a != 0 ? b : c;
    case kSquareRoot: return std::sqrt(a);
    case kExp: return lane_of(exp(value));
    case kExpm1: return lane_of(expm1(value));
    case kLog: return lane_of(log(value));
    case kLog1p: return lane_of(log1p(value));
    case kSigmoid: return lane_of(sigmoid(value));
    case kTanh: return lane_of(tanh(value));
    case kSin: return lane_of(sin(value));
    case kCos: return lane_of(cos(value));
    case kErf: return lane_of(erf(value));
    default: return T(0);
      // clang-format on
  }
}

// An operand in memory that ends at a forbidden page, and its values beside it, by row, vector and lane.
template <class T>
struct Memory {
  static constexpr Index V = Vec<T>::size;
  Index rows, vectors;
  Place<T> place;
  GuardedArray<T> array;
  std::vector<T> values;

  Memory(Random &random, Index rows_, Index vectors_, Index row, Index vector)
      : rows(rows_),
        vectors(vectors_),
        place{nullptr, row, vector},
        array((rows - 1) * row + (vectors - 1) * vector + V, random.guard()),
        values(static_cast<std::size_t>(rows * vectors * V)) {
    place.base = array.data();
    each([&](Index at, T &value) {
      // Small whole numbers among the others, so that some are equal and some zero.
      array[at] = random.integer(0, 3) ? random.number<T>() * T(3) : static_cast<T>(random.integer(-1, 1));
      value = array[at];
    });
    each([&](Index at, T &value) { value = array[at]; });  // what several have is what was written last
  }
  // body(index in the array, what it is to be) of all values.
  template <class Body>
  void each(const Body &body) {
    T *value = values.data();
    for (Index r = 0; r < rows; ++r) {
      for (Index v = 0; v < vectors; ++v) {
        for (Index lane = 0; lane < V; ++lane) body(r * place.row + v * place.vector + lane, *value++);
      }
    }
  }
  bool as_expected() {
    std::vector<bool> held(static_cast<std::size_t>(array.size()));
    bool right = true;
    each([&](Index at, const T &value) {
      held[static_cast<std::size_t>(at)] = true;
      right = right && (std::isnan(value) ? std::isnan(array[at]) : same_bits(array[at], value));
    });
    for (Index i = 0; i < array.size(); ++i) right = right && (held[static_cast<std::size_t>(i)] || array.untouched(i));
    return right;
  }
};

// Row by row or vector by vector, with or without something between; `shared`: with strides of 0 as well.
template <class T>
Memory<T> operand(Random &random, Index rows, Index vectors, bool shared) {
  constexpr Index V = Vec<T>::size;
  const Index gap = random.integer(0, 1) * random.integer(0, 2 * V);
  Index row = vectors * V + gap, vector = V;
  if (random.integer(0, 3) == 0) {
    row = V + gap;
    vector = rows * row;
  }
  if (shared && random.integer(0, 2) == 0) row = 0;
  if (shared && random.integer(0, 2) == 0) vector = 0;
  return Memory<T>(random, rows, vectors, row, vector);
}

// Runs a program on the operands' memory, and the same on their values, one by one.
template <class T>
void check(const std::vector<Instruction> &program, std::vector<Memory<T>> &operands, Index rows, Index vectors) {
  std::vector<Place<T>> places;
  for (const auto &memory : operands) places.push_back(memory.place);
  run_program(program.data(), static_cast<Index>(program.size()), places.data(), rows, vectors);
  for (const Instruction &i : program) {
    const auto value = [&](std::int32_t number) { return operands[static_cast<std::size_t>(number)].values.data(); };
    const T *a = value(i.from[0]), *b = value(i.from[1]), *c = value(i.from[2]);
    T *to = value(i.to);
    for (Index n = 0; n < rows * vectors * Vec<T>::size; ++n) to[n] = evaluate(i.operation, a[n], b[n], c[n]);
  }
  for (auto &memory : operands) CHECK(memory.as_expected());
}

TEST_CASE_TEMPLATE("program: every operation, at all places", T, float, double) {
  Random random(11);
  for (std::int32_t operation = 0; operation < kOperationCount; ++operation) {
    CAPTURE(operation);
    for (Index rows = 1; rows <= 9; ++rows) {
      for (Index vectors = 1; vectors <= 9; ++vectors) {
        CAPTURE(rows);
        CAPTURE(vectors);
        std::vector<Memory<T>> operands;
        operands.push_back(operand<T>(random, rows, vectors, false));
        for (int i = 0; i < 3; ++i) operands.push_back(operand<T>(random, rows, vectors, true));
        // As often as not what is written is what is read.
        const auto read = [&](std::int32_t number) { return random.integer(0, 5) == 0 ? 0 : number; };
        check({{operation, 0, {read(1), read(2), read(3)}}}, operands, rows, vectors);
      }
    }
  }
}

TEST_CASE_TEMPLATE("program: instructions read what those before them wrote", T, float, double) {
  Random random(12);
  // Those that keep numbers within bounds and tell all of them apart.
  constexpr std::int32_t operations[] = {kMove,    kNegate,  kAbsolute, kAdd,    kSubtract, kMultiply, kFma,
                                         kMinimum, kMaximum, kLess,     kSelect, kSigmoid,  kTanh,     kSin};
  for (int round = 0; round < 300; ++round) {
    CAPTURE(round);
    const Index rows = random.integer(1, 9), vectors = random.integer(1, 9);
    constexpr std::int32_t kWritten = 5, kOperands = 9;
    std::vector<Memory<T>> operands;
    for (std::int32_t i = 0; i < kOperands; ++i) {
      operands.push_back(operand<T>(random, rows, vectors, i >= kWritten));
    }
    std::vector<Instruction> program;
    const auto number = [&](Index count) { return static_cast<std::int32_t>(random.integer(0, count - 1)); };
    for (Index i = random.integer(0, 30); i > 0; --i) {
      program.push_back({operations[number(std::size(operations))],
                         number(kWritten),
                         {number(kOperands), number(kOperands), number(kOperands)}});
    }
    check(program, operands, rows, vectors);
  }
}

}  // namespace
}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
