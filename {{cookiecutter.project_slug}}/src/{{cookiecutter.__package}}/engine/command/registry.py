"""The engine's own classes that a configuration may name without their path: `class_path: WarmupCosine`.

So a configuration need not hold the name of the package. Everything else is named by its full path, as
`torch.optim.AdamW` or `pytorch_lightning.callbacks.Timer`.
"""

from ..saving.sharded_strategy import Sharded
from ..training.callbacks import Compile
from ..training.freezing import Freeze
from ..training.profiling import Profile
from ..training.schedules import WarmupCosine

SHORT_NAMES = {kind.__name__: kind for kind in (Compile, Freeze, Profile, Sharded, WarmupCosine)}
