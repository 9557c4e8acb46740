"""What a run would take: a few images segmented, a few steps taken, and nothing kept of either."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ...distil.data.examples import Example
from ...distil.run.folder import StudentFolder
from ...distil.train.agreement import agreement
from ...distil.train.training import StudentTraining
from ..console.disk_space import free_bytes
from ..console.progress import Progress
from ..training.memory import peak_resident
from .config import DistilConfig, DistilEstimate
from .material import Material, Origin, dealt, material_of
from .session import Session, room_for_examples

__all__ = ["estimate"]

_PROBED_IMAGES, _PROBED_STEPS = 4, 3


def estimate(
    config: DistilConfig,
    origin: Origin,
    folder: StudentFolder,
    device: torch.device,
    progress: Progress,
) -> DistilEstimate:
    """Measure a few images and steps, and scale up. Nothing is written but temporary files.

    Raises
    ------
    DsegError
        As the run itself would.
    """
    stems = list(origin.sizes)
    seen, out = dealt(config, len(stems), origin.labelled)
    soft = folder.soft_labels
    missing = origin.missing(soft) if folder.has_soft_labels(origin.teaching) else None
    with TemporaryDirectory() as temporary:
        # without soft labels of this teacher, all that it makes are missing
        todo = origin.missing(Path(temporary)) if missing is None else missing
        teacher = _probe_teacher(origin, todo, Path(temporary), config, progress)
        place = Path(temporary) if todo else soft
        some = origin.some(_spread(todo or stems))
        material = material_of(config, some, place, progress)
        counts = _Counts.of(origin, seen, out)
        session = Session(config, material, folder, device, progress, examples=counts.seen)
        training = _probe_training(session, material)
        held_out = counts.out if config.recipe != "paper" else len(material.held_out)
        steps, seconds = _to_come(session, training, held_out)
        return DistilEstimate(
            student=str(config.out),
            images=len(seen),
            labelled=material.labelled_images,
            held_out=len(out) if config.recipe != "paper" else material.held_out_images,
            to_segment=len(todo),
            teacher_seconds=teacher.seconds,
            soft_label_bytes=teacher.n_bytes,
            done=session.done,
            steps=steps,
            training_seconds=seconds,
            n_bytes=teacher.n_bytes + training.n_bytes,
            free_bytes=free_bytes(config.out),
            peak_memory=peak_resident() + _kept_bytes(material, counts.seen),
            failed=dict(material.failed),
        )


@dataclass(frozen=True)
class _Counts:
    """Examples, of which an image has several if it is cut into tiles."""

    seen: int
    out: int

    @classmethod
    def of(cls, origin: Origin, seen: Sequence[int], out: Sequence[int]) -> "_Counts":
        view, sizes = origin.kind.view, list(origin.sizes.values())
        each = [len(view.geometry(size).offsets) for size in sizes]
        return cls(sum(each[k] for k in seen), sum(each[k] for k in out))


@dataclass(frozen=True)
class _Teacher:
    """What the teacher would take."""

    seconds: float
    n_bytes: int


def _spread(stems: Sequence[str]) -> list[str]:
    """Return a few, evenly spread."""
    return list(stems[:: max(1, len(stems) // _PROBED_IMAGES)][:_PROBED_IMAGES])


def _probe_teacher(
    origin: Origin, todo: Sequence[str], place: Path, config: DistilConfig, progress: Progress
) -> _Teacher:
    """Make the soft labels of a few images in a temporary folder."""
    if not todo:
        return _Teacher(0.0, 0)
    first, *rest = _spread(todo)
    start = time.monotonic()
    origin.some([first]).examples(place, progress)  # also opens the network and warms up
    warm = time.monotonic()
    if rest:
        origin.some(rest).examples(place, progress)
    one, others = warm - start, time.monotonic() - warm
    each = others / len(rest) if rest else one
    n_bytes = sum(file.stat().st_size for file in place.glob("*.npz"))
    scale = len(todo) / (1 + len(rest))
    return _Teacher(one + each * (len(todo) - 1), int(n_bytes * scale))


@dataclass(frozen=True)
class _Training:
    """What a step and an evaluated example take, and state and student on disk."""

    step_seconds: float
    example_seconds: float
    n_bytes: int


def _probe_training(session: Session, material: Material) -> _Training:
    training, pairs = session.training(session.start()), session.pairs()
    took, size = [], training.batch_size
    for step in range(_PROBED_STEPS):
        start = time.monotonic()
        float(training.step(pairs.batch(step * size, size), 0.0))
        took.append(time.monotonic() - start)
    start, example = time.monotonic(), material.pairs[0]
    agreement(training.averaged, [example], len(material.kind.classes))
    an_example = time.monotonic() - start
    # the first step also reads and warms up
    return _Training(min(took), an_example, _n_bytes(training, session))


def _n_bytes(training: StudentTraining, session: Session) -> int:
    """Return what is on disk at most: the state twice, while it is replaced, and the student."""
    tensors, _ = training.state()
    state = sum(tensor.nbytes for tensor in tensors.values())
    student = sum(tensor.nbytes for tensor in training.averaged.state_dict().values())
    return int(2 * (state + student) + student)  # the best weights are in the state, too


def _to_come(session: Session, training: _Training, held_out: int) -> tuple[int, float]:
    """Return the steps that a run comes to, and the seconds that those to come take."""
    length, done = session.length, session.done
    left = 1 - length.progress(done, session.seconds)
    beside = left * session.evaluations * held_out * training.example_seconds
    ends = []
    if length.steps is not None:
        ends.append(length.steps)
    if length.seconds is not None:
        for_steps = max(0.0, length.seconds - session.seconds - beside)
        ends.append(done + int(for_steps / training.step_seconds))
    steps = max(done, min(ends))
    return steps, (steps - done) * training.step_seconds + beside


def _kept_bytes(material: Material, count: int) -> int:
    """Return the memory of the examples that are kept, beside those of the probe."""
    probed: Sequence[Example] = (*material.pairs, *material.labelled)
    mean = sum(example.load().n_bytes for example in material.pairs) / len(material.pairs)
    total = int(mean * (count + len(material.labelled)))
    return max(0, min(room_for_examples(), total) - int(mean * len(probed)))
