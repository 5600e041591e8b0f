// Computing without Python's global lock, in our floating-point mode, also while Python itself comes to its end.
#pragma once

#include <pybind11/pybind11.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "system/float_mode.h"
#include "system/fork.h"

namespace recurra {

// From the moment when other threads than the finalizing one may no longer have the GIL. May be asked without it.
inline bool finalizing() { return Py_IsInitialized() == 0; }

inline void sleep_for_long() { std::this_thread::sleep_for(std::chrono::hours(1)); }

// Before 3.14, Python ends a thread that asks for the GIL too late by pthread_exit. That unwinds the stack, without the
// GIL, through destructors that need it and through frames that allow no exception, and the process would abort. So
// the thread stays where it is until the process has ended, which is what Python itself does from 3.14 on.
class StaysUntilTheEnd {
 public:
  ~StaysUntilTheEnd() {
    while (unwinding_) sleep_for_long();
  }
  void passed() { unwinding_ = false; }

 private:
  bool unwinding_ = true;
};

// In functions of their own: inlined into one that allows no exception, the guard's destructor would be left out.
[[gnu::noinline]] inline void take_gil(PyThreadState *state) {
  StaysUntilTheEnd guard;
  PyEval_RestoreThread(state);
  guard.passed();
}
[[gnu::noinline]] inline PyGILState_STATE take_gil() {
  StaysUntilTheEnd guard;
  const PyGILState_STATE state = PyGILState_Ensure();
  guard.passed();
  return state;
}

// Gives up the GIL for as long as it lives, and computes in our floating-point mode.
class WithoutGil {
 public:
  WithoutGil() : state_(finalizing() ? nullptr : PyEval_SaveThread()) {}
  ~WithoutGil() {
    if (!state_) return;
    while (finalizing()) sleep_for_long();
    take_gil(state_);
  }
  WithoutGil(const WithoutGil &) = delete;
  WithoutGil &operator=(const WithoutGil &) = delete;

 private:
  PyThreadState *state_;
  FloatMode mode_;
};

// The only thread in which Python runs signal handlers; in a forked child that is the one that forked.
inline std::atomic<unsigned long> &main_thread() {
  static std::atomic<unsigned long> ident{0};
  return ident;
}
inline void note_main_thread() {
  const pybind11::object main = pybind11::module_::import("threading").attr("main_thread")();
  main_thread() = main.attr("ident").cast<unsigned long>();
  at_fork(nullptr, nullptr, [] { main_thread() = PyThread_get_thread_ident(); });
}

// Whether a signal handler has raised; the exception is left pending in this thread.
inline bool signalled() {
  if (PyThread_get_thread_ident() != main_thread() || finalizing()) return false;
  const CallersFloatMode mode;  // for the handler
  const PyGILState_STATE state = take_gil();
  const bool raised = PyErr_CheckSignals() != 0;
  PyGILState_Release(state);
  return raised;
}

}  // namespace recurra
