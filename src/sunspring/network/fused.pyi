"""The training kernels in C++ (`src/native/training`)."""

from torch import Tensor

UNITS_PER_BLOCK: int
QUERIES_PER_BLOCK: int

def set_threads(count: int, /) -> None: ...
def find_float32_loops(name: str, /) -> Float32Loops | None: ...
def find_bfloat16_loops(name: str, /) -> BFloat16Loops | None: ...

class Float32Loops:
    @property
    def name(self) -> str: ...
    def scan_forward(
        self,
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
        self,
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
        self,
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
        self,
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
    def product_size(self, rows: int, inner: int, columns: int, /) -> int: ...
    def multiply(
        self,
        rows: int,
        inner: int,
        columns: int,
        a: tuple[int, int, int],
        b: tuple[int, int, int],
        bias: int,
        packed: int,
        result: int,
        is_rounded: bool,
        /,
    ) -> None: ...
    def sum_by_token(self, values: Tensor, tokens: Tensor, sums: Tensor, /) -> None: ...

class BFloat16Loops(Float32Loops): ...
