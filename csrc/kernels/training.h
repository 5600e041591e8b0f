// The kernels of the backward pass, which training.cpp has: GCC's -O3 makes training at small batches 4 to 8 % faster
// and the rest no faster, but a third larger.
#pragma once

#include "kernels/gradients/inputs.h"
#include "kernels/gradients/weights.h"
#include "kernels/linear.h"
#include "kernels/recurrent/backward.h"

#define RECURRA_TRAINING(word, T)                                     \
  word template bool backward<T>(const BackwardTask<T> *);            \
  word template bool gradient<T>(const GradientTask<T> *);            \
  word template bool input_gradient<T>(const InputGradientTask<T> *); \
  word template bool linear_backward<T>(const LinearTask<T> *);
