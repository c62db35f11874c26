// Reads a model folder and some tokens, and prints the logits after each as hexadecimal words: so
// that builds for other processors can be compared with this one's.
//
//   logits FOLDER TOKEN...

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "engine/reader.h"

namespace {

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

int main(int count, char** arguments) {
  using namespace sunspring;
  const std::string folder = arguments[1];
  const auto model = std::make_shared<const Model>(content(folder + "/config.json"),
                                                   content(folder + "/model.safetensors"),
                                                   content(folder + "/tokenizer.json"));
  Reader reader(model);
  std::puts(model->network.kernels().name);
  for (int i = 2; i < count; ++i) {
    const std::int64_t token = std::atoi(arguments[i]);
    for (const float logit : reader.read({&token, 1})) {
      std::uint32_t bits;
      std::memcpy(&bits, &logit, sizeof bits);
      std::printf("%08x", bits);
    }
    std::puts("");
  }
}
