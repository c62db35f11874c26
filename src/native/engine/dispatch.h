// The kernels that this build has.

#pragma once

#include <vector>

#include "kernels.h"

namespace sunspring {

// The fastest first; the last runs on any processor.
const std::vector<const Kernels*>& all_kernels();

}  // namespace sunspring
