// The floating-point mode in which all arithmetic of a call runs, so that its bits don't depend on the caller's.
#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace recurra {

// What the control register holds: MXCSR on x86, FPCR on AArch64. Elsewhere nothing is known of the mode.
using FloatControl = std::uint64_t;

// Rounding to nearest, no trap, and subnormal numbers taken for zero and rounded to zero. Numbers that fade, such as
// gradients far back in time or moments without gradient, end among them, where an Intel CPU takes 10 to 50 times as
// long for a multiply-add.
#if defined(__SSE2__)
constexpr FloatControl kOurFloatMode = 0x9fc0;  // flush to zero, denormals are zero, all exceptions masked
inline FloatControl float_control() { return _mm_getcsr(); }
inline void set_float_control(FloatControl value) { _mm_setcsr(static_cast<unsigned>(value)); }
#elif defined(__aarch64__)
constexpr FloatControl kOurFloatMode = FloatControl(1) << 24;  // FZ, which flushes what goes in and what comes out
inline FloatControl float_control() {
  FloatControl value = 0;
  __asm__ volatile("mrs %0, fpcr" : "=r"(value));
  return value;
}
inline void set_float_control(FloatControl value) { __asm__ volatile("msr fpcr, %0" : : "r"(value) : "memory"); }
#else
constexpr FloatControl kOurFloatMode = 0;
inline FloatControl float_control() { return 0; }
inline void set_float_control(FloatControl) {}
#endif

// Our mode for as long as it lives; then the caller's again. On x86 that includes the flags of exceptions, so that the
// caller finds none that a call has raised.
class FloatMode {
 public:
  FloatMode() : caller_(float_control()), outer_(innermost()) {
    innermost() = this;
    set_float_control(kOurFloatMode);
  }
  ~FloatMode() {
    innermost() = outer_;
    set_float_control(caller_);
  }
  FloatMode(const FloatMode &) = delete;
  FloatMode &operator=(const FloatMode &) = delete;

 private:
  friend class CallersFloatMode;
  static FloatMode *&innermost() {
    static thread_local FloatMode *mode = nullptr;
    return mode;
  }

  FloatControl caller_;
  FloatMode *const outer_;
};

// The caller's mode in the midst of a call, for what isn't ours: a signal handler, or threads that OpenMP makes, which
// inherit the mode of their maker and may serve other libraries later. What it is set to meanwhile, the caller keeps.
class CallersFloatMode {
 public:
  CallersFloatMode() : ours_(FloatMode::innermost()) {
    if (ours_) set_float_control(ours_->caller_);
  }
  ~CallersFloatMode() {
    if (!ours_) return;
    ours_->caller_ = float_control();
    set_float_control(kOurFloatMode);
  }
  CallersFloatMode(const CallersFloatMode &) = delete;
  CallersFloatMode &operator=(const CallersFloatMode &) = delete;

 private:
  FloatMode *const ours_;
};

}  // namespace recurra
