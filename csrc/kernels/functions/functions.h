// All functions on Vec: those of activations.h, and the others that programs of cells may call.
//
// They keep the rules of activations.h: + - * / fma, square roots, selects and integer operations on bits, in one
// order, so every ISA gives the same bits. Where a result is normal it is within 2 ULP. Results of exp and expm1 below
// the least normal number are zero, as they would be in the kernels' floating-point mode, in every mode.
#pragma once

#include "kernels/activations.h"
#include "kernels/functions/choices.h"
#include "kernels/functions/error_function.h"
#include "kernels/functions/exponentials.h"
#include "kernels/functions/logarithms.h"
#include "kernels/functions/sines.h"
#include "kernels/functions/square_root.h"
