// Copies of arrays: those of NumPy, or for large ones such as Ctrl-C can end.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "python/arrays.h"
#include "python/gil.h"
#include "system/strided_copy.h"

namespace recurra {

// Whether to copy with copy_strided, which Ctrl-C can end, instead of NumPy. Of wide arrays whose axes are the other
// way round it also takes a tenth of the time.
inline bool is_large(const py::array &array) {
  constexpr py::ssize_t kLarge = 1 << 20;
  const bool number = std::string_view("fiu").find(array.dtype().kind()) != std::string_view::npos;
  return number && (array.itemsize() == 4 || array.itemsize() == 8) && array.nbytes() >= kLarge;
}

inline void copy_large(const py::array &to, const py::array &from) {
  bool done = false;
  {
    const auto *source = static_cast<const char *>(from.data());
    auto *target = static_cast<char *>(const_cast<void *>(to.data()));
    const int rank = static_cast<int>(from.ndim());
    // In memory of their own: another thread may set an array's shape while the GIL is given up.
    const std::vector<Index> shape(from.shape(), from.shape() + rank);
    const std::vector<Index> from_strides(from.strides(), from.strides() + rank);
    const std::vector<Index> to_strides(to.strides(), to.strides() + rank);
    const auto copy = from.itemsize() == 4 ? copy_strided<std::uint32_t> : copy_strided<std::uint64_t>;
    const WithoutGil released;
    done = copy(rank, shape.data(), source, from_strides.data(), target, to_strides.data(), signalled);
  }
  if (!done) throw py::error_already_set();
}

// A copy in C order.
inline py::array copied(const py::array &array) {
  const auto &numpy = py::detail::npy_api::get();
  if (!is_large(array)) return owned_array(numpy.PyArray_NewCopy_(array.ptr(), 0));
  py::array copy = owned_array(
      numpy.PyArray_NewFromDescr_(numpy.PyArray_Type_, array.dtype().release().ptr(), static_cast<int>(array.ndim()),
                                  reinterpret_cast<const Py_intptr_t *>(array.shape()), nullptr, nullptr, 0, nullptr));
  copy_large(copy, array);
  return copy;
}

// Writes `from` into `to`, an array of the same shape and dtype with any strides; they may overlap where they are
// small.
inline void copy_into(const py::array &to, const py::array &from) {
  if (is_large(from)) return copy_large(to, from);
  if (py::detail::npy_api::get().PyArray_CopyInto_(to.ptr(), from.ptr()) != 0) throw py::error_already_set();
}

}  // namespace recurra
