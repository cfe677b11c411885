"""One reader per data set as distributed."""

from canthus.data.readers.aflw import AFLW
from canthus.data.readers.aflw19 import AFLW19
from canthus.data.readers.aflw2000 import AFLW2000
from canthus.data.readers.bioid import BioID
from canthus.data.readers.biwi import BIWI
from canthus.data.readers.celeba import CelebA
from canthus.data.readers.coco import CocoKeypoints
from canthus.data.readers.cofw import COFW
from canthus.data.readers.cofw68 import COFW68
from canthus.data.readers.csv_labels import CsvLabels
from canthus.data.readers.fddb import FDDB
from canthus.data.readers.lfw_net import LFWNet
from canthus.data.readers.menpo import Menpo
from canthus.data.readers.pts import read_pts, write_pts
from canthus.data.readers.w300 import W300
from canthus.data.readers.w300lp import W300LP
from canthus.data.readers.wflw import WFLW
from canthus.data.readers.wider_face import WiderFace
from canthus.data.readers.ytf68 import YTF68

__all__ = [
    "AFLW",
    "AFLW19",
    "AFLW2000",
    "BIWI",
    "COFW",
    "COFW68",
    "FDDB",
    "W300",
    "W300LP",
    "WFLW",
    "YTF68",
    "BioID",
    "CelebA",
    "CocoKeypoints",
    "CsvLabels",
    "LFWNet",
    "Menpo",
    "WiderFace",
    "read_pts",
    "write_pts",
]
