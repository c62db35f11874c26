// The kernels that this build has, and those that run on this processor.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels.h"

namespace sunspring {

// Names of the instruction sets that this build and this processor have; the fastest first, and the
// last runs on any processor.
std::vector<std::string> instruction_sets();

// The kernels of one of these, or of the fastest if the name is empty; throws std::invalid_argument
// if there are none.
const Kernels& find_kernels(std::string_view instruction_set);

}  // namespace sunspring
