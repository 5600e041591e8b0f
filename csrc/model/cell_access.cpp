#include "model/cell_access.h"

namespace recurra {

int arity(std::int32_t operation) {
  switch (operation) {
    case kAdd:
    case kSubtract:
    case kMultiply:
    case kDivide:
    case kMinimum:
    case kMaximum:
    case kLess:
    case kLessEqual:
    case kEqual:
    case kNotEqual:
      return 2;
    case kFma:
    case kFms:
    case kFnma:
    case kSelect:
      return 3;
    default:
      return 1;
  }
}

std::int32_t slots(const Cell &cell, std::int32_t kind, bool backward) {
  switch (kind) {
    case kTemporary:
      return backward ? cell.back_temporaries : cell.temporaries;
    case kColumn:
      return cell.column_count;
    case kGradient:
      return cell.states + cell.staged;
    case kKept:
      return cell.kept;
    case kHeld:
      return backward ? cell.back_held : cell.held;
    case kStaged:
      return backward ? cell.back_staged : cell.staged;
    case kUnit:
      return cell.unit_count;
    case kNumber:
      return cell.scalar_count + cell.constant_count;
    case kInput:
      return cell.input_count;
    case kRaw:
      return cell.raw;
    case kDelta:
      return cell.delta_count;
    case kOld:
    case kNew:
    case kIncoming:
    case kOutgoing:
      return cell.states;
    default:
      return 0;
  }
}

}  // namespace recurra
