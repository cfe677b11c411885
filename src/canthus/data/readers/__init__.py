"""One reader per data set as distributed."""

from canthus.data.readers.pts import read_pts, write_pts
from canthus.data.readers.w300 import W300
from canthus.data.readers.ytf68 import YTF68

__all__ = ["W300", "YTF68", "read_pts", "write_pts"]
