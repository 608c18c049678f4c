"""Every adversary that recipes can name."""

from __future__ import annotations

from training.adversaries.feature_patch import FeaturePatchAdversary, FeaturePatchSettings
from training.adversaries.global_local import GlobalLocalAdversary, GlobalLocalSettings
from training.adversaries.patch import PatchAdversary, PatchSettings
from training.adversaries.registry import AdversaryKind
from training.adversaries.temporal_patch import TemporalPatchAdversary, TemporalPatchSettings

ADVERSARIES: dict[str, AdversaryKind] = {
    kind.name: kind
    for kind in (
        AdversaryKind("patch", PatchSettings, PatchAdversary),
        AdversaryKind("feature-patch", FeaturePatchSettings, FeaturePatchAdversary),
        AdversaryKind("global-local", GlobalLocalSettings, GlobalLocalAdversary),
        AdversaryKind("temporal-patch", TemporalPatchSettings, TemporalPatchAdversary),
    )
}
