"""For --import: registers the data format `shapes`. Apart from it, since what is registered stays so in a process."""

import backbonekit as bk
from tests.lightning.shapes import Shapes

bk.register("data", "shapes", Shapes)
