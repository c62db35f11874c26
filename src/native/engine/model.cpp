#include "model.h"

#include <stdexcept>

#include "dispatch.h"

namespace sunspring {
namespace {

std::optional<Counts> read_counts(std::string_view content, std::size_t tokens) {
  if (content.empty()) return std::nullopt;
  return Counts(content, tokens);
}

}  // namespace

Model::Model(std::string_view configuration, std::string_view weights, std::string_view tokenizer,
             std::string_view instruction_set, std::string_view counts)
    : vocabulary(read_vocabulary(tokenizer)),
      network(read_model(configuration, weights), read_counts(counts, tokens()),
              find_kernels(instruction_set)) {
  if (tokens() != network.configuration().vocabulary_size) {
    throw ModelError("config.json and tokenizer.json are of different vocabularies");
  }
}

std::size_t Model::outputs() const {
  return network.configuration().layers * network.configuration().hidden_size;
}

std::vector<std::int32_t> Model::checked(Span<std::int64_t> tokens) const {
  return sunspring::checked(tokens, 0, this->tokens());
}

std::int32_t Model::checked_label(std::int64_t label) const {
  const std::size_t labels = network.configuration().labels;
  return labels ? sunspring::checked(label, 0, labels) : 0;
}

std::int32_t checked(std::int64_t value, std::int64_t least, std::size_t size) {
  if (value < least || value >= static_cast<std::int64_t>(size)) {
    throw std::invalid_argument("a token, a label or a state is not of the model");
  }
  return static_cast<std::int32_t>(value);
}

std::vector<std::int32_t> checked(Span<std::int64_t> values, std::int64_t least, std::size_t size) {
  std::vector<std::int32_t> result;
  result.reserve(values.size);
  for (std::size_t i = 0; i < values.size; ++i) result.push_back(checked(values[i], least, size));
  return result;
}

}  // namespace sunspring
