// What Python sees of the engine.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "engine/copying.h"
#include "engine/dispatch.h"
#include "engine/reader.h"
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
Span<Value> span_of(const Array<Value>& array) {
  return {array.data(), array.size()};
}

template <typename Value>
std::vector<Value> values_of(const Array<Value>& array) {
  return {array.data(), array.data() + array.size()};
}

std::string_view view_of(const nb::bytes& bytes) { return {bytes.c_str(), bytes.size()}; }

template <typename Value>
nb::ndarray<nb::numpy, Value, nb::ndim<1>> numpy_of(std::vector<Value> values) {
  using Values = std::vector<Value>;
  auto* kept = new Values(std::move(values));
  nb::capsule owner(kept, [](void* each) noexcept { delete static_cast<Values*>(each); });
  return {kept->data(), {kept->size()}, owner};
}

// What a function gives while Python's lock is released.
template <typename Function>
auto released(Function function) {
  const nb::gil_scoped_release release;
  return function();
}

// Known stretches and the array of their keys.
struct OwningStretches : KnownStretches {
  OwningStretches(Array<std::uint64_t> of, std::size_t size)
      : KnownStretches(of.data(), of.size(), size), keys(std::move(of)) {}

  Array<std::uint64_t> keys;
};

using BlendedArray = std::tuple<std::shared_ptr<Model>, float, Array<std::int64_t>>;

nb::list list_of(const std::vector<Piece>& pieces) {
  constexpr const char* kReasons[] = {nullptr, "length", "stop", "end", "pattern", "novel"};
  nb::list result;
  for (const Piece& piece : pieces) {
    result.append(nb::make_tuple(piece.request, piece.seed,
                                 nb::str(piece.text.data(), piece.text.size()),
                                 kReasons[static_cast<std::size_t>(piece.finish)], piece.tokens));
  }
  return result;
}

