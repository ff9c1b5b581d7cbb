"""Run by a Python that has ARC's bindings: what ARC's own parsers make of job descriptions.

Reads a JSON list of [language, text] and writes a list of what ARC understood, with ARC's own rendering.
"""

import json
import os
import sys

import arc


def read(language, text):
    jobs = arc.JobDescriptionList()
    if not arc.JobDescription.Parse(text, jobs, language) or len(jobs) != 1:
        return None
    job = jobs[0]
    _, again = job.UnParse(language)
    return {**fields(job), "again": again}


def fields(job):
    program, needs = job.Application, job.Resources
    return {
        "name": job.Identification.JobName,
        "command": [program.Executable.Path, *program.Executable.Argument],
        "stdin": program.Input,
        "streams": [program.Output, program.Error],
        "environment": sorted([pair[0], pair[1]] for pair in program.Environment),
        "rerun": program.Rerun,
        "queue": needs.QueueName,
        "slots": needs.SlotRequirement.NumberOfSlots,
        "slots_per_host": needs.SlotRequirement.SlotsPerHost,
        "memory": needs.IndividualPhysicalMemory.max,
        "wall_time": needs.IndividualWallTime.range.max,
        "cpu_time": needs.TotalCPUTime.range.max,
        "runtime_environments": [str(entry) for entry in needs.RunTimeEnvironment.getSoftwareList()],
        "inputs": sorted([file.Name, source(file.Sources[0])] for file in job.DataStaging.InputFiles),
        "outputs": sorted([file.Name, [url.str() for url in file.Targets]] for file in job.DataStaging.OutputFiles),
    }


def source(url):
    return os.path.normpath(url.Path()) if url.Protocol() == "file" else url.fullstr()


if __name__ == "__main__":
    arc.Logger.getRootLogger().removeDestinations()
    json.dump([read(language, text) for language, text in json.load(sys.stdin)], sys.stdout)
    sys.stdout.flush()
    # The bindings' interpreter hangs at its end.
    os._exit(0)
