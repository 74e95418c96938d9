"""The decoder process: reads one instance after the other and answers; imports no torch.

Started by :mod:`node.decode.process` as ``python -m node.decode.child``. A request is a line of
JSON on the standard input, an answer a length and JSON on what was the standard output.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import struct
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import imagecodecs
from pydicom.uid import ExplicitVRBigEndian

from models.inputs import Decoded, TypedInput
from node.decode.answer import encode, to_bytes
from node.decode.examined import Examined
from node.decode.instance import read_facts, read_header
from node.decode.instance_stream import InstanceStream
from node.decode.layout import read_layout
from node.decode.limits import Limits
from node.decode.radiograph import decode_radiograph
from node.decode.scratch import Scratch
from node.decode.ultrasound import ColourSeen, decode_ultrasound
from node.decode.waveform import decode_waveform
from node.errors import BadObjectError

#: Receiving goes before decoding.
_NICENESS = 3
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PIXEL_MODULES = frozenset({"codec", "codestream", "colour", "pixels"})


def examine(path: Path, scratch: Scratch, decoded_bytes: int) -> Examined:
    """Read the facts of an instance, and decode it when they name no obstacle.

    Parameters
    ----------
    path
        A DICOM Part 10 file.
    scratch
        Where large arrays go.
    decoded_bytes
        What they may take.

    Raises
    ------
    BadObjectError
        The object contradicts itself, the standard or our limits.
    """
    with InstanceStream(path) as stream:
        ds, transfer_syntax_uid, element = read_header(stream, path)
        facts, notes = read_facts(ds, transfer_syntax_uid, element)
        if facts.obstacle:
            return Examined(facts, None, notes)
        big_endian = transfer_syntax_uid == ExplicitVRBigEndian
        found: TypedInput | ColourSeen
        said: tuple[str, ...] = ()
        if facts.kind == "waveform":
            found, said = decode_waveform(ds, big_endian, decoded_bytes, scratch)
        elif element is None:
            raise BadObjectError("there are no pixels")
        else:
            layout = read_layout(ds, transfer_syntax_uid, decoded_bytes)
            if facts.kind == "radiograph":
                found = decode_radiograph(ds, element, layout, facts, scratch)
            else:
                found, said = decode_ultrasound(ds, element, layout, facts, scratch)
    if isinstance(found, ColourSeen):
        seen = f"colour Doppler seen in {found.share:.1%} of the lit pixels"
        return Examined(replace(facts, colour_doppler=True), None, (*notes, seen))
    return Examined(facts, Decoded(found, said), (*notes, *said))


def answer_to(request: dict[str, str], limits: Limits) -> dict[str, Any]:
    """Examine one instance and return the answer, also when it fails.

    Parameters
    ----------
    request
        ``path`` of the instance and ``scratch``, a path for the arrays.
    limits
        Of this process.
    """
    scratch = Scratch(Path(request["scratch"]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            examined = examine(Path(request["path"]), scratch, limits.decoded_bytes)
            # The texts of pydicom's warnings repeat values of the object: only their class is kept.
            kinds = sorted({item.category.__name__ for item in caught})
            if kinds:
                note = f"the header breaks the standard in places ({', '.join(kinds)})"
                examined = replace(examined, notes=(*examined.notes, note))
            return encode(examined, scratch)
        except BadObjectError as exc:
            return {"bad": str(exc)}
        except MemoryError:
            return {"died": "the decoder ran out of memory"}
        except OSError as exc:
            if exc.errno == errno.ENOMEM:
                return {"died": "the decoder ran out of memory"}
            if exc.errno in _NO_ROOM:
                return {"full": True}
            if exc.errno is not None:
                return {"failed": exc.errno}
            return {"bad": _reason(exc)}
        except Exception as exc:  # noqa: BLE001
            # The process boundary: pydicom and the codecs raise almost anything on hostile bytes,
            # with messages that repeat them. Only the class of the error leaves this process.
            return {"bad": _reason(exc)}
        finally:
            scratch.close()


def _reason(exc: Exception) -> str:
    what = "the pixel data" if _raised_in_pixels(exc.__traceback__) else "the header"
    return f"{what} can't be decoded ({type(exc).__name__})"


def _raised_in_pixels(traceback: TracebackType | None) -> bool:
    while traceback is not None:
        module = traceback.tb_frame.f_globals.get("__name__", "")
        if module.startswith("node.decode.") and module.rpartition(".")[2] in _PIXEL_MODULES:
            return True
        traceback = traceback.tb_next
    return False


def _preload() -> None:
    """Load what decoding needs before the memory is limited; imagecodecs loads on first use."""
    cv2.setNumThreads(1)
    for name in ("dicomrle", "jpeg8", "jpegls", "jpegsof3", "jpeg2k"):
        getattr(imagecodecs, f"{name}_decode")


def _limit_memory(limits: Limits) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    ceiling = pages * resource.getpagesize() + limits.memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold patient data


def _limit_cpu(limits: Limits) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + limits.cpu_s) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def _take_over_output() -> int:
    """Return the pipe to the parent, and send everything that libraries print nowhere."""
    pipe = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return pipe


def main() -> None:
    """Serve requests until the standard input is closed."""
    limits = Limits(**json.loads(sys.argv[1]))
    os.nice(_NICENESS)
    _preload()
    _limit_memory(limits)
    pipe = _take_over_output()
    _send(pipe, {"ready": True})
    for line in sys.stdin.buffer:
        _limit_cpu(limits)
        _send(pipe, answer_to(json.loads(line), limits))


def _send(pipe: int, answer: dict[str, Any]) -> None:
    payload = to_bytes(answer)
    message = struct.pack("<I", len(payload)) + payload
    while message:
        message = message[os.write(pipe, message) :]


if __name__ == "__main__":
    main()
