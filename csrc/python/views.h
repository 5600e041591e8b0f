// Arrays that are views of some layer's parameters, which another thread may be changing.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "model/parameters.h"
#include "python/arrays.h"
#include "python/classes.h"
#include "python/gil.h"

namespace recurra {

// The parameters whose memory an array shows, through any number of views; null if it is no such view.
template <class T>
ParametersPtr<T> parameters_behind(py::handle array) {
  py::handle owner = array;
  while (owner) {
    if (auto found = object_of<Parameters<T>>(owner)) return found;
    if (py::isinstance<py::array>(owner)) {
      owner = py::detail::array_proxy(owner.ptr())->base;
    } else if (PyMemoryView_Check(owner.ptr())) {
      owner = PyMemoryView_GET_BUFFER(owner.ptr())->obj;
    } else {
      owner = {};
    }
  }
  return nullptr;
}

// Makes such views views of copies instead, all that belong to one layer of one moment. The copies are returned, to be
// kept as long as the arrays. One mutex at a time, so there is no order to keep with the fork that takes them all.
template <class T>
std::vector<std::pair<ParametersPtr<T>, Buffer<T>>> detach_from_parameters(std::vector<py::array> &arrays) {
  std::vector<std::pair<ParametersPtr<T>, Buffer<T>>> copies;
  for (py::array &array : arrays) {
    const auto owner = parameters_behind<T>(array);
    if (!owner || owner->lent()) continue;  // lent arrays are their owner's to keep still
    auto copy = std::find_if(copies.begin(), copies.end(), [&](const auto &made) { return made.first == owner; });
    if (copy == copies.end()) {
      Buffer<T> memory(owner->table->size);
      {
        const WithoutGil released;
        const std::lock_guard<std::mutex> lock(owner->mutex);
        std::copy_n(owner->data(0), memory.size(), memory.data());
      }
      copies.emplace_back(owner, std::move(memory));
      copy = copies.end() - 1;
    }
    T *at = copy->second.data() + (pointer<T>(array) - owner->data(0));
    const auto &numpy = py::detail::npy_api::get();
    array = owned_array(numpy.PyArray_NewFromDescr_(
        numpy.PyArray_Type_, py::dtype::of<T>().release().ptr(), static_cast<int>(array.ndim()),
        reinterpret_cast<const Py_intptr_t *>(array.shape()), reinterpret_cast<const Py_intptr_t *>(array.strides()),
        at, 0, nullptr));
  }
  return copies;
}

}  // namespace recurra
