"""Work that a GPU is told once and does again and again, without being told kernel by kernel."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

Result = TypeVar("Result")

# How often work is done before it is recorded: libraries choose their algorithms and plan their transforms.
REHEARSALS = 2


def why_not(error: RuntimeError) -> str:
    """Return in a line why a recording failed: what ends one that did has an error of its own."""
    return str(error.__context__ or error).splitlines()[0]


class CudaGraphs:
    """Records work as CUDA graphs; what is done aside is done on the stream that records, as recording asks for it."""

    def __init__(self, device: "torch.device") -> None:
        import torch

        self._stream = torch.cuda.Stream(device)

    def aside(self, work: Callable[[], Result]) -> Result:
        """Do the work once on the stream that records, in its turn."""
        import torch

        here = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            result = work()
        here.wait_stream(self._stream)
        return result

    def record(self, work: Callable[[], Result], draws: "Sequence[torch.Generator]" = ()) -> Callable[[], Result]:
        """Record the work without doing it, and return what does it again.

        The work reads nothing back, brings nothing from the processor, and draws from ``draws`` alone. The memory of
        its result stays the result's: it holds until the work is done again.

        Raises
        ------
        RuntimeError
            Something in the work can't be recorded.
        """
        import torch

        graph = torch.cuda.CUDAGraph()
        for rng in draws:
            graph.register_generator_state(rng)
        here = torch.cuda.current_stream(self._stream.device)
        # Other threads, such as one that pins memory, may go on using the device.
        with torch.cuda.stream(here), torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            result = work()

        def again() -> Result:
            graph.replay()
            return result

        return again
