"""The table of verbs: name to verb, in the fixed order in which they are carried out."""

from collections.abc import Mapping
from types import MappingProxyType

from gateway.actions.encrypt import Encrypt
from gateway.actions.escrow import Escrow
from gateway.actions.form import Form
from gateway.actions.harvest import Harvest
from gateway.actions.keep_original import KeepOriginal
from gateway.actions.label import Label
from gateway.actions.protect_headers import ProtectHeaders
from gateway.actions.sign import Sign
from gateway.actions.stamp import Stamp
from gateway.actions.verb import Verb, VerbContext
from gateway.model.decision import Step
from gateway.smime.draft import Draft

_ALL: tuple[Verb, ...] = (
    Label(),
    Form(),
    KeepOriginal(),
    Harvest(),
    ProtectHeaders(),
    Sign(),
    Stamp(),
    Encrypt(),
    Escrow(),
)
VERBS: Mapping[str, Verb] = MappingProxyType({verb.name: verb for verb in sorted(_ALL, key=lambda verb: verb.rank)})


def carry_out(steps: tuple[Step, ...], draft: Draft, context: VerbContext) -> Draft:
    """The draft after all steps, in the order of the verbs' ranks."""
    for step in sorted(steps, key=lambda step: VERBS[step.verb].rank):
        draft = VERBS[step.verb].apply(draft, step.params, context)
    return draft
