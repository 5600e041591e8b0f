// A stream as Python uses it: checks arguments, allocates results, and gives up the GIL where that pays.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "model/stream.h"
#include "python/arguments.h"
#include "python/gil.h"
#include "python/state_arguments.h"
#include "python/stream_input.h"

namespace recurra {

// Whatever the dtype.
class AnyStream {
 public:
  virtual ~AnyStream() = default;
  virtual py::object step(py::handle x, py::handle out) = 0;
  virtual py::object block(py::handle x, py::handle out) = 0;
  virtual py::object state() = 0;
  virtual void set_state(py::handle state) = 0;
  virtual void reset(py::handle rows) = 0;
  virtual std::unique_ptr<AnyStream> fork() = 0;
  virtual Index batch() const = 0;
};

template <class T>
class PyStream : public AnyStream {
 public:
  // `listed`: states are those of a Sequential, a list.
  PyStream(std::shared_ptr<const StreamParts<T>> parts, Index batch, bool batch_first, bool listed)
      : stream_(std::move(parts), batch),
        types_(std::make_shared<StreamTypes<T>>()),
        shape_{batch, stream_.in, stream_.out, batch_first, stream_.parts->front()->tokens},
        listed_(listed),
        tokens_(static_cast<std::size_t>(batch)) {
    for (const auto &part : *stream_.parts) {
      names_.push_back(part->network ? std::make_shared<StateNames>(*part->network->shape.cell) : nullptr);
    }
  }
  PyStream(const PyStream &other)
      : AnyStream(),
        stream_(other.stream_),
        types_(other.types_),
        shape_(other.shape_),
        listed_(other.listed_),
        names_(other.names_),
        tokens_(other.tokens_.size()) {}
  PyStream &operator=(const PyStream &) = delete;

  py::object step(py::handle x, py::handle out) override { return run(x, out, false); }
  py::object block(py::handle x, py::handle out) override { return run(x, out, true); }
  std::unique_ptr<AnyStream> fork() override { return std::make_unique<PyStream>(*this); }
  Index batch() const override { return stream_.batch; }

  py::object state() override {
    py::list all;
    for_recurrent([&](std::size_t part, const NetworkShape &shape) {
      StateObjects arrays;
      for (int state = 0; state < shape.description().states; ++state) {
        const py::array made = new_array<T>({shape.layers, stream_.batch, shape.state_size(state)});
        std::copy_n(stream_.state(part, state), made.size(), pointer<T>(made));
        arrays[static_cast<std::size_t>(state)] = made;
      }
      all.append(joined_state(shape, arrays));
    });
    return listed_ ? py::object(all) : py::object(all[0]);
  }

  void set_state(py::handle given) override {
    std::vector<py::object> objects = members_of(given);
    Arguments<T> arguments;
    std::vector<std::array<const T *, kMaxStates>> from;
    for_recurrent([&](std::size_t part, const NetworkShape &shape) {
      const StateNames &names = *names_[part];
      const std::string name = listed_ ? "state[" + std::to_string(from.size()) + "]" : "state";
      const StateObjects parts = split_state(objects[from.size()], name, names.initial, names.order);
      from.emplace_back();
      for (int state = 0; state < shape.description().states; ++state) {
        const auto s = static_cast<std::size_t>(state);
        Layout layout;
        layout.batch = stream_.batch;
        const py::handle found = resolved(parts[s]);
        layout.unbatched = stream_.batch == 1 && py::isinstance<py::array>(found) &&
                           py::reinterpret_borrow<py::array>(found).ndim() == 2;
        from.back()[s] = arguments.state(parts[s], names.initial[s], layout, shape.layers, size_symbol(shape, state),
                                         shape.state_size(state));
      }
    });
    std::size_t member = 0;
    for_recurrent([&](std::size_t part, const NetworkShape &shape) {
      for (int state = 0; state < shape.description().states; ++state) {
        const T *values = from[member][static_cast<std::size_t>(state)];
        if (values) {
          std::copy_n(values, shape.layers * stream_.batch * shape.state_size(state), stream_.state(part, state));
        } else {
          stream_.reset(part, state, nullptr);
        }
      }
      ++member;
    });
  }

