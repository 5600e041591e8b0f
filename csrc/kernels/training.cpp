#include "kernels/training.h"

#include "kernels/cells/gru.h"
#include "kernels/cells/lstm.h"
#include "kernels/cells/rnn.h"

namespace recurra {
namespace RECURRA_ISA_NAMESPACE {

RECURRA_TRAINING(, float)
RECURRA_TRAINING(, double)

}  // namespace RECURRA_ISA_NAMESPACE
}  // namespace recurra
