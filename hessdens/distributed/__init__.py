"""One operator on many processes: examples, probes or parameters shared out, by torch.distributed alone."""

from hessdens.distributed.group import start
from hessdens.distributed.parts import part
from hessdens.distributed.sharded import ShardedOperator, sharded_operator
from hessdens.distributed.shared_examples import share_examples
from hessdens.distributed.shared_probes import share_probes
from hessdens.distributed.traffic import Traffic, examples_traffic, probes_traffic, sharded_traffic
from hessdens.errors import RankError

__all__ = [
    "RankError",
    "ShardedOperator",
    "Traffic",
    "examples_traffic",
    "part",
    "probes_traffic",
    "sharded_operator",
    "sharded_traffic",
    "share_examples",
    "share_probes",
    "start",
]
