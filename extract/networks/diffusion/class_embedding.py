"""Class-conditional networks: the class whose embedding goes to that of the timestep.

Such a network was trained with the class of each image. All images of a store get one class: what
they show, or the null class where the network was trained with one (Ho and Salimans, 2022).
"""

from torch import Tensor

from ....store.errors import InputError

__all__ = ["choose_class"]


def choose_class(
    table: Tensor | None, wanted: int | None, channels: int
) -> tuple[dict[str, int], Tensor | None]:
    """Return the embedding of the class of all images, which is added to the timestep's.

    Parameters
    ----------
    table : tensor of shape (classes, channels), float32, optional
        None of a network without classes.
    wanted : int, optional
        The class, as it was asked for.
    channels : int
        Of the timestep's embedding.

    Returns
    -------
    facts : dict
        ``class_number``, for the network's architecture; nothing of a network without classes.
    embedding : tensor of shape (1, channels), optional

    Raises
    ------
    InputError
        If the network needs a class and none is given, it has none of that number, or takes none;
        or the table does not fit it.
    """
    if table is None:
        if wanted is not None:
            raise InputError(
                f"the checkpoint is of a network without classes: leave out --class-number {wanted}"
            )
        return {}, None
    if table.ndim != 2 or table.shape[1] != channels:
        raise InputError(
            f"the checkpoint's table of classes has the shape {tuple(table.shape)}: expected "
            f"(classes, {channels}), as its timestep's embedding has {channels} channels"
        )
    count = len(table)
    if wanted is None:
        raise InputError(
            f"the checkpoint is of a class-conditional network of {count} classes, which needs the "
            "class of the images: give one for all of them, --class-number 0 to "
            f"{count - 1}. If it was trained for classifier-free guidance, its null class, usually "
            "the last, fits any image; else choose an unconditional network"
        )
    if not 0 <= wanted < count:
        raise InputError(
            f"the checkpoint's network has classes 0 to {count - 1}, so there is no class {wanted}"
        )
    return {"class_number": wanted}, table[wanted : wanted + 1].clone()
