// The Python face of the kernels: checks shapes and types, allocates nothing.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <algorithm>
#include <optional>
#include <stdexcept>

#include "scan.h"

namespace nb = nanobind;
using sunspring::bfloat16;

template <>
struct nanobind::detail::dtype_traits<bfloat16> {
  static constexpr dlpack::dtype value{static_cast<std::uint8_t>(dlpack::dtype_code::Bfloat), 16, 1};
  static constexpr auto name = const_name("bfloat16");
};

namespace {

template <typename Value, int dimensions>
using Array = nb::ndarray<Value, nb::ndim<dimensions>, nb::c_contig, nb::device::cpu>;

// Whether this processor has what scan.cpp is compiled for; asked here, where it need not.
bool is_supported() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512bf16");
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

struct Scan {
  sunspring::Shape shape;
  sunspring::Activations activations;
};

Scan check(const Array<const float, 2>& weights, const Array<const float, 2>& first_cell,
           const Array<bfloat16, 3>& outputs, const Array<bfloat16, 3>& gates,
           const Array<float, 3>& cells, const Array<bfloat16, 1>& packed) {
  require(is_supported(), "this processor has no bfloat16 products");
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

}  // namespace

NB_MODULE(_kernels, module) {
  module.attr("UNITS_PER_BLOCK") = sunspring::kUnitsPerBlock;
  module.def("is_supported", &is_supported);
  module.def("packed_size", &sunspring::packed_size);
  // A converted array would be a copy: what is written into it would be lost.
  const auto given = nb::arg().noconvert();
  const auto optional = nb::arg().noconvert().none();
  module.def(
      "scan_forward",
      [](std::optional<Array<const bfloat16, 3>> dense, std::optional<Array<const bfloat16, 2>> table,
         std::optional<Array<const std::int64_t, 2>> tokens, Array<const float, 2> weights,
         Array<const bfloat16, 2> first_output, Array<const float, 2> first_cell,
         Array<bfloat16, 1> packed, Array<bfloat16, 3> outputs, Array<bfloat16, 3> gates,
         Array<float, 3> cells) {
        const Scan scan = check(weights, first_cell, outputs, gates, cells, packed);
        const auto [batch, time, hidden] = scan.shape;
        require_shape<const bfloat16, 2>(first_output, {batch, hidden}, "first_output: wrong shape");
        sunspring::Inputs inputs{};
        if (dense) {
          require_shape<const bfloat16, 3>(*dense, {batch, time, 4 * hidden}, "dense: wrong shape");
          inputs.dense = dense->data();
        }
        if (table || tokens) {
          require(table && tokens, "a table needs tokens, and tokens need a table");
          require(table->shape(1) == 4 * hidden, "table: wrong shape");
          require_shape<const std::int64_t, 2>(*tokens, {batch, time}, "tokens: wrong shape");
          const std::size_t vocabulary = table->shape(0);
          require(std::all_of(tokens->data(), tokens->data() + batch * time,
                              [=](std::int64_t token) {
                                return static_cast<std::uint64_t>(token) < vocabulary;
                              }),
                  "tokens: beyond the table");
          inputs.table = table->data();
          inputs.tokens = tokens->data();
        }
        const nb::gil_scoped_release release;
        sunspring::scan_forward(scan.shape, inputs, weights.data(), first_output.data(),
                                first_cell.data(), packed.data(), scan.activations);
      },
      optional, optional, optional, given, given, given, given, given, given, given);
  module.def("scan_backward", [](Array<const bfloat16, 3> output_gradients,
                                 Array<const float, 2> weights, Array<const float, 2> first_cell,
                                 Array<bfloat16, 3> outputs, Array<bfloat16, 3> gates,
                                 Array<float, 3> cells, Array<bfloat16, 1> packed,
                                 Array<bfloat16, 3> input_gradients,
                                 Array<float, 2> cell_gradients) {
    const Scan scan = check(weights, first_cell, outputs, gates, cells, packed);
    const auto [batch, time, hidden] = scan.shape;
    require_shape<const bfloat16, 3>(output_gradients, {batch, time, hidden},
                                     "output_gradients: wrong shape");
    require_shape<bfloat16, 3>(input_gradients, {batch, time, 4 * hidden},
                               "input_gradients: wrong shape");
    require_shape<float, 2>(cell_gradients, {batch, hidden}, "cell_gradients: wrong shape");
    const nb::gil_scoped_release release;
    sunspring::scan_backward(scan.shape, output_gradients.data(), weights.data(),
                             first_cell.data(), scan.activations, packed.data(),
                             input_gradients.data(), cell_gradients.data());
  }, given, given, given, given, given, given, given, given, given);
}
