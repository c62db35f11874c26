// What Python sees of the engine.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>

#include "engine/copying.h"
#include "engine/dispatch.h"
#include "engine/scoring.h"
#include "engine/session.h"
#include "engine/stretches.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace sunspring {
namespace {

template <typename Value>
using Array = nb::ndarray<const Value, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <typename Value>
std::vector<Value> values_of(const Array<Value>& array) {
  return {array.data(), array.data() + array.size()};
}

std::string_view view_of(const nb::bytes& bytes) { return {bytes.c_str(), bytes.size()}; }

const Kernels& find_kernels(const std::string& name) {
  for (const Kernels* kernels : all_kernels()) {
    if (kernels->is_supported() && (name.empty() || name == kernels->name)) return *kernels;
  }
  throw std::invalid_argument("this build or this processor has no instruction set " + name);
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const Kernels* kernels : all_kernels()) {
    if (kernels->is_supported()) names.emplace_back(kernels->name);
  }
  return names;
}

// A model folder, loaded.
struct Model {
  Model(const nb::bytes& configuration, const nb::bytes& weights, const nb::bytes& tokenizer,
        const std::string& instruction_set)
      : vocabulary(read_vocabulary(view_of(tokenizer))),
        network(read_model(view_of(configuration), view_of(weights)), find_kernels(instruction_set)) {
    if (vocabulary.pieces.size() != network.configuration().vocabulary_size) {
      throw ModelError("config.json and tokenizer.json are of different vocabularies");
    }
  }

  Vocabulary vocabulary;
  Network network;
};

std::int32_t checked(std::int64_t value, std::int64_t least, std::size_t size) {
  if (value < least || value >= static_cast<std::int64_t>(size)) {
    throw std::invalid_argument("a token, a label or a state is not of the model");
  }
  return static_cast<std::int32_t>(value);
}

std::vector<std::int32_t> tokens_of(const Array<std::int64_t>& array, std::size_t size,
                                    std::int64_t least = 0) {
  std::vector<std::int32_t> tokens;
  tokens.reserve(array.size());
  for (std::size_t i = 0; i < array.size(); ++i) tokens.push_back(checked(array.data()[i], least, size));
  return tokens;
}

std::int32_t checked_label(const Model& model, std::int64_t label) {
  const std::size_t labels = model.network.configuration().labels;
  return labels ? checked(label, 0, labels) : 0;
}

template <typename Value>
nb::ndarray<nb::numpy, Value, nb::ndim<1>> numpy_of(std::vector<Value> values) {
  using Values = std::vector<Value>;
  auto* kept = new Values(std::move(values));
  nb::capsule owner(kept, [](void* each) noexcept { delete static_cast<Values*>(each); });
  return {kept->data(), {kept->size()}, owner};
}

// Texts that stand one after another in an array of tokens.
class TextArray {
 public:
  TextArray(const Model& model, const Array<std::int64_t>& ids,
            const Array<std::int64_t>& lengths, const Array<std::int64_t>& labels)
      : model_(model), tokens_(tokens_of(ids, model.vocabulary.pieces.size())) {
    if (labels.size() && labels.size() != lengths.size()) {
      throw std::invalid_argument("the labels are not those of the texts");
    }
    std::size_t first = 0;
    for (std::size_t text = 0; text < lengths.size(); ++text) {
      const std::int64_t length = lengths.data()[text];
      if (length < 0 || static_cast<std::size_t>(length) > tokens_.size() - first) {
        throw std::invalid_argument("the lengths are not those of the texts");
      }
      texts.push_back({tokens_.data() + first, static_cast<std::size_t>(length),
                       checked_label(model, labels.size() ? labels.data()[text] : 0), nullptr,
                       nullptr});
      first += static_cast<std::size_t>(length);
    }
  }

  std::size_t tokens() const { return tokens_.size(); }
  void read(std::size_t threads) const {
    nb::gil_scoped_release released;
    read_texts(model_.network, model_.vocabulary.start, texts, threads);
  }

