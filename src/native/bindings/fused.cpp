// What Python sees of the loops of training: checks shapes and types, allocates nothing.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <stdexcept>

#include "training/pointer.h"
#include "training/scan.h"

namespace nb = nanobind;
using sunspring::bfloat16;
using sunspring::Pointer;
using sunspring::Scan;

template <>
struct nanobind::detail::dtype_traits<bfloat16> {
  static constexpr dlpack::dtype value{static_cast<std::uint8_t>(dlpack::dtype_code::Bfloat), 16,
                                       1};
  static constexpr auto name = const_name("bfloat16");
};

namespace {

template <typename Value, int dimensions>
using Array = nb::ndarray<Value, nb::ndim<dimensions>, nb::c_contig, nb::device::cpu>;

const Scan& scan = sunspring::avx512_bf16_scan;
const Pointer& pointer = sunspring::avx512_bf16_pointer;

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

bool are_between(const Array<const std::int64_t, 2>& values, std::int64_t least,
                 std::int64_t limit) {
  return std::all_of(values.data(), values.data() + values.size(),
                     [=](std::int64_t value) { return least <= value && value < limit; });
}

struct ScanArguments {
  sunspring::Shape shape;
  sunspring::Activations activations;
};

ScanArguments check(const Array<const float, 2>& weights, const Array<const float, 2>& first_cell,
                    const Array<bfloat16, 3>& outputs, const Array<bfloat16, 3>& gates,
                    const Array<float, 3>& cells, const Array<bfloat16, 1>& packed) {
  require(scan.is_supported(), "this processor has no bfloat16 products");
  const std::size_t batch = outputs.shape(0), time = outputs.shape(1), hidden = outputs.shape(2);
  require(hidden % sunspring::kUnitsPerBlock == 0, "hidden must be a multiple of 64");
  require_shape<const float, 2>(weights, {4 * hidden, hidden}, "weights: wrong shape");
  require_shape<const float, 2>(first_cell, {batch, hidden}, "first_cell: wrong shape");
  require_shape<bfloat16, 3>(gates, {batch, time, 4 * hidden}, "gates: wrong shape");
  require_shape<float, 3>(cells, {batch, time, hidden}, "cells: wrong shape");
  require_shape<bfloat16, 1>(packed, {sunspring::packed_size(hidden)}, "packed: wrong shape");
  require(reinterpret_cast<std::uintptr_t>(packed.data()) % 64 == 0, "packed: not aligned");
  return {{batch, time, hidden}, {outputs.data(), gates.data(), cells.data()}};
}

struct PointerArguments {
  sunspring::PointerShape shape;
  sunspring::PointerInputs inputs;
  sunspring::Pointed result;
};

PointerArguments check(const Array<const bfloat16, 3>& queries,
                       const Array<const bfloat16, 3>& keys,
                       const Array<const std::int64_t, 2>& followers,
                       const Array<const std::int64_t, 2>& targets,
                       const Array<float, 2>& at_targets, const Array<float, 2>& own,
                       const Array<float, 2>& sentinels, const Array<float, 2>& scales,
                       const std::optional<Array<bfloat16, 4>>& weights) {
  require(pointer.is_supported(), "this processor has no bfloat16 products");
  const std::size_t batch = queries.shape(0), time = queries.shape(1), size = queries.shape(2);
  require(size % sunspring::kUnitsPerBlock == 0, "size must be a multiple of 64");
  require(keys.shape(1) > time, "keys: none before those of the window");
  const std::size_t reach = keys.shape(1) - time;
  require_shape<const bfloat16, 3>(keys, {batch, reach + time, size}, "keys: wrong shape");
  require_shape<const std::int64_t, 2>(followers, {batch, reach + time - 1},
                                       "followers: wrong shape");
  require_shape<const std::int64_t, 2>(targets, {batch, time}, "targets: wrong shape");
  require_shape<float, 2>(at_targets, {batch, time}, "at_targets: wrong shape");
  require_shape<float, 2>(own, {batch, time}, "own: wrong shape");
  require_shape<float, 2>(sentinels, {batch, time}, "sentinels: wrong shape");
  require_shape<float, 2>(scales, {batch, time}, "scales: wrong shape");
  if (weights) {
    const std::size_t width = sunspring::kQueriesPerBlock;
    require_shape<bfloat16, 4>(*weights,
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

}  // namespace

NB_MODULE(fused, module) {
  module.attr("UNITS_PER_BLOCK") = sunspring::kUnitsPerBlock;
  module.attr("QUERIES_PER_BLOCK") = sunspring::kQueriesPerBlock;
  module.def("is_supported", scan.is_supported);
  module.def("packed_size", &sunspring::packed_size);
  // A converted array would be a copy: what is written into it would be lost.
  const auto exact = nb::arg().noconvert();
  const auto optional = nb::arg().noconvert().none();
  module.def(
      "scan_forward",
      [](std::optional<Array<const bfloat16, 3>> dense,
         std::optional<Array<const bfloat16, 2>> table,
         std::optional<Array<const std::int64_t, 2>> tokens, Array<const float, 2> weights,
         Array<const bfloat16, 2> first_output, Array<const float, 2> first_cell,
         Array<bfloat16, 1> packed, Array<bfloat16, 3> outputs, Array<bfloat16, 3> gates,
         Array<float, 3> cells) {
        const ScanArguments given = check(weights, first_cell, outputs, gates, cells, packed);
        const auto [batch, time, hidden] = given.shape;
        require_shape<const bfloat16, 2>(first_output, {batch, hidden},
                                         "first_output: wrong shape");
        sunspring::Inputs inputs{};
        if (dense) {
          require_shape<const bfloat16, 3>(*dense, {batch, time, 4 * hidden}, "dense: wrong shape");
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
        scan.forward(given.shape, inputs, weights.data(), first_output.data(), first_cell.data(),
                     packed.data(), given.activations);
      },
      optional, optional, optional, exact, exact, exact, exact, exact, exact, exact);
  module.def(
      "scan_backward",
      [](Array<const bfloat16, 3> output_gradients, Array<const float, 2> weights,
         Array<const float, 2> first_cell, Array<bfloat16, 3> outputs, Array<bfloat16, 3> gates,
         Array<float, 3> cells, Array<bfloat16, 1> packed, Array<bfloat16, 3> input_gradients,
         Array<float, 2> cell_gradients) {
        const ScanArguments given = check(weights, first_cell, outputs, gates, cells, packed);
        const auto [batch, time, hidden] = given.shape;
        require_shape<const bfloat16, 3>(output_gradients, {batch, time, hidden},
                                         "output_gradients: wrong shape");
        require_shape<bfloat16, 3>(input_gradients, {batch, time, 4 * hidden},
                                   "input_gradients: wrong shape");
        require_shape<float, 2>(cell_gradients, {batch, hidden}, "cell_gradients: wrong shape");
        const nb::gil_scoped_release release;
        scan.backward(given.shape, output_gradients.data(), weights.data(), first_cell.data(),
                      given.activations, packed.data(), input_gradients.data(),
                      cell_gradients.data());
      },
      exact, exact, exact, exact, exact, exact, exact, exact, exact);
  module.def(
      "pointer_forward",
      [](Array<const bfloat16, 3> queries, Array<const bfloat16, 3> keys,
         Array<const std::int64_t, 2> followers, Array<const std::int64_t, 2> targets,
         Array<const float, 1> sentinel, Array<float, 2> at_targets, Array<float, 2> own,
         Array<float, 2> sentinels, Array<float, 2> scales,
         std::optional<Array<bfloat16, 4>> weights) {
        const PointerArguments given =
            check(queries, keys, followers, targets, at_targets, own, sentinels, scales, weights);
        require_shape<const float, 1>(sentinel, {1}, "sentinel: wrong shape");
        const nb::gil_scoped_release release;
        pointer.forward(given.shape, given.inputs, sentinel.data()[0], given.result);
      },
      exact, exact, exact, exact, exact, exact, exact, exact, exact, optional);
  module.def(
      "pointer_backward",
      [](Array<const float, 2> target_gradients, Array<const float, 2> own_gradients,
         Array<const bfloat16, 3> queries, Array<const bfloat16, 3> keys,
         Array<const std::int64_t, 2> followers, Array<const std::int64_t, 2> targets,
         Array<float, 2> at_targets, Array<float, 2> own, Array<float, 2> sentinels,
         Array<float, 2> scales, Array<bfloat16, 4> weights, Array<bfloat16, 3> query_gradients,
         Array<bfloat16, 3> key_gradients, Array<float, 2> sentinel_gradients) {
        const PointerArguments given =
            check(queries, keys, followers, targets, at_targets, own, sentinels, scales, weights);
        const auto [batch, time, reach, size] = given.shape;
        require_shape<const float, 2>(target_gradients, {batch, time},
                                      "target_gradients: wrong shape");
        require_shape<const float, 2>(own_gradients, {batch, time}, "own_gradients: wrong shape");
        require_shape<bfloat16, 3>(query_gradients, {batch, time, size},
                                   "query_gradients: wrong shape");
        require_shape<bfloat16, 3>(key_gradients, {batch, time, size},
                                   "key_gradients: wrong shape");
        require_shape<float, 2>(sentinel_gradients, {batch, time},
                                "sentinel_gradients: wrong shape");
        const nb::gil_scoped_release release;
        pointer.backward(given.shape, given.inputs, given.result,
                         {target_gradients.data(), own_gradients.data(), query_gradients.data(),
                          key_gradients.data(), sentinel_gradients.data()});
      },
      exact, exact, exact, exact, exact, exact, exact, exact, exact, exact, exact, exact, exact,
      exact);
}
