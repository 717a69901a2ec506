"""Everything between photographs on disk and a model's image input.

Data flows `source` (files) or `rendered` (no files) -> `augment` (training only) -> `preprocess` ->
`image_set`, which hands out tensors. `profiles` knows which preprocessing a model expects.
"""

from onnxbin.images.image_set import ImageSet
from onnxbin.images.model_input import ImageInput
from onnxbin.images.preprocess import METADATA_KEY, Geometry, Preprocessing
from onnxbin.images.profiles import PROFILES, Choice, choose, recognise, recognise_family
from onnxbin.images.rendered import RenderedImages
from onnxbin.images.source import ImageFiles, ImageSource, find_images, read_image

__all__ = [
    "METADATA_KEY",
    "PROFILES",
    "Choice",
    "Geometry",
    "ImageFiles",
    "ImageInput",
    "ImageSet",
    "ImageSource",
    "Preprocessing",
    "RenderedImages",
    "choose",
    "find_images",
    "read_image",
    "recognise",
    "recognise_family",
]
