// What a step or a block of a stream is given: arrays, numbers and tokens, as they are in memory. The common cases, an
// array of the stream's own dtype, a NumPy number, an integer, are told without a call of NumPy.
#pragma once

#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/stream.h"
#include "python/arguments.h"
#include "python/integers.h"

namespace recurra {

// What a stream's arrays look like. A step is (batch, features), and if the batch is 1 also (features,), or () where
// there is one feature; a block has the steps in front, or behind the batch of a model with batch_first. Tokens have no
// axis of features.
struct StreamShape {
  Index batch, in, out;
  bool batch_first;
  PartTokens tokens;
};

// An axis that an array of a stream may lack.
enum class Missing { kNothing, kBatch, kFeatures };

struct StreamForm {
  Index steps = 1;
  bool block = false;
  Missing missing = Missing::kNothing;

  bool batch_first(const StreamShape &shape) const {
    return block && shape.batch_first && missing == Missing::kNothing;
  }
};

inline Shape shape_of(const StreamShape &shape, const StreamForm &form, Index features) {
  Shape result;
  if (form.batch_first(shape)) result.push_back(shape.batch);
  if (form.block) result.push_back(form.steps);
  if (form.missing == Missing::kNothing && !form.batch_first(shape)) result.push_back(shape.batch);
  if (features >= 0) result.push_back(features);
  return result;
}

// "(T, batch, features) = (T, 4, 3)" for each form there is; of tokens, `features` is negative.
inline std::string expected_text(const StreamShape &shape, bool block, Index features) {
  const auto text = [&](bool batch, bool feature) {
    const std::string time = block ? "T" : "", row = batch ? std::to_string(shape.batch) : "";
    std::vector<std::string> symbols, sizes;
    if (block) symbols.push_back("T"), sizes.push_back("T");
    if (batch) {
      const auto at = shape.batch_first ? 0 : static_cast<std::ptrdiff_t>(symbols.size());
      symbols.insert(symbols.begin() + at, "batch");
      sizes.insert(sizes.begin() + at, row);
    }
    if (feature) symbols.push_back("features"), sizes.push_back(std::to_string(features));
    const auto joined = [](const std::vector<std::string> &parts) {
      std::string all;
      for (const std::string &part : parts) all += (all.empty() ? "" : ", ") + part;
      return "(" + all + (parts.size() == 1 ? ",)" : ")");
    };
    return joined(symbols) + (symbols == sizes ? "" : " = " + joined(sizes));
  };
  std::string all = text(true, features >= 0);
  if (shape.batch == 1) all += " or " + text(false, features >= 0);
  if (shape.batch == 1 && features == 1) all += " or " + text(false, false);
  return all;
}

// An array's memory as (steps, batch, features).
inline Samples samples_of(const py::array &array, const StreamShape &shape, const StreamForm &form) {
  Samples samples;
  samples.base = static_cast<char *>(const_cast<void *>(array.data()));
  int axis = 0;
  if (form.batch_first(shape)) samples.row = array.strides(axis++);
  if (form.block) samples.step = array.strides(axis++);
  if (form.missing == Missing::kNothing && !form.batch_first(shape)) samples.row = array.strides(axis++);
  if (axis < array.ndim()) samples.feature = array.strides(axis);
  return samples;
}

// NumPy's objects by which the common cases are told.
template <class T>
struct StreamTypes {
  const py::object dtype = py::dtype::of<T>(), token_dtype = py::dtype::of<std::int64_t>();
  const py::object number = py::module_::import("numpy").attr(dtype_name<T>());
  const py::object integer = py::module_::import("numpy").attr("integer");

  bool is_own(py::handle object) const {
    return is_plain(object) && py::detail::array_proxy(object.ptr())->descr == dtype.ptr();
  }
  py::array array(py::handle object, Name name, Takes takes) const {
    return is_own(object) ? py::reinterpret_borrow<py::array>(object) : typed_array<T>(object, name, takes);
  }
  // One number of a stream's dtype: NumPy's, or Python's for float64.
  bool is_number(py::handle object) const {
    return Py_TYPE(object.ptr()) == reinterpret_cast<PyTypeObject *>(number.ptr()) ||
           (sizeof(T) == 8 && PyFloat_CheckExact(object.ptr()));
  }
  bool is_integer(py::handle object) const {
    if (PyLong_Check(object.ptr())) return !PyBool_Check(object.ptr());
    return PyType_IsSubtype(Py_TYPE(object.ptr()), reinterpret_cast<PyTypeObject *>(integer.ptr())) != 0;
  }
};

// How an array has its axes; `features` is negative of tokens. Nothing if it doesn't fit.
inline std::optional<StreamForm> fitting_form(const py::array &array, const StreamShape &shape, bool block,
                                              Index features) {
  StreamForm form;
  form.block = block;
  const int full = (block ? 2 : 1) + (features >= 0 ? 1 : 0), lacks = full - static_cast<int>(array.ndim());
  const bool one = shape.batch == 1;
  if (lacks != 0 && !(lacks == 1 && one) && !(lacks == 2 && one && features == 1)) return std::nullopt;
  form.missing = lacks == 0 ? Missing::kNothing : lacks == 1 ? Missing::kBatch : Missing::kFeatures;
  if (block) form.steps = array.shape(form.batch_first(shape) ? 1 : 0);
  if (!has_shape(array, shape_of(shape, form, lacks == 2 ? -1 : features))) return std::nullopt;
  return form;
}

inline StreamForm form_of(const py::array &array, const StreamShape &shape, bool block, Index features) {
  const auto form = fitting_form(array, shape, block, features);
  if (!form) {
    const bool sequence = !block && fitting_form(array, shape, true, features);
    refuse_value("x", expected_text(shape, block, features),
                 shape_text(array) + (sequence ? ": many(x) takes several steps at once" : ""));
  }
  return *form;
}

// None yet: py::array's own constructor makes one of no elements, in 0.1 µs.
inline py::array no_array() { return py::reinterpret_steal<py::array>(py::handle()); }

// x of a step or a block.
template <class T>
struct StreamInput {
  const StreamTypes<T> &types;
  StreamForm form;
  Samples samples;
  std::vector<Index> block_tokens;
  const Index *tokens = nullptr;  // instead of samples
  py::array kept = no_array();    // what the samples are in, if not in `number`
  T number = 0;

