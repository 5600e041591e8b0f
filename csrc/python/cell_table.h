// Cells by their names.
#pragma once

#include <string>

#include "cells.h"

namespace recurra {

// Throws ValueError for a name that there isn't.
CellId cell_named(const std::string &name);

}  // namespace recurra