  std::vector<ReadText> texts;

 private:
  const Model& model_;
  std::vector<std::int32_t> tokens_;
};

auto score_texts(const Model& model, const Array<std::int64_t>& ids,
                 const Array<std::int64_t>& lengths, const Array<std::int64_t>& labels,
                 std::size_t threads) {
  TextArray array(model, ids, lengths, labels);
  std::vector<float> nats(array.tokens());
  float* next = nats.data();
  for (ReadText& text : array.texts) text.nats = next, next += text.size;
  array.read(threads);
  return numpy_of(std::move(nats));
}

auto encode_texts(const Model& model, const Array<std::int64_t>& ids,
                  const Array<std::int64_t>& lengths, const Array<std::int64_t>& labels,
                  std::size_t threads) {
  TextArray array(model, ids, lengths, labels);
  const Configuration& configuration = model.network.configuration();
  const std::size_t size = configuration.layers * configuration.hidden_size;
  std::vector<float> outputs(array.texts.size() * size);
  float* next = outputs.data();
  for (ReadText& text : array.texts) text.outputs = next, next += size;
  array.read(threads);
  return numpy_of(std::move(outputs));
}

// One text as it is read, token after token.
struct Reader {
  Reader(std::shared_ptr<Model> of, std::int64_t label)
      : model(std::move(of)), label(checked_label(*model, label)), state(model->network.initial()) {}

  // Logits of the token after these.
  auto read(const Array<std::int64_t>& ids) {
    const std::size_t size = model->vocabulary.pieces.size();
    const std::vector<std::int32_t> tokens = tokens_of(ids, size);
    {
      nb::gil_scoped_release released;
      for (const std::int32_t token : tokens) {
        const Reading reading = {&state, token, label};
        model->network.step(&reading, 1);
      }
    }
    return numpy_of(std::vector<float>(state.logits.data(), state.logits.data() + size));
  }

  // The same after each of these (tokens · vocabulary), and the layers' outputs (tokens · layers ·
  // hidden).
  auto trace(const Array<std::int64_t>& ids, std::size_t threads) {
    const Configuration& configuration = model->network.configuration();
    const std::size_t size = model->vocabulary.pieces.size();
    const std::size_t width = configuration.layers * configuration.hidden_size;
    const std::vector<std::int32_t> tokens = tokens_of(ids, size);
    std::vector<float> logits(tokens.size() * size), outputs(tokens.size() * width);
    {
      nb::gil_scoped_release released;
      if (!model->network.is_worth_sharing()) threads = 1;
      Barrier barrier(threads);
      in_threads(threads, [&](std::size_t thread) {
        const Worker worker = {thread, threads, threads > 1 ? &barrier : nullptr};
        for (std::size_t i = 0; i < tokens.size(); ++i) {
          const Reading reading = {&state, tokens[i], label};
          model->network.step(&reading, 1, worker);
          if (!worker.is_first()) continue;
          std::copy_n(state.logits.data(), size, &logits[i * size]);
          model->network.copy_outputs(state, &outputs[i * width]);
        }
      });
    }
    return nb::make_tuple(numpy_of(std::move(logits)), numpy_of(std::move(outputs)));
  }

  std::shared_ptr<Model> model;
  std::int32_t label;
  State state;
};

using Blended = std::tuple<std::shared_ptr<Model>, float, Array<std::int64_t>>;

// Known stretches and their keys.
struct OwningStretches : KnownStretches {
  OwningStretches(Array<std::uint64_t> of, std::size_t size)
      : KnownStretches(of.data(), of.size(), size), keys(std::move(of)) {}

  Array<std::uint64_t> keys;
};

