"""The program of a job: it compares the versions of Python before anything is loaded. Any Python can read it."""

import json
import os
import sys
import zipfile

# As ``jasmin_arc.functions.results`` reads it, which does not travel.
RESULTS = "jasmin_arc_results"


def wrong_version(wanted):  # type: ignore[no-untyped-def]
    """Return one sentence about the version of Python, or nothing if it is right."""
    if list(sys.version_info[:2]) == wanted:
        return ""
    return "the functions were sent by Python %d.%d, but %s on the node is Python %d.%d" % (
        wanted[0],
        wanted[1],
        sys.executable,
        sys.version_info[0],
        sys.version_info[1],
    )


def main():  # type: ignore[no-untyped-def]
    """Call the functions, or write down why not."""
    archive = zipfile.ZipFile(os.path.abspath(sys.argv[0]))
    header = json.loads(archive.read("header.json").decode("utf-8"))
    problem = wrong_version(header["python"])  # type: ignore[no-untyped-call]
    if problem:
        with open(RESULTS, "ab") as results:
            results.write(json.dumps({"kind": "refused", "reason": problem}).encode("ascii") + b"\n")
        sys.stderr.write(problem + "\n")
        return
    # A function may go to another folder, and packages load modules later.
    sys.path[0] = os.path.abspath(sys.argv[0])
    from jasmin_arc_runner import run  # type: ignore[import-not-found]

    run(archive, header, RESULTS)


if __name__ == "__main__":
    main()  # type: ignore[no-untyped-call]
