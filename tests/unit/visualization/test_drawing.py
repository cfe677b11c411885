import numpy as np
import pytest

from canthus.schemes import load_scheme
from canthus.visualization.drawing import contact_sheet, draw_face, draw_prediction, face_tile, stage_strip


@pytest.fixture(scope="module")
def scheme():
    return load_scheme("68")


@pytest.fixture
def face():
    """68 points spread over a 120 pixel square of a 200 pixel picture."""
    return 40 + 120 * np.random.default_rng(0).random((68, 2))


def one_point(place, code=2):
    """A face of which only point 30 is labelled."""
    landmarks, visibility = np.full((68, 2), np.nan), np.zeros(68, np.uint8)
    landmarks[30], visibility[30] = place, code
    return landmarks, visibility


def ink(picture):
    """Weights of drawn pixels on black, and their centroid (x, y)."""
    weight = picture.astype(float).sum(-1)
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return weight, np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


@pytest.mark.parametrize("place", [(20, 20), (20.5, 31.25), (11.75, 40.3), (33.1, 8.9)])
@pytest.mark.parametrize("scale", [1, 3])
def test_dot_lands_at_its_subpixel_place(scheme, place, scale):
    landmarks, visibility = one_point(place)
    picture = draw_face(np.zeros((50, 60, 3), np.uint8), landmarks, scheme, visibility=visibility, scale=scale)
    assert picture.shape == (50 * scale, 60 * scale, 3)
    assert np.abs((ink(picture)[1] + 0.5) / scale - 0.5 - place).max() < 0.2


