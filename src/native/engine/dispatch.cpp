#include "dispatch.h"

#include <array>
#include <stdexcept>

namespace sunspring {

// The build defines SUNSPRING_INSTRUCTION_SETS: their names, separated by commas, the fastest first.
namespace kernels {
extern const Kernels SUNSPRING_INSTRUCTION_SETS;
}

namespace {

template <typename... Each>
constexpr std::array<const Kernels*, sizeof...(Each)> pointers_to(const Each&... each) {
  return {&each...};
}

auto all_kernels() {
  using namespace kernels;
  return pointers_to(SUNSPRING_INSTRUCTION_SETS);
}

}  // namespace

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const Kernels* each : all_kernels()) {
    if (each->is_supported()) names.emplace_back(each->name);
  }
  return names;
}

const Kernels& find_kernels(std::string_view instruction_set) {
  for (const Kernels* each : all_kernels()) {
    const bool is_wanted = instruction_set.empty() || instruction_set == each->name;
    if (is_wanted && each->is_supported()) return *each;
  }
  throw std::invalid_argument("this build or this processor has no instruction set " +
                              std::string(instruction_set));
}

}  // namespace sunspring
