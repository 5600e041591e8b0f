// Gradients by rows from Python: what `recurra.SparseRows` holds, in its `_parts`.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "model/optimizer.h"
#include "python/integers.h"

namespace recurra {

template <class T>
class SparseRows {
 public:
  // Of an object that isn't an array but has rows and values; may run Python code.
  static std::optional<SparseRows> find(const py::object &object) {
    if (py::isinstance<py::array>(object) || !py::hasattr(object, "_parts")) return std::nullopt;
    const py::object parts = object.attr("_parts");
    if (!PyTuple_CheckExact(parts.ptr()) || PyTuple_GET_SIZE(parts.ptr()) != 2) return std::nullopt;
    return SparseRows(object, py::reinterpret_borrow<py::tuple>(parts));
  }

  // The values, (count, width), once rows and values have been checked: the rows are those of the table, and rise.
  py::array take(const ParameterTable::Entry &entry) {
    const std::string name = "grads['" + entry.name + "']";
    if (entry.shape.size() != 2) refuse_type(name, "an array, as the parameter has no rows", "some rows");
    const py::array rows = integer_array(parts_[0], name + ".rows", Takes::kNumPy);
    rows_ = integers_of(rows, name.c_str(), "rows in 0..", entry.shape[0] - 1);
    if (rows.ndim() != 1 || std::adjacent_find(rows_.begin(), rows_.end(), std::greater_equal<>()) != rows_.end()) {
      refuse_value(name + ".rows", "one axis of rising numbers", shape_text(rows));
    }
    py::array values = typed_array<T>(parts_[1], name + ".values", Takes::kNumPy);
    check_shape(values, name + ".values", [] { return "(rows, features)"; },
                {static_cast<Index>(rows_.size()), entry.shape[1]});
    return values;
  }
  void point(Gradient<T> &gradient) const {
    static constexpr Index kNone = 0;
    gradient.rows = rows_.empty() ? &kNone : rows_.data();
    gradient.count = static_cast<Index>(rows_.size());
  }
  void clear() const { object_.attr("_parts") = none_; }

 private:
  SparseRows(py::object object, py::tuple parts)
      : object_(std::move(object)), parts_(std::move(parts)), none_(object_.attr("_none")) {}

  py::object object_;
  py::tuple parts_;
  py::object none_;
  std::vector<Index> rows_;
};

}  // namespace recurra
