// Reads a model folder and some tokens, and prints the logits after each as hexadecimal words: so
// that builds for other processors can be compared with this one's.
//
//   logits FOLDER TOKEN...

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "engine/dispatch.h"
#include "engine/network.h"

namespace {

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

int main(int count, char** arguments) {
  using namespace sunspring;
  const std::string folder = arguments[1];
  const Kernels& kernels = *all_kernels().front();
  if (!kernels.is_supported()) return 1;
  const Network network(
      read_model(content(folder + "/config.json"), content(folder + "/model.safetensors")), kernels);
  State state = network.initial();
  std::puts(kernels.name);
  for (int i = 2; i < count; ++i) {
    const Reading reading = {&state, std::atoi(arguments[i]), 0};
    network.step(&reading, 1);
    for (std::size_t token = 0; token < network.configuration().vocabulary_size; ++token) {
      std::uint32_t bits;
      std::memcpy(&bits, &state.logits[token], sizeof bits);
      std::printf("%08x", bits);
    }
    std::puts("");
  }
}
