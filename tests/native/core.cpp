// Reads a model folder and some tokens with all of the engine but its binding, and prints as
// hexadecimal digits the logits after each and three texts that go on from the last: so that builds
// for other processors can be compared with this one's.
//
//   core FOLDER TOKEN...

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "engine/reader.h"
#include "engine/session.h"

namespace {

constexpr std::uint64_t kTexts = 3;

std::string content(const std::string& path) {  // empty if there is no such file
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

int main(int count, char** arguments) {
  using namespace sunspring;
  const std::string folder = arguments[1];
  const auto model = std::make_shared<const Model>(content(folder + "/config.json"),
                                                   content(folder + "/model.safetensors"),
                                                   content(folder + "/tokenizer.json"), "",
                                                   content(folder + "/counts.safetensors"));
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
  Session session(model, {}, 2, 2);
  session.add({{&reader}, {}, 0, kTexts, {40, {}, nullptr, 0}, {}});
  std::string texts[kTexts];
  while (!session.is_over()) {
    for (const Piece& piece : session.run(std::chrono::microseconds(10))) {
      texts[piece.seed] += piece.text;
    }
  }
  for (const std::string& text : texts) {
    for (const char byte : text) std::printf("%02x", static_cast<unsigned char>(byte));
    std::puts("");
  }
}
