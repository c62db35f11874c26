#include "safetensors.h"

#include <cstring>

#include "json.h"

namespace sunspring {

Container::Container(std::string name, std::string asking, std::string_view content)
    : name_(std::move(name)), asking_(std::move(asking)) {
  try {
    parse(content);
  } catch (const JsonError& error) {
    refuse(std::string("has a damaged head: ") + error.what());
  }
}

void Container::parse(std::string_view content) {
  std::uint64_t length = 0;
  if (content.size() < sizeof length) refuse("is cut off");
  for (int byte = 7; byte >= 0; --byte) {
    length = length << 8 | static_cast<unsigned char>(content[byte]);
  }
  content.remove_prefix(sizeof length);
  if (length > content.size()) refuse("is cut off");
  const Json header = Json::parse(content.substr(0, length));
  const std::string_view data = content.substr(length);
  std::size_t total = 0;
  for (const auto& [name, member] : header.object()) {
    if (name == "__metadata__") {
      if (const Json* kept = member.find("quantization")) quantization_ = kept->text();
      continue;
    }
    Tensor tensor{member.at("dtype").text(), {}, {}};
    for (const Json& axis : member.at("shape").array()) tensor.shape.push_back(axis.whole());
    const Json::Array& offsets = member.at("data_offsets").array();
    if (offsets.size() != 2) refuse("has a tensor without a place");
    const std::size_t begin = offsets[0].whole(), end = offsets[1].whole();
    if (begin > end || end > data.size()) refuse("is cut off");
    tensor.data = data.substr(begin, end - begin);
    total += tensor.data.size();
    if (!tensors_.emplace(name, std::move(tensor)).second) refuse("has " + name + " twice");
  }
  if (total != data.size()) refuse("has bytes that belong to no tensor, or to two");
}

std::vector<float> Container::floats(const std::string& name, const Shape& shape) const {
  return values<float>(name, "F32", shape);
}

std::vector<std::int8_t> Container::bytes(const std::string& name, const Shape& shape) const {
  return values<std::int8_t>(name, "I8", shape);
}

std::vector<std::int32_t> Container::integers(const std::string& name, const Shape& shape) const {
  return values<std::int32_t>(name, "I32", shape);
}

std::string_view Container::stream(const std::string& name) const {
  if (tensor(name).type != "U8") miss(name);
  return tensor(name).data;
}

const Container::Tensor& Container::tensor(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) refuse("lacks the " + name + " that " + asking_ + " asks for");
  return found->second;
}

template <typename Value>
std::vector<Value> Container::values(const std::string& name, const char* type,
                                     const Shape& shape) const {
  const Tensor& found = tensor(name);
  std::size_t count = 1;
  for (const std::size_t axis : shape) count *= axis;
  if (found.type != type || found.shape != shape || found.data.size() / sizeof(Value) != count ||
      found.data.size() % sizeof(Value)) {
    miss(name);
  }
  std::vector<Value> result(count);
  if (count) std::memcpy(result.data(), found.data.data(), found.data.size());
  return result;
}

void Container::refuse(const std::string& what) const { throw ModelError(name_ + " " + what); }

void Container::miss(const std::string& name) const {
  refuse("has not the " + name + " that " + asking_ + " asks for");
}

}  // namespace sunspring
