// Computing without Python's global lock, in our floating-point mode, and asking for signals meanwhile.
#pragma once

#include <pybind11/pybind11.h>
#include <unistd.h>

#include "system/float_mode.h"

namespace recurra {

inline bool finalizing() {
#if PY_VERSION_HEX >= 0x030D0000
  return Py_IsFinalizing() != 0;
#else
  return _Py_IsFinalizing() != 0;
#endif
}

// Gives up the GIL for as long as it lives, and computes in our floating-point mode.
class WithoutGil {
 public:
  WithoutGil() : state_(finalizing() ? nullptr : PyEval_SaveThread()) {}
  ~WithoutGil() {
    if (!state_) return;
    // Python ended meanwhile, in another thread: asking for the GIL would end this one by an exception through frames
    // that allow none. So it waits for the end of the process, as Python itself does from 3.14 on.
    while (finalizing()) pause();
    PyEval_RestoreThread(state_);
  }
  WithoutGil(const WithoutGil &) = delete;
  WithoutGil &operator=(const WithoutGil &) = delete;

 private:
  PyThreadState *state_;
  FloatMode mode_;
};

// Whether a signal handler has raised; the exception is left pending in this thread.
inline bool signalled() {
  if (finalizing()) return false;
  const CallersFloatMode mode;  // for the handler
  const PyGILState_STATE state = PyGILState_Ensure();
  const bool raised = PyErr_CheckSignals() != 0;
  PyGILState_Release(state);
  return raised;
}

}  // namespace recurra
