// For libFuzzer: files of a model that nobody wrote, and some steps of what they make.
//
// The input is the lengths of config.json, tokenizer.json and counts.safetensors, two bytes each,
// little-endian, these three files, and model.safetensors. `make fuzz` builds and runs it.

#include <cstdint>
#include <string_view>

#include "engine/draft.h"
#include "engine/model.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sunspring;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const auto take = [&rest](std::size_t count) {
    const std::string_view taken = rest.substr(0, count);
    rest.remove_prefix(taken.size());
    return taken;
  };
  const auto take_length = [&take] {
    const std::string_view bytes = take(2);
    if (bytes.size() < 2) return std::size_t{0};
    return static_cast<std::size_t>(static_cast<unsigned char>(bytes[0]) |
                                    static_cast<unsigned char>(bytes[1]) << 8);
  };
  const std::size_t configuration_size = take_length(), tokenizer_size = take_length();
  const std::size_t counts_size = take_length();
  const std::string_view configuration = take(configuration_size), tokenizer = take(tokenizer_size);
  const std::string_view counts = take(counts_size);
  try {
    const Model model(configuration, rest, tokenizer, "", counts);
    const DraftSettings settings = {20, {"a\n"}, nullptr};
    Draft draft(model.vocabulary, settings, 1);
    State state = model.network.initial();
    std::int32_t token = model.vocabulary.start;
    while (!draft.is_over() && draft.tokens() < 100) {
      const Input input = {&state, token, 0};
      model.network.step(&input, 1);
      token = static_cast<std::int32_t>(draft.uniform() * static_cast<double>(model.tokens()));
      draft.push(token);
    }
  } catch (const ModelError&) {
  }
  return 0;
}