def test_occluded_point_is_a_ring_around_the_image(scheme):
    background = np.full((400, 400, 3), 90, np.uint8)
    landmarks = 20.0 + 45 * np.stack([np.arange(68) % 9, np.arange(68) // 9], -1)  # no two discs touch
    visibility = np.full(68, 2)
    seen = draw_face(background, landmarks, scheme, visibility=visibility)
    visibility[8] = 1
    ringed = draw_face(background, landmarks, scheme, visibility=visibility)
    x, y = landmarks[8].round().astype(int)
    assert np.abs(ringed[y, x].astype(int) - 90).max() <= 12
    assert np.abs(seen[y, x].astype(int) - 90).max() > 50
    assert (ringed != background).any()


def test_unlabelled_points_leave_no_trace(scheme, face):
    blank = np.zeros((200, 200, 3), np.uint8)
    assert not draw_face(blank, face, scheme, visibility=np.zeros(68)).any()
    assert not draw_face(blank, np.full((68, 2), np.nan), scheme).any()
    hidden = np.full(68, 2)
    hidden[16] = 0
    away = face.copy()
    away[16] = 1e6
    shown = draw_face(blank, away, scheme, visibility=hidden)
    np.testing.assert_array_equal(shown, draw_face(blank, face, scheme, visibility=hidden))


def test_drawing_leaves_its_input_alone_and_survives_divergence(scheme, face):
    blank = np.zeros((200, 200, 3), np.uint8)
    picture = draw_face(blank, face * 1e12, scheme)
    assert picture.shape == blank.shape
    draw_face(blank, face, scheme)
    assert not blank.any()


def test_wrong_number_of_points_names_the_scheme(scheme):
    with pytest.raises(ValueError, match="scheme '68'"):
        draw_face(np.zeros((9, 9, 3), np.uint8), np.zeros((5, 2)), scheme)


@pytest.mark.parametrize("stages", [1, 4])
@pytest.mark.parametrize("height", [128, 256])
def test_strip_has_one_tile_per_stage(scheme, face, stages, height):
    picture = np.zeros((200, 200, 3), np.uint8)
    box = np.array([40, 40, 160, 160])
    strip = stage_strip(picture, [face] * stages, face, box, scheme, height=height, nme=[1.0] * stages)
    tile = height - max(14, round(height / 12))
    assert strip.shape == (height, stages * tile + 2 * (stages - 1), 3)
    assert strip.dtype == np.uint8


def test_strip_places_points_where_the_crop_shows_them(scheme):
    picture = np.zeros((900, 900, 3), np.uint8)
    place = np.array([520.25, 430.5])
    landmarks, _ = one_point(place)
    box = np.array([300, 300, 700, 700])
    strip = stage_strip(picture, [landmarks], None, box, scheme, height=256)
    size = strip.shape[1]
    zoom = size / 640
    # inside the picture the crop is black, so that only the dot has weight
    assert np.abs(ink(strip[:size])[1] - (zoom * (place - 500) + (size - 1) / 2)).max() < 0.2


def test_strip_moves_picture_and_points_together(scheme):
    """A bright blob of the image stays at the same crop place, also when the crop is reduced many times."""
    y, x = np.mgrid[:900, :900]
    blob = np.exp(-((x - 520.25) ** 2 + (y - 430.5) ** 2) / (2 * 12.0**2))
    picture = np.repeat((255 * blob).astype(np.uint8)[..., None], 3, -1)
    strip = stage_strip(picture, [np.full((68, 2), np.nan)], None, [300, 300, 700, 700], scheme, height=128)
    size = strip.shape[1]
    expected = size / 640 * (np.array([520.25, 430.5]) - 500) + (size - 1) / 2
    assert np.abs(ink(strip[:size])[1] - expected).max() < 0.2


def test_strip_shows_truth_only_when_given(scheme, face):
    picture = np.zeros((200, 200, 3), np.uint8)
    box = [40, 40, 160, 160]
    without = stage_strip(picture, [face], None, box, scheme)
    assert (stage_strip(picture, [face], face + 5, box, scheme) != without).any()


def test_strip_refuses_what_does_not_fit(scheme, face):
    picture = np.zeros((200, 200, 3), np.uint8)
    with pytest.raises(ValueError, match="1 stages cannot take 2 captions"):
        stage_strip(picture, [face], None, [0, 0, 9, 9], scheme, caption=["a", "b"])
    with pytest.raises(ValueError, match="x1 < x2"):
        stage_strip(picture, [face], None, [9, 9, 9, 9], scheme)


def test_sheet_pads_unequal_tiles():
    tiles = [np.full((h, w, 3), 200, np.uint8) for h, w in ((10, 20), (30, 8), (12, 12))]
    sheet = contact_sheet(tiles, 2)
    assert sheet.shape == (2 * 30 + 4, 2 * 20 + 4, 3)
    assert (sheet == 200).all(-1).sum() == 10 * 20 + 30 * 8 + 12 * 12
    assert contact_sheet(tiles[:1], 5).shape == (10, 20, 3)
    with pytest.raises(ValueError, match="0 pictures"):
        contact_sheet([], 2)


def test_prediction_overlay_draws_every_face(scheme, face):
    photo = np.zeros((200, 400, 3), np.uint8)
    boxes = np.array([[30, 30, 170, 170], [230, 30, 370, 170]])
    overlay = draw_prediction(photo, boxes, [face, face + np.array([200, 0])], scheme)
    assert overlay[:, :200].any()
    assert overlay[:, 200:].any()
    assert not draw_prediction(photo, np.zeros((0, 4)), [], scheme).any()
    with pytest.raises(ValueError, match="zip"):
        draw_prediction(photo, boxes, [face], scheme)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("far", [1e5, 1e9, 1e30, 1e300, -1e9, np.inf, -np.inf, np.nan])
def test_diverged_points_and_boxes_are_drawn_or_left_out(scheme, face, far):
    """What lies in the picture is drawn as ever; nothing overflows."""
    photo = np.full((200, 220, 3), 90, np.uint8)
    gone = face.copy()
    gone[:5] = far
    boxes = [[40, 40, 160, 160], [far, 10, 100, 100], [10, 10, 100, abs(far)]]
    picture = draw_prediction(photo, boxes, [gone, gone, np.full((68, 2), far)], scheme)
    assert picture.shape == photo.shape
    assert (picture != photo).any()
    assert draw_face(photo, gone, scheme).shape == photo.shape
    strip = stage_strip(photo, [gone, face], face, [40, 40, 160, 160], scheme, pose=[0.1, far, 0.2])
    assert (strip != 24).any()
    if np.isfinite(far):
        tile = face_tile(photo, gone, [0, 0, abs(far), abs(far)], scheme, side=64)
        assert tile.shape == (64, 64, 3)


@pytest.mark.parametrize(("height", "width"), [(900, 1600), (1600, 900), (64, 6400)])
def test_a_large_image_is_drawn_smaller_with_its_points_in_place(scheme, height, width):
    place = np.array([0.7 * width, 0.4 * height])
    landmarks, _ = one_point(place)
    photo = np.zeros((height, width, 3), np.uint8)
    picture = draw_prediction(photo, [[np.nan] * 4], [landmarks], scheme, largest=400)
    zoom = 400 / max(height, width)
    assert max(picture.shape[:2]) == 400
    assert picture.shape[:2] == (round(height * zoom), round(width * zoom))
    assert np.abs(ink(picture)[1] - ((place + 0.5) * zoom - 0.5)).max() < 0.3
    assert draw_prediction(photo, [[np.nan] * 4], [landmarks], scheme, largest=6400).shape == photo.shape
    assert not photo.any()