  // `step_tokens` has room for those of one step.
  StreamInput(const StreamTypes<T> &of, py::handle given, const StreamShape &shape, bool block, Index *step_tokens)
      : types(of) {
    form.block = block;
    if (shape.tokens != PartTokens::kAlways && types.is_own(given)) {  // the common case pays for no other
      read_array(py::reinterpret_borrow<py::array>(given), shape);
      return;
    }
    const py::handle x = resolved(given);
    if (reads_tokens(x, shape, block)) {
      read_tokens(x, shape, block, step_tokens);
    } else if (!block && types.is_number(x)) {
      read_number(x, shape);
    } else {
      read_array(types.array(given, "x", Takes::kArrays), shape);
    }
  }
  StreamInput(const StreamInput &) = delete;
  StreamInput &operator=(const StreamInput &) = delete;

 private:
  // Whether x is tokens: integers, unless they could as well be features that weren't cast, and the layer wasn't told.
  bool reads_tokens(py::handle x, const StreamShape &shape, bool block) const {
    if (shape.tokens == PartTokens::kAlways) return true;
    if (shape.tokens == PartTokens::kNever || types.is_own(x)) return false;
    const bool told = shape.tokens == PartTokens::kIntegers;
    if (!py::isinstance<py::array>(x)) return !block && types.is_integer(x) && (told || shape.in > 1);
    if (!is_integers(x)) return false;
    const auto array = py::reinterpret_borrow<py::array>(x);
    return array.ndim() <= (block ? 2 : 1) && (told || !fitting_form(array, shape, block, shape.in));
  }

  void read_array(py::array array, const StreamShape &shape) {
    kept = std::move(array);
    form = form_of(kept, shape, form.block, shape.in);
    samples = samples_of(kept, shape, form);
  }

  void read_number(py::handle x, const StreamShape &shape) {
    if (shape.batch != 1 || shape.in != 1) refuse_value("x", expected_text(shape, false, shape.in), "()");
    const double value = PyFloat_AsDouble(x.ptr());
    if (value == -1 && PyErr_Occurred()) throw py::error_already_set();
    number = static_cast<T>(value);
    form.missing = Missing::kFeatures;
    samples.base = reinterpret_cast<char *>(&number);
  }

  void read_tokens(py::handle x, const StreamShape &shape, bool block, Index *step_tokens) {
    const char *range = "tokens in 0..";
    if (!block && types.is_integer(x)) {
      if (shape.batch != 1) refuse_value("x", expected_text(shape, false, -1), type_name(x));
      const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(x.ptr()));
      if (!index) throw py::error_already_set();
      int overflow = 0;
      const long long token = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
      if (overflow || token < 0 || token >= shape.in) {
        refuse_value("x", range + std::to_string(shape.in - 1),
                     overflow ? std::string("one beyond 64 bits") : std::to_string(token));
      }
      *step_tokens = token;
      tokens = step_tokens;
      form.missing = Missing::kBatch;
      return;
    }
    kept = integer_array(x, "x");
    form = form_of(kept, shape, block, -1);
    if (!block && read_step(shape, step_tokens)) return;
    block_tokens = integers_of(kept, "x", range, shape.in - 1);
    if (form.batch_first(shape)) {
      std::vector<Index> turned(block_tokens.size());
      for (Index b = 0, i = 0; b < shape.batch; ++b) {
        for (Index t = 0; t < form.steps; ++t, ++i) {
          turned[static_cast<std::size_t>(t * shape.batch + b)] = block_tokens[static_cast<std::size_t>(i)];
        }
      }
      block_tokens = std::move(turned);
    }
    if (block_tokens.empty()) block_tokens.push_back(0);  // null would mean that there are none
    tokens = block_tokens.data();
  }

  // The tokens of one step from an array of NumPy's own int64; false: of another kind, or out of range.
  bool read_step(const StreamShape &shape, Index *to) {
    if (py::detail::array_proxy(kept.ptr())->descr != types.token_dtype.ptr()) return false;
    const Samples from = samples_of(kept, shape, form);
    for (Index b = 0; b < shape.batch; ++b) {
      std::int64_t token = 0;
      std::memcpy(&token, from.base + b * from.row, sizeof token);
      if (token < 0 || token >= shape.in) return false;
      to[b] = static_cast<Index>(token);
    }
    tokens = to;
    return true;
  }
};

}  // namespace recurra
