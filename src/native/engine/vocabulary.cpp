#include "vocabulary.h"

#include <algorithm>
#include <map>

#include "json.h"
#include "model_file.h"
#include "utf8.h"

namespace sunspring {
namespace {

constexpr char kEnd[] = "<|end|>", kUnknown[] = "<|unknown|>";

// The byte that each character of byte-level BPE stands for: printable characters of Latin-1 for
// themselves, those from U+0100 on for the other bytes in order (Radford et al. 2019).
std::map<char32_t, char> bytes_of_characters() {
  std::map<char32_t, char> result;
  char32_t other = 0x100;
  for (char32_t byte = 0; byte < 0x100; ++byte) {
    const bool is_printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
    result[is_printable ? byte : other++] = static_cast<char>(byte);
  }
  return result;
}

std::string piece_of(const std::string& token, const std::map<char32_t, char>& bytes) {
  std::string result;
  for (const char32_t character : code_points(token)) {
    const auto found = bytes.find(character);
    if (found == bytes.end()) throw ModelError("tokenizer.json has a token that spells no bytes");
    result.push_back(found->second);
  }
  return result;
}

Vocabulary read(const Json& document) {
  const Json::Object& ids = document.at("model").at("vocab").object();
  const bool spells_bytes = !document.at("pre_tokenizer").is_null();
  const std::map<char32_t, char> bytes = bytes_of_characters();
  Vocabulary result;
  result.pieces.resize(ids.size());
  std::vector<bool> is_known(ids.size());
  for (const auto& [token, value] : ids) {
    const std::size_t id = value.whole();
    if (id >= ids.size() || is_known[id]) {
      throw ModelError("tokenizer.json does not number its tokens one after another");
    }
    is_known[id] = true;
    if (token == kEnd) {
      result.end = static_cast<std::int32_t>(id);
    } else if (token == kUnknown) {
      result.unknown = static_cast<std::int32_t>(id);
      result.pieces[id] = "\uFFFD";
    } else {
      result.pieces[id] = spells_bytes ? piece_of(token, bytes) : token;
    }
  }
  const auto newline = std::find(result.pieces.begin(), result.pieces.end(), "\n");
  const bool has_newline = newline != result.pieces.end();
  result.start = has_newline ? static_cast<std::int32_t>(newline - result.pieces.begin()) : 0;
  if (result.end != Vocabulary::kNone) result.start = result.end;
  return result;
}

}  // namespace

Vocabulary read_vocabulary(std::string_view document) {
  try {
    return read(Json::parse(document));
  } catch (const JsonError& error) {
    throw ModelError(std::string("tokenizer.json is damaged: ") + error.what());
  }
}

}  // namespace sunspring
