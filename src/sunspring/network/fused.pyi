"""The training kernels in C++ (`src/native/training`)."""

from torch import Tensor

UNITS_PER_BLOCK: int
QUERIES_PER_BLOCK: int

def is_supported() -> bool: ...
def packed_size(hidden: int, /) -> int: ...
def scan_forward(
    dense: Tensor | None,
    table: Tensor | None,
    tokens: Tensor | None,
    weights: Tensor,
    first_output: Tensor,
    first_cell: Tensor,
    packed: Tensor,
    outputs: Tensor,
    gates: Tensor,
    cells: Tensor,
    /,
) -> None: ...
def scan_backward(
    output_gradients: Tensor,
    weights: Tensor,
    first_cell: Tensor,
    outputs: Tensor,
    gates: Tensor,
    cells: Tensor,
    packed: Tensor,
    input_gradients: Tensor,
    cell_gradients: Tensor,
    /,
) -> None: ...
def pointer_forward(
    queries: Tensor,
    keys: Tensor,
    followers: Tensor,
    targets: Tensor,
    sentinel: Tensor,
    at_targets: Tensor,
    own: Tensor,
    sentinels: Tensor,
    scales: Tensor,
    weights: Tensor | None,
    /,
) -> None: ...
def pointer_backward(
    target_gradients: Tensor,
    own_gradients: Tensor,
    queries: Tensor,
    keys: Tensor,
    followers: Tensor,
    targets: Tensor,
    at_targets: Tensor,
    own: Tensor,
    sentinels: Tensor,
    scales: Tensor,
    weights: Tensor,
    query_gradients: Tensor,
    key_gradients: Tensor,
    sentinel_gradients: Tensor,
    /,
) -> None: ...