  void reset(py::handle rows) override {
    std::vector<Index> numbers;
    if (!rows.is_none()) numbers = integers_of(integer_array(rows, "rows"), "rows", "rows in 0..", stream_.batch - 1);
    for_recurrent([&](std::size_t part, const NetworkShape &shape) {
      for (int state = 0; state < shape.description().states; ++state) {
        stream_.reset(part, state, rows.is_none() ? nullptr : &numbers);
      }
    });
  }

 private:
  // Multiply-adds from which other threads may run meanwhile, some 20 µs of them. To give up the GIL and take it again
  // is 0.03 µs, but if others want it, they may keep it for 5 ms.
  static constexpr Index kWorkWithoutGil = 400'000;

  // visit(number of the part, shape) for those that have states.
  template <class Visit>
  void for_recurrent(const Visit &visit) {
    for (std::size_t part = 0; part < stream_.parts->size(); ++part) {
      const auto &network = (*stream_.parts)[part]->network;
      if (network) visit(part, network->shape);
    }
  }

  // One object for each part that has states.
  std::vector<py::object> members_of(py::handle given) {
    std::size_t count = 0;
    for_recurrent([&](std::size_t, const NetworkShape &) { ++count; });
    if (!listed_) return {py::reinterpret_borrow<py::object>(given)};
    std::vector<py::object> result(count, py::none());
    if (given.is_none()) return result;
    if (!PyTuple_Check(given.ptr()) && !PyList_Check(given.ptr())) {
      refuse_type("state", "a list, one for each recurrent member", type_name(given));
    }
    const auto members = py::reinterpret_steal<py::object>(PySequence_Tuple(given.ptr()));
    if (!members) throw py::error_already_set();
    if (PyTuple_GET_SIZE(members.ptr()) != static_cast<Py_ssize_t>(count)) {
      refuse_value("state", "one for each of " + std::to_string(count) + " recurrent members",
                   std::to_string(PyTuple_GET_SIZE(members.ptr())));
    }
    for (std::size_t i = 0; i < count; ++i) {
      result[i] = py::reinterpret_borrow<py::object>(PyTuple_GET_ITEM(members.ptr(), static_cast<Py_ssize_t>(i)));
    }
    return result;
  }

  py::object run(py::handle x, py::handle given_out, bool block) {
    StreamInput<T> input(*types_, x, shape_, block, tokens_.data());
    const StreamForm &form = input.form;
    StreamForm result = form;
    if (result.missing == Missing::kFeatures) result.missing = Missing::kBatch;  // y has its own
    const Shape shape = shape_of(shape_, result, shape_.out);
    py::array y = no_array();
    if (given_out.is_none()) {
      y = new_array<T>(shape);
    } else {
      y = types_->array(given_out, "out", Takes::kNumPy);
      check_shape(y, "out", [] { return "y's shape"; }, shape);
      if (!y.writeable()) refuse_value("out", "an array that can be written to", "a read-only one");
      if (block && input.kept && !input.tokens && overlap(input.kept, y)) {
        input.kept = copied(input.kept);
        input.samples = samples_of(input.kept, shape_, form);
      }
    }
    const Samples to = samples_of(y, shape_, result);
    Index work = 0;
    const bool long_call = __builtin_mul_overflow(stream_.multiply_adds, form.steps, &work) || work > kWorkWithoutGil;
    bool done = false;
    if (long_call) {
      const WithoutGil released;
      done = stream_.run(form.steps, input.samples, input.tokens, to, signalled);
    } else {
      const FloatMode mode;
      done = stream_.run(form.steps, input.samples, input.tokens, to, signalled);
    }
    if (!done) throw py::error_already_set();
    return given_out.is_none() ? py::object(std::move(y)) : py::reinterpret_borrow<py::object>(given_out);
  }

  static bool overlap(const py::array &a, const py::array &b) {
    const auto [begin, end] = bounds<T>(a);
    const auto [from, to] = bounds<T>(b);
    return begin < to && from < end;
  }

  Stream<T> stream_;
  std::shared_ptr<const StreamTypes<T>> types_;
  const StreamShape shape_;
  const bool listed_;
  std::vector<std::shared_ptr<const StateNames>> names_;  // by part; null of those without states
  std::vector<Index> tokens_;                             // of a step
};

}  // namespace recurra
