#include "model/linear.h"

#include <algorithm>

#include "dispatch.h"
#include "system/interrupt.h"
#include "system/parallel.h"

namespace recurra {
namespace {

// Below this many multiply-adds a second thread costs more than it brings; see plan.cpp.
constexpr Index kThreadWork = 3'000'000;

template <class T>
std::vector<typename Parameters<T>::Entry> entries_of(Index in, Index out, bool bias) {
  std::vector<typename Parameters<T>::Entry> entries{{"weight", {out, in}, "(out_features, in_features)"}};
  if (bias) entries.push_back({"bias", {out}, "(out_features,)"});
  return entries;
}

}  // namespace

template <class T>
Linear<T>::Linear(Index inputs, Index outputs, bool with_bias)
    : in(inputs),
      out(outputs),
      bias(with_bias),
      parameters(std::make_shared<Parameters<T>>(entries_of<T>(inputs, outputs, with_bias))) {}

template <class T>
int Linear<T>::threads(Index rows, Index products) const {
  const Index most = std::min<Index>(thread_setting(), 1 + products * rows * in * out / kThreadWork);
  return startable_threads(std::max(1, usable_threads(static_cast<int>(most))));
}

template <class T>
bool Linear<T>::forward(Index rows, const T *x, T *y, bool (*signalled)(), long long &version) {
  const Kernels<T> &kernels = kernels_of<T>();
  PackedPtr<T> packed;
  {
    const std::lock_guard<std::mutex> lock(parameters->mutex);
    version = parameters->version;
    packed = forward_.get(*parameters, kernels.linear_packed(in, out), [&](T *to) {
      kernels.pack_linear_forward(in, out, parameters->data(0), bias ? parameters->data(1) : nullptr, to);
    });
  }
  const int team = threads(rows, 1);
  const Index work = kernels.linear_work();
  const Workspace memory(checked_product(team * work, sizeof(T)));
  Interrupt interrupt(signalled, team);
  run_team(team, [&](int member, int members) {
    Pulse pulse = interrupt.pulse(member, members);
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
    task.pulse = &pulse;
    kernels.linear_forward(&task);
  });
  return !interrupt.stopped();
}

template <class T>
PackedPtr<T> Linear<T>::packed_backward(long long version) {
  const Kernels<T> &kernels = kernels_of<T>();
  const std::lock_guard<std::mutex> lock(parameters->mutex);
  if (version != parameters->version) return nullptr;
  return backward_.get(*parameters, kernels.linear_packed(in, out),
                       [&](T *to) { kernels.pack_linear_backward(in, out, parameters->data(0), to); });
}

template <class T>
bool Linear<T>::backward(Index rows, const PackedPtr<T> &packed, const T *x, const T *dy, T *dx, T *const *grads,
                         bool (*signalled)()) {
  const Kernels<T> &kernels = kernels_of<T>();
  const int team = threads(rows, 2);
  const Index work = kernels.linear_work();
  T *sums[2] = {}, *scratch = nullptr;
  const auto cut = [&](Cutter cutter) {
    for (std::size_t i = 0; i < parameters->entries.size(); ++i) sums[i] = cutter.take<T>(parameters->entries[i].size);
    scratch = cutter.take<T>(checked_product(team, work));
    return cutter.used();
  };
  const Workspace memory(cut(Cutter(nullptr)));
  cut(Cutter(memory.data()));
  Interrupt interrupt(signalled, team);
  run_team(team, [&](int member, int members) {
    Pulse pulse = interrupt.pulse(member, members);
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
    task.pulse = &pulse;
    kernels.linear_backward(&task);
  });
  if (interrupt.stopped()) return false;
  for (std::size_t i = 0; i < parameters->entries.size(); ++i) {
    for (Index k = 0; k < parameters->entries[i].size; ++k) grads[i][k] += sums[i][k];
  }
  return true;
}

template class Linear<float>;
template class Linear<double>;
}  // namespace recurra
