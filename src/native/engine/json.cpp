#include "json.h"

#include <charconv>
#include <cstdint>
#include <limits>

#include "utf8.h"

namespace sunspring {

constexpr std::uint64_t kLargest = std::uint64_t{1} << 53;  // that all readers of JSON agree on

class JsonParser {
 public:
  explicit JsonParser(std::string_view text) : rest_(text), whole_(text) {}

  Json document() {
    Json result = value(0);
    skip_blanks();
    if (!rest_.empty()) fail("something follows the value");
    return result;
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    throw JsonError(std::string(what) + " at byte " + std::to_string(whole_.size() - rest_.size()));
  }

  void skip_blanks() {
    const std::size_t next = rest_.find_first_not_of(" \t\r\n");
    rest_.remove_prefix(next == std::string_view::npos ? rest_.size() : next);
  }

  bool take(std::string_view expected) {
    if (rest_.substr(0, expected.size()) != expected) return false;
    rest_.remove_prefix(expected.size());
    return true;
  }

  void require(std::string_view expected) {
    if (!take(expected)) fail("something is missing");
  }

  Json value(int depth) {
    if (depth > Json::kDeepest) fail("it is nested too deeply");
    skip_blanks();
    Json result;
    if (take("null")) return result;
    if (take("true")) {
      result.value_ = true;
    } else if (take("false")) {
      result.value_ = false;
    } else if (take("\"")) {
      result.value_ = string();
    } else if (take("[")) {
      result.value_ = array(depth);
    } else if (take("{")) {
      result.value_ = object(depth);
    } else {
      result.value_ = number();
    }
    return result;
  }

  Json::Array array(int depth) {
    Json::Array result;
    skip_blanks();
    if (take("]")) return result;
    do {
      result.push_back(value(depth + 1));
      skip_blanks();
    } while (take(","));
    require("]");
    return result;
  }

  Json::Object object(int depth) {
    Json::Object result;
    skip_blanks();
    if (take("}")) return result;
    do {
      skip_blanks();
      require("\"");
      std::string name = string();
      skip_blanks();
      require(":");
      result.emplace_back(std::move(name), value(depth + 1));
      skip_blanks();
    } while (take(","));
    require("}");
    return result;
  }

  Json::Number number() {
    const bool is_negative = take("-");
    const std::string_view whole = digits();
    if (whole.size() > 1 && whole.front() == '0') fail("a number begins with 0");
    bool is_whole = !is_negative;
    if (take(".")) is_whole = false, digits();
    if (take("e") || take("E")) {
      is_whole = false;
      if (!take("+")) take("-");
      digits();
    }
    std::uint64_t result = 0;
    const auto error = std::from_chars(whole.data(), whole.data() + whole.size(), result).ec;
    if (!is_whole || error != std::errc() || result > kLargest) return {};
    return {result};
  }

  // At least one.
  std::string_view digits() {
    const std::string_view result = rest_.substr(0, rest_.find_first_not_of("0123456789"));
    if (result.empty()) fail("there is no value");
    rest_.remove_prefix(result.size());
    return result;
  }

  std::string string() {
    std::string result;
    for (;;) {
      if (rest_.empty()) fail("a text has no end");
      const char character = rest_.front();
      if (static_cast<unsigned char>(character) < 0x20) fail("a text has a control character");
      rest_.remove_prefix(1);
      if (character == '"') return result;
      if (character == '\\') {
        append_escaped(result);
      } else {
        result.push_back(character);
      }
    }
  }

  void append_escaped(std::string& result) {
    constexpr std::string_view names = "\"\\/bfnrt", values = "\"\\/\b\f\n\r\t";
    if (take("u")) {
      append_utf8(code_point(), result);
      return;
    }
    const std::size_t which = rest_.empty() ? names.npos : names.find(rest_.front());
    if (which == names.npos) fail("an escape is unknown");
    rest_.remove_prefix(1);
    result.push_back(values[which]);
  }

  std::uint32_t code_point() {
    const std::uint32_t first = four_digits();
    if (first < 0xD800 || first > 0xDFFF) return first;
    const std::uint32_t second = first < 0xDC00 && take("\\u") ? four_digits() : 0;
    if (second < 0xDC00 || second > 0xDFFF) fail("half a pair of surrogates stands alone");
    return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
  }

  std::uint32_t four_digits() {
    std::uint32_t result = 0;
    const std::string_view digits = rest_.substr(0, 4);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), result, 16);
    if (digits.size() < 4 || error != std::errc() || end != digits.data() + 4) {
      fail("an escape has no four digits");
    }
    rest_.remove_prefix(4);
    return result;
  }

  static void append_utf8(std::uint32_t point, std::string& to) {
    const auto tail = [&](int shift) { to.push_back(static_cast<char>(0x80 | (point >> shift & 0x3F))); };
    if (point < 0x80) {
      to.push_back(static_cast<char>(point));
    } else if (point < 0x800) {
      to.push_back(static_cast<char>(0xC0 | point >> 6));
      tail(0);
    } else if (point < 0x10000) {
      to.push_back(static_cast<char>(0xE0 | point >> 12));
      tail(6), tail(0);
    } else {
      to.push_back(static_cast<char>(0xF0 | point >> 18));
      tail(12), tail(6), tail(0);
    }
  }

  std::string_view rest_, whole_;
};

Json Json::parse(std::string_view text) {
  Utf8Decoder decoder;
  std::string decoded = decoder.push(text);
  decoded += decoder.finish();
  if (decoded != text) throw JsonError("it is not UTF-8");
  return JsonParser(text).document();
}

std::size_t Json::whole() const {
  const std::optional<std::uint64_t>& held = get<Number>("a number").whole;
  if (!held || *held > std::numeric_limits<std::size_t>::max()) {
    throw JsonError("a number is not whole, or negative, or too large");
  }
  return static_cast<std::size_t>(*held);
}

const Json* Json::find(std::string_view name) const {
  for (const auto& [key, member] : object()) {
    if (key == name) return &member;
  }
  return nullptr;
}

const Json& Json::at(std::string_view name) const {
  if (const Json* member = find(name)) return *member;
  throw JsonError("there is no " + std::string(name));
}

}  // namespace sunspring