// A session and what it refers to.
class OwningSession {
 public:
  OwningSession(std::shared_ptr<Model> model, const std::vector<Blended>& blend, std::size_t lanes,
                std::size_t threads)
      : models_{std::move(model)} {
    const Vocabulary& vocabulary = models_[0]->vocabulary;
    std::vector<std::int32_t> own(vocabulary.pieces.size());
    std::iota(own.begin(), own.end(), 0);
    std::vector<Voice> voices = {{&models_[0]->network, 1, own}};
    for (const auto& [other, share, ids] : blend) {
      if (ids.size() != own.size()) {
        throw std::invalid_argument("a blended model lacks a token for each of the vocabulary");
      }
      const std::size_t tokens = other->vocabulary.pieces.size();
      voices.push_back({&other->network, share, tokens_of(ids, tokens, Vocabulary::kNone)});
      voices[0].share -= share;
      models_.push_back(other);
    }
    session_.emplace(vocabulary, std::move(voices), std::max<std::size_t>(lanes, 1),
                     std::max<std::size_t>(threads, 1));
  }

  std::size_t add(const std::vector<const Reader*>& readers, const Array<std::int64_t>& recent,
                  std::uint64_t seed, std::uint64_t texts, DraftSettings draft,
                  const SamplingSettings& sampling, std::shared_ptr<const KnownStretches> known,
                  const std::string& prompt) {
    const std::size_t size = models_[0]->vocabulary.pieces.size();
    if (known) {
      draft.novel = std::make_shared<const NovelTokens>(models_[0]->vocabulary, std::move(known));
      for (const char32_t each : code_points(prompt)) draft.prompt.push_back(scatter(each));
    }
    Request request{{}, {}, tokens_of(recent, size), std::move(draft), sampling, seed, texts};
    if (readers.size() != models_.size()) {
      throw std::invalid_argument("the readers are not those of the models");
    }
    for (std::size_t voice = 0; voice < readers.size(); ++voice) {
      if (readers[voice]->model != models_[voice]) {
        throw std::invalid_argument("the readers are not those of the models");
      }
      request.states.push_back(readers[voice]->state);
      request.labels.push_back(readers[voice]->label);
    }
    if (const Pattern* pattern = request.draft.pattern.get()) {
      if (pattern->characters.size() != size) {
        throw std::invalid_argument("the pattern is of another vocabulary");
      }
      checked(request.draft.pattern_state, 0, pattern->needed.size());
    }
    return session_->add(std::move(request));
  }

  nb::list run(double seconds) {
    std::vector<Piece> pieces;
    {
      nb::gil_scoped_release released;
      pieces = session_->run(std::chrono::microseconds(static_cast<std::int64_t>(seconds * 1e6)));
    }
    constexpr const char* kReasons[] = {nullptr, "length", "stop", "end", "pattern", "novel"};
    nb::list result;
    for (const Piece& piece : pieces) {
      result.append(nb::make_tuple(piece.request, piece.seed, nb::str(piece.text.data(), piece.text.size()),
                                   kReasons[static_cast<std::size_t>(piece.finish)], piece.tokens));
    }
    return result;
  }

  bool is_over() const { return session_->is_over(); }
  void cancel() { session_->cancel(); }

 private:
  std::vector<std::shared_ptr<Model>> models_;
  std::optional<Session> session_;
};

