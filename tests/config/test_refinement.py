"""Which parts of the model the iterations may change, and when."""

import pytest

from ptycho.base.errors import ConfigError
from ptycho.config.refinement import Refinement, Span


def test_a_span_holds_its_start_and_not_its_stop():
    assert [iteration in Span(2, 4) for iteration in range(5)] == [False, False, True, True, False]
    assert 10**9 in Span(2)
    assert 0 in Span()


@pytest.mark.parametrize(("span", "text"), [(Span(), "0:"), (Span(5), "5:"), (Span(5, 40), "5:40")])
def test_a_span_is_written_as_it_is_typed(span, text):
    assert str(span) == text


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Span(-1), "start is -1"),
        (lambda: Span(5, 5), "the span 5:5 has no iteration"),
        (lambda: Span(0, 2.5), "stop is 2.5"),
        (lambda: Refinement(-3), "iterations is -3"),
        (lambda: Refinement(3, total_variation=float("inf")), "total_variation is inf"),
        (lambda: Refinement(3, n_variations=1), "n_variations is 1 with probe_variation None"),
        (lambda: Refinement(passes=-1), "passes is -1"),
        (lambda: Refinement(coarse_passes=1.5), "coarse_passes is 1.5"),
        (lambda: Refinement(n_modes=0), "n_modes is 0"),
        (lambda: Refinement(9, n_modes=2), "n_modes is 2 with a probe held fixed"),
        (lambda: Refinement(passes=1, object=None), "passes with the object's span None"),
        (lambda: Refinement(3, coarse_passes=1, object=Span(1)), "passes with the object's span 1:"),
        (lambda: Refinement(3, probe_variation=Span(1)), "n_variations is 0 with probe_variation 1:"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(make, says):
    with pytest.raises(ConfigError) as refused:
        make()
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "expected" in str(refused.value)
