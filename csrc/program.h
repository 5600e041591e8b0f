// The element-wise programs of cells, as plain data. A program runs over the rows and units of a tile; its operands say
// where the numbers are.
#pragma once

#include <cstdint>

namespace recurra {

// The memory that instructions read and write; each kind has a numbering of its own. A value is one number per row and
// unit, unless it says otherwise.
enum Kind : std::int32_t {
  kTemporary,  // lasts over the instructions of a stage
  kColumn,     // forward: a column that the products of this stage (or none) have completed
  kGradient,   // backward: the gradient of a source that the products of this stage have completed
  kOld,        // a state before the step
  kNew,        // a state after it; forward: written, then also read
  kKept,       // forward: written to the tape; backward: read from it
  kHeld,       // lasts over the stages of a step
  kStaged,     // the same, for what products and means of later stages read
  kMean,       // one number per row: the mean of a staged vector, in the order of the stage's `means`
  kUnit,       // one number per unit: a parameter of role kUnitVector, counted among those
  kNumber,     // one number: parameters of role kScalar, counted among those, then the constants
  kInput,      // an input array of the call
  kRaw,        // x itself, where input_size is hidden_size
  kIncoming,   // backward: the whole gradient of a state after the step
  kOutgoing,   // backward: the gradient of a state before the step, but for what products add; written, then also read
  kDelta,      // backward: written: a column's gradient, or one of what DeltaDescription names
  kKindCount
};

enum Operation : std::int32_t {
  kMove,      // a
  kNegate,    // -a
  kAbsolute,  // |a|
  kAdd,       // a + b
  kSubtract,  // a - b
  kMultiply,  // a b
  kDivide,    // a / b
  kFma,       // a b + c, rounded once
  kFms,       // a b - c
  kFnma,      // c - a b
  kMinimum,   // of a and b; NaN if either is
  kMaximum,
  kLess,  // a < b ? 1 : 0, and so on
  kLessEqual,
  kEqual,
  kNotEqual,
  kSelect,  // a != 0 ? b : c
  kSquareRoot,
  kExp,
  kExpm1,
  kLog,
  kLog1p,
  kSigmoid,
  kTanh,
  kSin,
  kCos,
  kErf,
  kOperationCount
};

struct Operand {
  std::int32_t kind, index;
};

struct Instruction {
  std::int32_t operation;
  std::int32_t to;       // an operand's number, as `from`
  std::int32_t from[3];  // as many as the operation takes, then 0
};

}  // namespace recurra
