#include "model/linear.h"

#include <algorithm>

#include "dispatch.h"
#include "model/gradients.h"
#include "system/team.h"

namespace recurra {
namespace {

TablePtr table_of(Index in, Index out, bool bias) {
  std::vector<ParameterTable::Entry> entries{{"weight", {out, in}, "(out_features, in_features)", true}};
  if (bias) entries.push_back({"bias", {out}, "(out_features,)"});
  return std::make_shared<ParameterTable>(std::move(entries));
}

// How many threads share out a pass of so many multiply-adds.
int linear_threads(Index multiply_adds) {
  const Index most = std::min<Index>(thread_setting(), 1 + multiply_adds / kThreadWork);
  return startable_threads(std::max(1, usable_threads(static_cast<int>(most))));
}

}  // namespace

template <class T>
Linear<T>::Linear(Index inputs, Index outputs, bool with_bias)
    : in(inputs),
      out(outputs),
      bias(with_bias),
      parameters(std::make_shared<Parameters<T>>(table_of(inputs, outputs, with_bias))) {}

template <class T>
int Linear<T>::threads(Index rows, Index products) const {
  return linear_threads(products * rows * in * out);
}

template <class T>
PackedPtr<T> Linear<T>::packed_forward(Signalled signalled) {
  const Kernels<T> &kernels = kernels_of<T>();
  std::unique_lock<std::mutex> lock(parameters->mutex);
  const auto pack = [&](T *to, Worker *worker) {
    return kernels.pack_linear_forward(in, out, parameters->data(0), nullptr, bias ? parameters->data(1) : nullptr, to,
                                       worker);
  };
  return parameters->packed[{0, 0}].forward.get(lock, parameters->version, signalled, kernels.linear_packed(in, out),
                                                pack);
}

template <class T>
bool Linear<T>::forward(Index rows, const T *x, T *y, Signalled signalled, long long &version) {
  const Kernels<T> &kernels = kernels_of<T>();
  const PackedPtr<T> packed = packed_forward(signalled);
  if (!packed) return false;
  version = packed->version;
  return linear_forward(kernels, in, out, packed, rows, x, y, signalled);
}

template <class T>
bool linear_forward(const Kernels<T> &kernels, Index in, Index out, const PackedPtr<T> &packed, Index rows, const T *x,
                    T *y, Signalled signalled) {
  const int most = linear_threads(rows * in * out);
  const Index work = kernels.linear_work(in);
  const Workspace memory(checked_product(most * work, sizeof(T)));
  Team team(signalled, most);
  team.run([&](Worker &worker) {
    const int member = worker.member, members = worker.members;
    LinearTask<T> task{};
    task.rows = rows;
    task.in = in;
    task.out = out;
    task.first = rows * member / members;
    task.last = rows * (member + 1) / members;
    task.packed = packed->memory.data();
    task.x = x;
    task.y = y;
    task.work = reinterpret_cast<T *>(memory.data()) + member * work;
    task.worker = &worker;
    kernels.linear_forward(&task);
  });
  return !team.stopped();
}

template <class T>
PackedPtr<T> Linear<T>::packed_backward(long long version, Signalled signalled, bool &outdated) {
  const Kernels<T> &kernels = kernels_of<T>();
  std::unique_lock<std::mutex> lock(parameters->mutex);
  outdated = version != parameters->version;
  if (outdated) return nullptr;
  const auto pack = [&](T *to, Worker *worker) {
    return kernels.pack_linear_backward(in, out, parameters->data(0), to, worker);
  };
  PackedPtr<T> packed = parameters->packed[{0, 0}].backward.get(lock, parameters->version, signalled,
                                                                kernels.linear_packed(in, out), pack);
  outdated = packed && packed->version != version;  // changed while Python was asked for signals
  return outdated ? nullptr : packed;
}

template <class T>
bool Linear<T>::backward(Index rows, const PackedPtr<T> &packed, const T *x, const T *dy, T *dx, T *const *grads,
                         Signalled signalled) {
  const Kernels<T> &kernels = kernels_of<T>();
  const int most = threads(rows, 2);
  const Index work = kernels.linear_work(in);
  T *sums[2] = {}, *scratch = nullptr;
  const auto cut = [&](Cutter cutter) {
    for (std::size_t i = 0; i < parameters->entries.size(); ++i) sums[i] = cutter.take<T>(parameters->entries[i].size);
    scratch = cutter.take<T>(checked_product(most, work));
    return cutter.used();
  };
  const Workspace memory(cut(Cutter(nullptr)));
  cut(Cutter(memory.data()));
  Team team(signalled, most);
  team.run([&](Worker &worker) {
    const int member = worker.member, members = worker.members;
    LinearTask<T> task{};
    task.rows = rows;
    task.in = in;
    task.out = out;
    task.first = rows * member / members;
    task.last = rows * (member + 1) / members;
    task.part = member;
    task.parts = members;
    task.packed = packed->memory.data();
    task.x = x;
    task.dy = dy;
    task.dx = dx;
    task.dweight = sums[0];
    task.dbias = sums[1];
    task.work = scratch + member * work;
    task.worker = &worker;
    kernels.linear_backward(&task);
  });
  if (team.stopped()) return false;
  for (std::size_t i = 0; i < parameters->entries.size(); ++i)
    add_gradient(parameters->entries[i].size, sums[i], grads[i]);
  return true;
}

template class Linear<float>;
template class Linear<double>;
template bool linear_forward(const Kernels<float> &, Index, Index, const PackedPtr<float> &, Index, const float *,
                             float *, Signalled);
}  // namespace recurra
