"""The rules of operators, by what they do; importing them fills the table in `recurra.onnx.nodes`."""

from . import constants as constants
from . import convolution as convolution
from . import elementwise as elementwise
from . import indexing as indexing
from . import products as products
from . import recurrent as recurrent
from . import reductions as reductions
from . import scan as scan
from . import shapes as shapes
