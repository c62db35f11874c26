// What Python sees of the loops of training: checks shapes and types, allocates nothing.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>

#include "training/loops.h"
#include "training/threads.h"
#include "vectors/bfloat16.h"

namespace nb = nanobind;
using sunspring::bfloat16;
using sunspring::Loops;

template <>
struct nanobind::detail::dtype_traits<bfloat16> {
  static constexpr dlpack::dtype value{static_cast<std::uint8_t>(dlpack::dtype_code::Bfloat), 16,
                                       1};
  static constexpr auto name = const_name("bfloat16");
};

// The build defines SUNSPRING_FLOAT32_LOOPS and SUNSPRING_AVX512_BF16_LOOPS: their names, separated by
// commas, the fastest first.
namespace sunspring::loops {
extern const Loops<float> SUNSPRING_FLOAT32_LOOPS;
#ifdef SUNSPRING_AVX512_BF16_LOOPS
extern const Loops<bfloat16> SUNSPRING_AVX512_BF16_LOOPS;
#endif
}  // namespace sunspring::loops

namespace {

template <typename Value, int dimensions>
using Array = nb::ndarray<Value, nb::ndim<dimensions>, nb::c_contig, nb::device::cpu>;

// The first of some loops that this processor has and that has this name, if one is given.
template <typename Value, typename... Each>
const Loops<Value>* find(const std::string& name, const Each&... each) {
  const Loops<Value>* found = nullptr;
  ((found = !found && (name.empty() || name == each.name) && each.is_supported() ? &each : found),
   ...);
  return found;
}

void require(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

template <typename Value, int dimensions>
void require_shape(const Array<Value, dimensions>& array, const std::size_t (&shape)[dimensions],
                   const char* name) {
  for (int axis = 0; axis < dimensions; ++axis) {
    require(array.shape(axis) == shape[axis], name);
  }
}

template <typename Value>
void require_aligned(const Value* values, const char* name) {
  require(reinterpret_cast<std::uintptr_t>(values) % 64 == 0, name);
}

template <typename Values>
bool are_between(const Values& values, std::int64_t least, std::int64_t limit) {
  return std::all_of(values.data(), values.data() + values.size(),
                     [=](std::int64_t value) { return least <= value && value < limit; });
}

template <typename Value>
struct ScanArguments {
  sunspring::Shape shape;
  sunspring::Activations<Value> activations;
};

template <typename Value>
ScanArguments<Value> check_scan(const Array<const float, 2>& weights,
                                const Array<const float, 2>& first_cell,
                                const Array<Value, 3>& outputs, const Array<Value, 3>& gates,
                                const Array<float, 3>& cells, const Array<Value, 1>& packed) {
  const std::size_t batch = outputs.shape(0), time = outputs.shape(1), hidden = outputs.shape(2);
  require(hidden % sunspring::kUnitsPerBlock == 0, "hidden must be a multiple of 64");
  require_shape<const float, 2>(weights, {4 * hidden, hidden}, "weights: wrong shape");
  require_shape<const float, 2>(first_cell, {batch, hidden}, "first_cell: wrong shape");
  require_shape<Value, 3>(gates, {batch, time, 4 * hidden}, "gates: wrong shape");
  require_shape<float, 3>(cells, {batch, time, hidden}, "cells: wrong shape");
  require_shape<Value, 1>(packed, {sunspring::packed_size(hidden)}, "packed: wrong shape");
  require_aligned(packed.data(), "packed: not aligned");
  return {{batch, time, hidden}, {outputs.data(), gates.data(), cells.data()}};
}

template <typename Value>
struct PointerArguments {
  sunspring::PointerShape shape;
  sunspring::PointerInputs<Value> inputs;
  sunspring::Pointed<Value> result;
};

template <typename Value>
PointerArguments<Value> check_pointer(
    const Array<const Value, 3>& queries, const Array<const Value, 3>& keys,
    const Array<const std::int64_t, 2>& followers, const Array<const std::int64_t, 2>& targets,
    const Array<float, 2>& at_targets, const Array<float, 2>& own, const Array<float, 2>& sentinels,
    const Array<float, 2>& scales, const std::optional<Array<Value, 4>>& weights) {
  const std::size_t batch = queries.shape(0), time = queries.shape(1), size = queries.shape(2);
  require(size % sunspring::kUnitsPerBlock == 0, "size must be a multiple of 64");
  require(keys.shape(1) > time, "keys: none before those of the window");
  const std::size_t reach = keys.shape(1) - time;
  require_shape<const Value, 3>(keys, {batch, reach + time, size}, "keys: wrong shape");
  require_shape<const std::int64_t, 2>(followers, {batch, reach + time - 1},
                                       "followers: wrong shape");
  require_shape<const std::int64_t, 2>(targets, {batch, time}, "targets: wrong shape");
  require_shape<float, 2>(at_targets, {batch, time}, "at_targets: wrong shape");
  require_shape<float, 2>(own, {batch, time}, "own: wrong shape");
  require_shape<float, 2>(sentinels, {batch, time}, "sentinels: wrong shape");
  require_shape<float, 2>(scales, {batch, time}, "scales: wrong shape");
  if (weights) {
    const std::size_t width = sunspring::kQueriesPerBlock;
    require_shape<Value, 4>(*weights,
                            {batch, (time + width - 1) / width, reach + width - 1, width},
                            "weights: wrong shape");
  }
  const auto are_tokens = [](const Array<const std::int64_t, 2>& values) {
    return are_between(values, sunspring::kNoToken, std::int64_t{1} << 31);
  };
  require(are_tokens(followers), "followers: neither tokens nor -1");
  require(are_tokens(targets), "targets: neither tokens nor -1");
  return {{batch, time, reach, size},
          {queries.data(), keys.data(), followers.data(), targets.data()},
          {at_targets.data(), own.data(), sentinels.data(), scales.data(),
           weights ? weights->data() : nullptr}};
}

// A matrix as Python hands it over: the address of its first value and its strides. A step multiplies
// sixty times; to have arrays checked here would take longer than some of the products.
using Strided = std::tuple<std::uintptr_t, std::size_t, std::size_t>;

template <typename Value>
sunspring::Matrix<Value> matrix_of(const Strided& given) {
  const auto& [address, row_stride, column_stride] = given;
  return {reinterpret_cast<const Value*>(address), row_stride, column_stride};
}

template <typename Value>
void multiply(const Loops<Value>& loops, std::size_t rows, std::size_t inner, std::size_t columns,
              const Strided& a, const Strided& b, std::uintptr_t bias, std::uintptr_t packed,
              std::uintptr_t result, bool is_rounded) {
  const nb::gil_scoped_release release;
  const sunspring::ProductShape shape{rows, inner, columns};
  const sunspring::Product<Value>& product = *loops.product;
  const auto with = [&](auto multiply, auto* into) {
    multiply(shape, matrix_of<Value>(a), matrix_of<Value>(b), reinterpret_cast<const float*>(bias),
             reinterpret_cast<Value*>(packed), into);
  };
  if (is_rounded) {
    with(product.multiply_rounded, reinterpret_cast<Value*>(result));
  } else {
    with(product.multiply, reinterpret_cast<float*>(result));
  }
}

// Define the loops of a number format as a class with a method for each of them.
template <typename Value>
void define(nb::module_& module, const char* name) {
  using Kind = Loops<Value>;
  // A converted array would be a copy: what is written into it would be lost.
  const auto exact = nb::arg().noconvert();
  const auto optional = nb::arg().noconvert().none();
  nb::class_<Kind> kind(module, name);
  kind.def_prop_ro("name", [](const Kind& loops) { return std::string(loops.name); })
      .def(
          "scan_forward",
          [](const Kind& loops, std::optional<Array<const Value, 3>> dense,
             std::optional<Array<const Value, 2>> table,
             std::optional<Array<const std::int64_t, 2>> tokens, Array<const float, 2> weights,
             Array<const Value, 2> first_output, Array<const float, 2> first_cell,
             Array<Value, 1> packed, Array<Value, 3> outputs, Array<Value, 3> gates,
             Array<float, 3> cells) {
            const auto given =
                check_scan<Value>(weights, first_cell, outputs, gates, cells, packed);
            const auto [batch, time, hidden] = given.shape;
            require_shape<const Value, 2>(first_output, {batch, hidden},
                                          "first_output: wrong shape");
            sunspring::Inputs<Value> inputs{};
            if (dense) {
              require_shape<const Value, 3>(*dense, {batch, time, 4 * hidden},
                                            "dense: wrong shape");
              inputs.dense = dense->data();
            }
            if (table || tokens) {
              require(table && tokens, "a table needs tokens, and tokens need a table");
              require(table->shape(1) == 4 * hidden, "table: wrong shape");
              require_shape<const std::int64_t, 2>(*tokens, {batch, time}, "tokens: wrong shape");
              require(are_between(*tokens, 0, table->shape(0)), "tokens: beyond the table");
              inputs.table = table->data();
              inputs.tokens = tokens->data();
            }
            const nb::gil_scoped_release release;
            loops.scan->forward(given.shape, inputs, weights.data(), first_output.data(),
                                first_cell.data(), packed.data(), given.activations);
          },
          optional, optional, optional, exact, exact, exact, exact, exact, exact, exact)
      .def(
          "scan_backward",
          [](const Kind& loops, Array<const Value, 3> output_gradients,
             Array<const float, 2> weights, Array<const float, 2> first_cell,
             Array<Value, 3> outputs, Array<Value, 3> gates, Array<float, 3> cells,
             Array<Value, 1> packed, Array<Value, 3> input_gradients,
             Array<float, 2> cell_gradients) {
            const auto given =
                check_scan<Value>(weights, first_cell, outputs, gates, cells, packed);
            const auto [batch, time, hidden] = given.shape;
            require_shape<const Value, 3>(output_gradients, {batch, time, hidden},
                                          "output_gradients: wrong shape");
            require_shape<Value, 3>(input_gradients, {batch, time, 4 * hidden},
                                    "input_gradients: wrong shape");
            require_shape<float, 2>(cell_gradients, {batch, hidden}, "cell_gradients: wrong shape");
            const nb::gil_scoped_release release;
            loops.scan->backward(given.shape, output_gradients.data(), weights.data(),
                                 first_cell.data(), given.activations, packed.data(),
                                 input_gradients.data(), cell_gradients.data());
          },
          exact, exact, exact, exact, exact, exact, exact, exact, exact)
      .def(
          "pointer_forward",
          [](const Kind& loops, Array<const Value, 3> queries, Array<const Value, 3> keys,
             Array<const std::int64_t, 2> followers, Array<const std::int64_t, 2> targets,
             Array<const float, 1> sentinel, Array<float, 2> at_targets, Array<float, 2> own,
             Array<float, 2> sentinels, Array<float, 2> scales,
             std::optional<Array<Value, 4>> weights) {
            const auto given = check_pointer<Value>(queries, keys, followers, targets, at_targets,
                                                    own, sentinels, scales, weights);
            require_shape<const float, 1>(sentinel, {1}, "sentinel: wrong shape");
            const nb::gil_scoped_release release;
            loops.pointer->forward(given.shape, given.inputs, sentinel.data()[0], given.result);
          },
          exact, exact, exact, exact, exact, exact, exact, exact, exact, optional)
      .def(
          "pointer_backward",
          [](const Kind& loops, Array<const float, 2> target_gradients,
             Array<const float, 2> own_gradients, Array<const Value, 3> queries,
             Array<const Value, 3> keys, Array<const std::int64_t, 2> followers,
             Array<const std::int64_t, 2> targets, Array<float, 2> at_targets,
             Array<float, 2> own, Array<float, 2> sentinels, Array<float, 2> scales,
             Array<Value, 4> weights, Array<Value, 3> query_gradients,
             Array<Value, 3> key_gradients, Array<float, 2> sentinel_gradients) {
            const auto given = check_pointer<Value>(queries, keys, followers, targets, at_targets,
                                                    own, sentinels, scales, weights);
            const auto [batch, time, reach, size] = given.shape;
            require_shape<const float, 2>(target_gradients, {batch, time},
                                          "target_gradients: wrong shape");
            require_shape<const float, 2>(own_gradients, {batch, time},
                                          "own_gradients: wrong shape");
            require_shape<Value, 3>(query_gradients, {batch, time, size},
                                    "query_gradients: wrong shape");
            require_shape<Value, 3>(key_gradients, {batch, time, size},
                                    "key_gradients: wrong shape");
            require_shape<float, 2>(sentinel_gradients, {batch, time},
                                    "sentinel_gradients: wrong shape");
            const nb::gil_scoped_release release;
            loops.pointer->backward(given.shape, given.inputs, given.result,
                                    {target_gradients.data(), own_gradients.data(),
                                     query_gradients.data(), key_gradients.data(),
                                     sentinel_gradients.data()});
          },
          exact, exact, exact, exact, exact, exact, exact, exact, exact, exact, exact, exact,
          exact, exact)
      .def("product_size",
           [](const Kind& loops, std::size_t rows, std::size_t inner, std::size_t columns) {
             return loops.product->packed_size({rows, inner, columns});
           })
      .def("multiply", multiply<Value>)
      .def(
          "sum_by_token",
          [](const Kind& loops, Array<const Value, 2> values, Array<const std::int64_t, 1> tokens,
             Array<float, 2> sums) {
            require(values.shape(1) % sunspring::kUnitsPerBlock == 0, "width: not in blocks");
            require(values.shape(1) == sums.shape(1), "sums: wrong shape");
            require_shape<const std::int64_t, 1>(tokens, {values.shape(0)}, "tokens: wrong shape");
            require(are_between(tokens, 0, sums.shape(0)), "tokens: beyond the vocabulary");
            const nb::gil_scoped_release release;
            loops.gathering->sum_by_token(values.shape(0), values.shape(1), sums.shape(0),
                                          values.data(), tokens.data(), sums.data());
          },
          exact, exact, exact);
}

}  // namespace

NB_MODULE(fused, module) {
  nb::set_leak_warnings(false);  // loops stay until the process ends
  module.attr("UNITS_PER_BLOCK") = sunspring::kUnitsPerBlock;
  module.attr("QUERIES_PER_BLOCK") = sunspring::kQueriesPerBlock;
  module.def("set_threads", &sunspring::set_threads);
  define<float>(module, "Float32Loops");
  define<bfloat16>(module, "BFloat16Loops");
  module.def(
      "find_float32_loops",
      [](const std::string& name) {
        using namespace sunspring::loops;
        return find<float>(name, SUNSPRING_FLOAT32_LOOPS);
      },
      nb::rv_policy::reference);
  module.def(
      "find_bfloat16_loops",
      [](const std::string& name) {
#ifdef SUNSPRING_AVX512_BF16_LOOPS
        using namespace sunspring::loops;
        return find<bfloat16>(name, SUNSPRING_AVX512_BF16_LOOPS);
#else
        static_cast<void>(name);
        return static_cast<const Loops<bfloat16>*>(nullptr);
#endif
      },
      nb::rv_policy::reference);
}