NB_MODULE(engine, module) {
  nb::set_leak_warnings(false);  // of what a program still holds when it ends
  nb::exception<ModelError>(module, "FormatError", PyExc_ValueError);
  module.def("instruction_sets", &instruction_sets,
             "Names of those that this build and this processor have, the fastest first.");

  nb::class_<Model>(module, "Model")
      .def(nb::init<const nb::bytes&, const nb::bytes&, const nb::bytes&, const std::string&>(),
           "configuration"_a, "weights"_a, "tokenizer"_a, "instruction_set"_a = "")
      .def_prop_ro("instruction_set", [](const Model& model) { return model.network.kernels().name; })
      .def("score", &score_texts, "tokens"_a, "lengths"_a, "labels"_a, "threads"_a = 1)
      .def("encode", &encode_texts, "tokens"_a, "lengths"_a, "labels"_a, "threads"_a = 1);

  nb::class_<Reader>(module, "Reader")
      .def(nb::init<std::shared_ptr<Model>, std::int64_t>(), "model"_a, "label"_a = 0)
      .def("read", &Reader::read, "tokens"_a, "Read on; gives the logits of the next token.")
      .def("trace", &Reader::trace, "tokens"_a, "threads"_a = 1,
           "Read on; gives the logits after each, and the outputs of the layers.")
      .def("copy", [](const Reader& reader) { return Reader(reader); });

  nb::class_<Pattern>(module, "Pattern")
      .def("__init__",
           [](Pattern* pattern, const Array<std::int64_t>& begins, const Array<std::int32_t>& tokens,
              const Array<std::int32_t>& targets, const Array<std::int64_t>& needed,
              const Array<std::uint8_t>& finals, const Array<std::int32_t>& characters) {
             new (pattern) Pattern{values_of(begins), values_of(tokens), values_of(targets),
                                   values_of(needed), values_of(finals), values_of(characters)};
             pattern->check();
           },
           "begins"_a, "tokens"_a, "targets"_a, "needed"_a, "finals"_a, "characters"_a);

  nb::class_<OwningStretches>(module, "KnownStretches")
      .def(nb::init<Array<std::uint64_t>, std::size_t>(), "keys"_a, "size"_a);

  nb::class_<OwningSession>(module, "Session")
      .def(nb::init<std::shared_ptr<Model>, const std::vector<Blended>&, std::size_t, std::size_t>(),
           "model"_a, nb::kw_only(), "blend"_a, "lanes"_a, "threads"_a)
      .def("add",
           [](OwningSession& session, const std::vector<const Reader*>& readers,
              const Array<std::int64_t>& recent, std::uint64_t seed, std::uint64_t texts,
              std::size_t length, std::vector<std::string> stops, float temperature,
              std::size_t top_k, double top_p, double min_p, float repetition_penalty,
              std::shared_ptr<Pattern> pattern, std::int32_t pattern_state,
              std::shared_ptr<OwningStretches> known, const std::string& prompt) {
             return session.add(
                 readers, recent, seed, texts,
                 {length, std::move(stops), std::move(pattern), pattern_state, nullptr, {}},
                 {temperature, top_k, top_p, min_p, repetition_penalty}, std::move(known), prompt);
           },
           "readers"_a, nb::kw_only(), "recent"_a, "seed"_a, "texts"_a, "length"_a, "stops"_a,
           "temperature"_a, "top_k"_a, "top_p"_a, "min_p"_a, "repetition_penalty"_a,
           "pattern"_a.none(), "pattern_state"_a, "known"_a.none() = nb::none(),
           "prompt"_a = "")
      .def("run", &OwningSession::run, "seconds"_a,
           "Write on for so long: what grew of each text.")
      .def_prop_ro("is_over", &OwningSession::is_over)
      .def("cancel", &OwningSession::cancel,
           "End the writing for good, from any thread, within a step.");

  nb::class_<CopyFinder>(module, "CopyFinder")
      .def("__init__",
           [](CopyFinder* finder, const nb::bytes& text) {
             const std::string_view view = view_of(text);
             nb::gil_scoped_release released;
             new (finder) CopyFinder(view);
           },
           "text"_a)
      .def("read",
           [](CopyFinder& finder, const nb::bytes& piece, std::size_t threads) {
             const std::string_view view = view_of(piece);
             nb::gil_scoped_release released;
             finder.read(view, threads);
           },
           "piece"_a, "threads"_a = 1)
      .def("part", &CopyFinder::part)
      .def("longest", [](const CopyFinder& finder) {
        std::vector<std::int64_t> lengths;
        {
          nb::gil_scoped_release released;
          lengths = finder.longest();
        }
        return numpy_of(std::move(lengths));
      });
}

}  // namespace
}  // namespace sunspring
