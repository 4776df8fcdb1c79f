"""One operator on many processes: examples, probes or parameters shared out, by torch.distributed alone."""

from hessdens.distributed.group import start
from hessdens.distributed.parts import part
from hessdens.distributed.sharded import sharded_operator
from hessdens.distributed.shared_examples import share_examples
from hessdens.distributed.shared_probes import share_probes

__all__ = ["part", "sharded_operator", "share_examples", "share_probes", "start"]
