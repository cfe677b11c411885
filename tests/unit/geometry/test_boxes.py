import pytest
import torch

from canthus.geometry import affine, boxes


def test_centre_and_side():
    box = torch.tensor([[10.0, 20.0, 30.0, 60.0]])
    assert boxes.centre(box).tolist() == [[20.0, 40.0]]
    assert boxes.side(box).tolist() == [30.0]


def test_corners_go_round():
    box = torch.tensor([[[1.0, 2.0, 3.0, 5.0]]])
    assert boxes.corners(box).tolist() == [[[[1.0, 2.0], [3.0, 2.0], [3.0, 5.0], [1.0, 5.0]]]]


def test_corners_and_tight_box_are_inverse():
    box = torch.tensor([[1.0, 2.0, 3.0, 5.0], [-4.0, 0.0, 4.5, 8.0]])
    assert torch.equal(boxes.box_of_points(boxes.corners(box)), box)


def test_centred_box_lies_in_the_middle_of_the_pixels():
    # a frame of 100 px reaches from -0.5 to 99.5
    assert boxes.centred_box(100, 1.0) == (-0.5, -0.5, 99.5, 99.5)
    assert boxes.centred_box(100, 0.5) == (24.5, 24.5, 74.5, 74.5)


def test_box_map_is_dans_rule():
    source = torch.tensor([[0.0, 0.0, 10.0, 20.0]])
    target = torch.tensor([[100.0, 200.0, 130.0, 220.0]])
    matrix = boxes.box_map(source, target)
    scale = (30 / 10 + 20 / 20) / 2  # the mean of the ratios, not the ratio of the mean sides (50 / 30)
    assert matrix[0, :, :2].tolist() == [[scale, 0.0], [0.0, scale]]
    mapped = affine.apply(matrix, boxes.centre(source)[:, None])[0]
    assert mapped.tolist() == boxes.centre(target).tolist()


def test_box_map_of_a_square_onto_a_square_is_exact():
    source, target = torch.tensor([[2.0, 4.0, 6.0, 8.0]]), torch.tensor([10.0, 20.0, 18.0, 28.0])
    mapped = affine.apply(boxes.box_map(source, target), source.unflatten(1, (2, 2)))
    assert mapped.flatten(1).tolist() == [target.tolist()]


def test_box_map_takes_one_target_for_a_batch():
    source = torch.tensor([[0.0, 0.0, 10.0, 20.0], [5.0, 5.0, 9.0, 8.0]])
    target = torch.tensor([1.0, 2.0, 30.0, 40.0])
    together = boxes.box_map(source, target)
    assert together.shape == (2, 2, 3)
    assert torch.equal(together[1], boxes.box_map(source[1:], target[None])[0])


def test_box_map_keeps_float64():
    assert boxes.box_map(torch.tensor([[0, 0, 3, 3.0]]).double(), torch.tensor([[0, 0, 1, 1.0]]).double()).dtype == (
        torch.float64
    )


def test_tight_box():
    points = torch.tensor([[[3.0, 9.0], [1.0, 10.0], [2.0, 4.0]]])
    assert boxes.box_of_points(points).tolist() == [[1.0, 4.0, 3.0, 10.0]]


def test_unlabelled_points_are_outside_the_box():
    points = torch.tensor([[[3.0, 9.0], [1.0, 10.0], [-50.0, 400.0], [torch.nan, torch.nan]]])
    visibility = torch.tensor([[2, 1, 0, 0]], dtype=torch.uint8)
    assert boxes.box_of_points(points, visibility).tolist() == [[1.0, 9.0, 3.0, 10.0]]


def test_a_face_without_labelled_points_has_no_box():
    visibility = torch.tensor([[2, 1], [0, 0]], dtype=torch.uint8)
    with pytest.raises(ValueError, match="at least one labelled point"):
        boxes.box_of_points(torch.zeros(2, 2, 2), visibility)


def test_box_map_by_diagonal_is_the_fit_of_the_corners_by_frobenius_norms():
    source, target = torch.tensor([[0.0, 0.0, 30.0, 40.0]]), torch.tensor([[100.0, 200.0, 124.0, 207.0]])
    matrix = boxes.box_map(source, target, by="diagonal")
    centred = [boxes.corners(box)[0] - boxes.centre(box) for box in (source, target)]
    assert float(matrix[0, 0, 0]) == pytest.approx(float(centred[1].norm() / centred[0].norm()))
    assert float(matrix[0, 0, 0]) == 0.5
    mapped = affine.apply(matrix, boxes.centre(source)[:, None])[0]
    assert mapped.tolist() == boxes.centre(target).tolist()
    with pytest.raises(ValueError, match="'area'; one of sides, diagonal"):
        boxes.box_map(source, target, by="area")


@pytest.mark.parametrize("by", ["sides", "diagonal"])
def test_a_shape_is_placed_in_a_box(by):
    shape = torch.tensor([[3.0, 9.0], [1.0, 10.0], [2.0, 4.0], [7.0, 8.0]])
    own = boxes.box_of_points(shape)
    torch.testing.assert_close(boxes.shape_in_box(shape, own[None], by=by)[0], shape, atol=1e-6, rtol=0)
    twice = torch.stack([2 * own, 2 * own + 50])
    placed = boxes.shape_in_box(shape, twice, by=by)
    torch.testing.assert_close(placed, torch.stack([2 * shape, 2 * shape + 50]), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("by", "scale"), [("sides", 2.625), ("diagonal", 2.6), ("longer", 3.0)])
def test_what_sets_the_scale_of_boxes_of_other_shapes(by: str, scale: float) -> None:
    """30 x 40 to 120 x 50: ratios 4 and 1.25 of the sides, 130 / 50 of the diagonals, 120 / 40 of the longer sides."""
    source, target = torch.tensor([[10.0, 20.0, 40.0, 60.0]]), torch.tensor([[0.0, 5.0, 120.0, 55.0]])
    matrix = boxes.box_map(source, target, by=by)
    offset = torch.tensor([60.0, 30.0]) - scale * torch.tensor([25.0, 40.0])
    expected = torch.tensor([[scale, 0.0, float(offset[0])], [0.0, scale, float(offset[1])]])
    torch.testing.assert_close(matrix[0], expected)