NB_MODULE(engine, module) {
  nb::set_leak_warnings(false);  // of what a program still holds when it ends
  nb::exception<ModelError>(module, "FormatError", PyExc_ValueError);
  module.def("instruction_sets", &instruction_sets,
             "Names of those that this build and this processor have, the fastest first.");

  nb::class_<Model>(module, "Model")
      .def(
          "__init__",
          [](Model* model, const nb::bytes& configuration, const nb::bytes& weights,
             const nb::bytes& tokenizer, const std::string& instruction_set,
             const nb::bytes& counts) {
            const std::string_view files[] = {view_of(configuration), view_of(weights),
                                              view_of(tokenizer), view_of(counts)};
            const nb::gil_scoped_release release;
            new (model) Model(files[0], files[1], files[2], instruction_set, files[3]);
          },
          "configuration"_a, "weights"_a, "tokenizer"_a, "instruction_set"_a = "",
          "counts"_a = nb::bytes("", 0))
      .def_prop_ro("instruction_set",
                   [](const Model& model) { return model.network.kernels().name; });

  nb::class_<Reading>(module, "Reading")
      .def(
          "__init__",
          [](Reading* reading, std::shared_ptr<Model> model, const Array<std::int64_t>& tokens,
             const Array<std::int64_t>& lengths, const Array<std::int64_t>& labels, bool outputs,
             std::size_t threads) {
            const Texts texts = {span_of(tokens), span_of(lengths), span_of(labels)};
            const Wanted wanted = outputs ? Wanted::outputs : Wanted::costs;
            new (reading) Reading(std::move(model), texts, wanted, threads);
          },
          "model"_a, "tokens"_a, "lengths"_a, "labels"_a, nb::kw_only(), "outputs"_a, "threads"_a)
      .def(
          "run",
          [](Reading& reading, double seconds) {
            const std::chrono::microseconds duration(static_cast<std::int64_t>(seconds * 1e6));
            released([&] { reading.run(duration); });
          },
          "seconds"_a, "Read on for so long.")
      .def_prop_ro("is_over", &Reading::is_over)
      .def_prop_ro("tokens_read", &Reading::tokens_read)
      .def("take_result", [](Reading& reading) { return numpy_of(reading.take_result()); });

  nb::class_<Reader>(module, "Reader")
      .def(nb::init<std::shared_ptr<Model>, std::int64_t>(), "model"_a, "label"_a = 0)
      .def(
          "read",
          [](Reader& reader, const Array<std::int64_t>& tokens, std::size_t threads) {
            return numpy_of(released([&] { return reader.read(span_of(tokens), threads); }));
          },
          "tokens"_a, "threads"_a = 1, "Read on; gives the logits of the next token.")
      .def(
          "trace",
          [](Reader& reader, const Array<std::int64_t>& tokens, std::size_t threads) {
            Reader::Trace trace = released([&] { return reader.trace(span_of(tokens), threads); });
            return nb::make_tuple(numpy_of(std::move(trace.logits)),
                                  numpy_of(std::move(trace.outputs)));
          },
          "tokens"_a, "threads"_a = 1,
          "Read on; gives the logits after each, and the outputs of the layers.")
      .def("copy", [](const Reader& reader) { return Reader(reader); });

  nb::class_<Pattern>(module, "Pattern")
      .def(
          "__init__",
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

  nb::class_<Session>(module, "Session")
      .def(
          "__init__",
          [](Session* session, std::shared_ptr<Model> model, const std::vector<BlendedArray>& blend,
             std::size_t lanes, std::size_t threads) {
            std::vector<Blended> others;
            for (const auto& [other, share, tokens] : blend) {
              others.push_back({other, share, span_of(tokens)});
            }
            new (session) Session(std::move(model), others, lanes, threads);
          },
          "model"_a, nb::kw_only(), "blend"_a, "lanes"_a, "threads"_a)
      .def(
          "add",
          [](Session& session, std::vector<const Reader*> readers,
             const Array<std::int64_t>& recent, std::uint64_t seed, std::uint64_t texts,
             std::size_t length, std::vector<std::string> stops, float temperature,
             std::size_t top_k, double top_p, double min_p, float repetition_penalty,
             std::shared_ptr<Pattern> pattern, std::shared_ptr<OwningStretches> known,
             std::string prompt) {
            return session.add({std::move(readers),
                                span_of(recent),
                                seed,
                                texts,
                                {length, std::move(stops), std::move(pattern)},
                                {temperature, top_k, top_p, min_p, repetition_penalty},
                                std::move(known),
                                std::move(prompt)});
          },
          "readers"_a, nb::kw_only(), "recent"_a, "seed"_a, "texts"_a, "length"_a, "stops"_a,
          "temperature"_a, "top_k"_a, "top_p"_a, "min_p"_a, "repetition_penalty"_a,
          "pattern"_a.none(), "known"_a.none() = nb::none(), "prompt"_a = "")
      .def(
          "run",
          [](Session& session, double seconds) {
            const std::chrono::microseconds duration(static_cast<std::int64_t>(seconds * 1e6));
            return list_of(released([&] { return session.run(duration); }));
          },
          "seconds"_a, "Write on for so long: what grew of each text.")
      .def_prop_ro("is_over", &Session::is_over)
      .def(
          "cancel",
          [](Session& session, std::optional<std::size_t> request) {
            if (request) return session.cancel(*request);
            session.cancel();
          },
          "request"_a = nb::none(),
          "End the writing of a request, or all of it, from any thread, within a step.");

  nb::class_<CopyFinder>(module, "CopyFinder")
      .def(
          "__init__",
          [](CopyFinder* finder, const nb::bytes& text) {
            const std::string_view view = view_of(text);
            const nb::gil_scoped_release release;
            new (finder) CopyFinder(view);
          },
          "text"_a)
      .def(
          "read",
          [](CopyFinder& finder, const nb::bytes& piece, std::size_t threads) {
            const std::string_view view = view_of(piece);
            released([&] { finder.read(view, threads); });
          },
          "piece"_a, "threads"_a = 1)
      .def("part", &CopyFinder::part)
      .def("longest", [](const CopyFinder& finder) {
        return numpy_of(released([&] { return finder.longest(); }));
      });
}

}  // namespace
}  // namespace sunspring
